"""Binding of the conformance cases: refusals, and names and types of output columns."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, IndexDefinition, TableDefinition
from airflow_provider_mlfeat.sql.errors import SqlError
from airflow_provider_mlfeat.sql.format import format_sql
from airflow_provider_mlfeat.sql.planner import Mode, plan_query
from airflow_provider_mlfeat.sql.types import parse_type

_FILE = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "openmldb_cases.jsonl"
pytestmark = pytest.mark.skipif(not _FILE.exists(), reason="the conformance cases are not here (../shared/conformance)")

# Refused only for a missing index, or as a deployment with LONG_WINDOWS; as plain queries they are legal.
_LEGAL_HERE = {
    ("test_lastjoin_complex", "6-1"),
    ("test_count_where", "17"),
    ("test_long_window", "9"),
    ("test_xxx_where", "19"),
    ("test_xxx_where", "27"),
}


@cache
def cases(kind: str) -> list[dict[str, Any]]:
    """The cases of a kind: ``result`` or ``must_fail``."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return [case for case in map(json.loads, lines) if case["kind"] == kind]


def catalog(case: dict[str, Any]) -> Catalog:
    """The case's tables with their indexes."""
    tables = Catalog()
    for table in case["tables"]:
        columns = tuple(ColumnDefinition(name, parse_type(text)) for name, text in table["columns"])
        parts = [text.split(":") for texts in table["index"] or [] for text in texts.split(",")]
        indexes = tuple(
            IndexDefinition(part[0], tuple(part[1].split("|")), part[2] if len(part) > 2 and part[2] else None)
            for part in parts
        )
        tables.add_table(TableDefinition(table["db"] or "", table["name"], columns, indexes))
    return tables


def test_every_result_case_binds_to_its_columns() -> None:
    wrong = []
    for case in cases("result"):
        parameters = case["parameters"]["columns"] if case["parameters"] else []
        types = [parse_type(parameter.split()[1]) for parameter in parameters]
        expected = [(name, parse_type(text)) for name, text in case["expect"]["columns"]]
        modes: tuple[Mode, ...] = ("batch", "request") if case["run_request"] else ("batch",)
        plans = [plan_query(case["sql"], catalog(case), mode=mode, parameter_types=types) for mode in modes]
        plans.append(plan_query(format_sql(case["sql"]), catalog(case), parameter_types=types))
        if len({plan.plan_id for plan in plans}) > 1 or [(c.name, c.type) for c in plans[0].schema] != expected:
            wrong.append((case["file"], case["id"], case["sql"]))
    assert len(cases("result")) == 869
    assert wrong == []


def test_every_must_fail_case_is_refused_with_a_place() -> None:
    accepted, without_place = [], []
    for case in cases("must_fail"):
        for mode in ("batch", "request"):
            try:
                plan_query(case["sql"], catalog(case), mode=mode)
            except SqlError as error:
                without_place += [case["sql"]] if error.position is None else []
            else:
                accepted.append((Path(case["file"]).stem, case["id"]))
    assert without_place == []
    assert len(cases("must_fail")) == 351
    assert set(accepted) == _LEGAL_HERE
    assert len(accepted) == 2 * 7
