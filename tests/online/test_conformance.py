"""The language's cases in request mode, with history in an online store."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_mlfeat.online.deploying import deploy, drop
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.store import OnlineStore
from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.plan import Plan
from tests.conformance import jd
from tests.conformance.arrow import to_arrow
from tests.conformance.cases import Case, Row, Table, load_cases
from tests.conformance.engines import Replay
from tests.conformance.runner import run_cases
from tests.conformance.shared_data import shared
from tests.conformance.test_cases import assert_all_pass, own_cases

# Cases ask for any time, also after rows of later times were put.
KEEP_ALL = {"range_bias": "inf", "rows_bias": "inf"}


class Stored(Replay):
    """Requests to a deployment; the tables are dropped after each case."""

    name = "stored"

    def __init__(self, store: OnlineStore) -> None:
        self.store = store

    def runs(self, case: Case) -> bool:
        """What can be deployed: a query over a table, without parameters."""
        return super().runs(case) and bool(case.tables) and not case.parameters

    def replay(
        self, plan: Plan, tables: dict[tuple[str, str], Table], requests: Sequence[Row], insert: bool
    ) -> list[Row]:
        """The answers of a deployment of this plan."""
        try:
            return self._replay(plan, tables, requests, insert)
        finally:
            drop(self.store, "one", if_exists=True)
            for name in self.store.tables():
                self.store.drop_table(name)

    def _replay(
        self, plan: Plan, tables: dict[tuple[str, str], Table], requests: Sequence[Row], insert: bool
    ) -> list[Row]:
        assert plan.request_source is not None
        for (database, name), table in tables.items():
            columns = tuple(ColumnDefinition(column, kind) for column, kind in table.columns)
            stored = self.store.create_table(TableDefinition(database, name, columns))
            self.store.put(stored, to_arrow(table.columns, table.rows))
        assert deploy(self.store, "one", "…", plan, options=KEEP_ALL).lacking == ()
        service, rows = FeatureService(self.store), list[Row]()
        source = tables[plan.request_source]
        for request in requests:
            answer = service.features("one", request)
            rows += [] if answer is None else [answer]
            if insert:
                self.store.put(self.store.tables()[plan.request_source], to_arrow(source.columns, [request]))
        return rows


def test_own_cases(store: OnlineStore) -> None:
    assert_all_pass(run_cases([case for case in own_cases()[::3] if "from" in case.sql.lower()], Stored(store)))


def test_shared_cases(store: OnlineStore) -> None:
    cases = load_cases(shared("conformance", "openmldb_cases.jsonl"))
    assert_all_pass(run_cases([case for case in cases[::10] if "from" in case.sql.lower()], Stored(store)))


def test_the_online_row_of_the_seed(store: OnlineStore) -> None:
    """Deployed without options, loaded, and asked for a time before the newest row."""
    from airflow_provider_mlfeat.online.store import Load
    from airflow_provider_mlfeat.sql.planner import plan_query

    folder = shared("data", "jd_sample")
    text = jd.query_text(shared("seeds", "000_14a6bceeab9d9bcf.txt"))
    catalog = jd.catalog(jd.table_columns(folder))
    for definition in catalog.tables():
        store.create_table(definition)
    deploy(store, "demo", text, plan_query(text, catalog, mode="request"))
    for (_, name), table in jd.load_tables(folder).items():
        store.put(store.table("", name), table, load=Load("sample"))
    answer = FeatureService(store).features("demo", jd.ONLINE_REQUEST)
    assert answer == jd.ONLINE_ANSWER
