"""A case's tables as a catalog, and its text as a plan."""

from __future__ import annotations

from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, IndexDefinition, TableDefinition
from airflow_provider_mlfeat.sql.deployments import long_windows
from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.planner import Mode, plan_query
from airflow_provider_mlfeat.sql.statements import Deploy
from airflow_provider_mlfeat.sql.syntax import parse_statement
from tests.conformance.cases import Case, Table


def catalog_of(case: Case) -> Catalog:
    """What the planner knows about the case's tables, their indexes included."""
    return Catalog(_definition(table) for table in case.tables)


def _definition(table: Table) -> TableDefinition:
    columns = tuple(ColumnDefinition(name, kind) for name, kind in table.columns)
    indexes = tuple(IndexDefinition(name, keys, time) for name, keys, time in table.indexes)
    return TableDefinition(table.database, table.name, columns, indexes)


def plan_case(case: Case, mode: Mode) -> Plan:
    """The plan of the case in ``batch`` or ``request`` mode; raises SqlError for a text that is refused."""
    parameters = tuple(kind for kind, _ in case.parameters)
    if case.long_windows and mode == "request":
        deploy = parse_statement(f"DEPLOY deployed OPTIONS (LONG_WINDOWS='{case.long_windows}') {case.sql}")
        assert isinstance(deploy, Deploy)
        return plan_query(
            deploy.query,
            catalog_of(case),
            mode=mode,
            parameter_types=parameters,
            long_windows=long_windows(deploy),
        )
    return plan_query(case.sql, catalog_of(case), mode=mode, parameter_types=parameters)
