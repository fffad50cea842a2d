"""Declared checks say whether rows are as they should be, and what is wrong where they are not."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables.checks import CheckReport, CheckResult, parse_checks, run_checks
from airflow_provider_mlfeat.tables.statistics import ColumnStatistics, collect_statistics

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
TABLE = pa.table(
    {
        "id": pa.array([1, 2, 3, 4, 4]),
        "price": pa.array([0.5, 2.0, None, float("nan"), 9.0]),
        "kind": pa.array(["a", "b", "b", None, "c"]),
        "at": pa.array([datetime(2024, 4, 30, hour, tzinfo=UTC) for hour in range(5)], pa.timestamp("us", "UTC")),
        "day": pa.array([date(2024, 4, day) for day in range(26, 31)]),
        "flag": pa.array([True, False, None, True, True]),
    }
)


def run(table: pa.Table, *documents: dict[str, Any], **options: Any) -> CheckReport:
    return run_checks(table.to_batches(max_chunksize=2), table.schema, parse_checks(documents), now=NOW, **options)


def one(document: dict[str, Any], table: pa.Table = TABLE, **options: Any) -> CheckResult:
    return run(table, document, **options).results[0]


def statistics_of(table: pa.Table) -> tuple[ColumnStatistics, ...]:
    return collect_statistics(table.to_batches(), table.schema)


@pytest.mark.parametrize(
    ("document", "passed", "found"),
    [
        ({"check": "row_count", "minimum": 5}, True, "5 rows"),
        ({"check": "row_count", "minimum": 6}, False, "5 rows"),
        ({"check": "row_count", "maximum": 4}, False, "5 rows"),
        ({"check": "row_count", "minimum": 1, "maximum": 5}, True, "5 rows"),
        ({"check": "nulls", "column": "id"}, True, "0 NULLs (0.00%)"),
        ({"check": "nulls", "column": "price"}, False, "1 NULLs (20.00%)"),
        ({"check": "nulls", "column": "price", "maximum": 1}, True, "1 NULLs (20.00%)"),
        ({"check": "nulls", "column": "price", "maximum_share": 0.2}, True, "1 NULLs (20.00%)"),
        ({"check": "nulls", "column": "price", "maximum_share": 0.19}, False, "1 NULLs (20.00%)"),
        ({"check": "nulls", "column": "price", "maximum_share": 0.5, "maximum": 0}, False, "1 NULLs (20.00%)"),
        ({"check": "range", "column": "id", "minimum": 1, "maximum": 4}, True, "none outside"),
        ({"check": "range", "column": "id", "minimum": 1.5}, False, "1 outside, for instance 1"),
        ({"check": "range", "column": "id", "maximum": 3}, False, "2 outside, for instance 4, 4"),
        ({"check": "range", "column": "price", "minimum": 0}, False, "1 outside, for instance nan"),
        ({"check": "range", "column": "at", "minimum": "2024-04-30T01:00:00"}, False, "1 outside"),
        ({"check": "range", "column": "at", "minimum": "2024-04-30T02:00:00+02:00"}, True, "none outside"),
        ({"check": "range", "column": "at", "maximum": 1_714_435_200_000}, False, "4 outside"),
        (
            {"check": "range", "column": "day", "minimum": date(2024, 4, 27)},
            False,
            "1 outside, for instance '2024-04-26'",
        ),
        ({"check": "range", "column": "kind", "maximum": "b"}, False, "1 outside, for instance 'c'"),
        ({"check": "allowed_values", "column": "kind", "values": ["a", "b", "c"]}, True, "none not allowed"),
        ({"check": "allowed_values", "column": "kind", "values": ["a", "b"]}, False, "1 not allowed, for instance 'c'"),
        ({"check": "allowed_values", "column": "id", "values": [1, 2]}, False, "3 not allowed, for instance 3, 4"),
        ({"check": "allowed_values", "column": "flag", "values": [True]}, False, "1 not allowed, for instance False"),
        ({"check": "unique", "columns": ["id"]}, False, "1 of 5 rows repeat an earlier one"),
        ({"check": "unique", "columns": ["id", "kind"]}, True, "5 rows, all different"),
        ({"check": "unique", "columns": "kind"}, False, "1 of 5 rows"),
        (
            {"check": "freshness", "column": "at", "maximum_age": "32h"},
            True,
            "newest 2024-04-30 04:00:00.000, 32 hours old",
        ),
        ({"check": "freshness", "column": "at", "maximum_age": "31h"}, False, "32 hours old"),
        ({"check": "freshness", "column": "day", "maximum_age": timedelta(days=2)}, True, "36 hours old"),
    ],
)
def test_a_check(document: dict[str, Any], passed: bool, found: str) -> None:
    result = one(document)
    assert (result.passed, result.found[: len(found)] if found not in result.found else found) == (passed, found)


def test_what_was_expected_stands_beside_it() -> None:
    expected = [
        one(document).expected
        for document in (
            {"check": "row_count", "minimum": 1, "maximum": 9},
            {"check": "range", "column": "id", "maximum": 3},
            {"check": "nulls", "column": "id", "maximum_share": 0.125, "maximum": 2},
            {"check": "allowed_values", "column": "kind", "values": list("abcdefg")},
            {"check": "freshness", "column": "at", "maximum_age": "90m"},
        )
    ]
    assert expected == [
        "1 to 9 rows",
        "at most 3",
        "at most 2 NULLs, at most 12.50% NULLs",
        "one of 'a', 'b', 'c', 'd', 'e' and 2 more",
        "at most 90 minutes old",
    ]


def test_freshness_of_the_last_change() -> None:
    document = {"check": "freshness", "maximum_age": "1h"}
    assert one(document, committed_at=NOW - timedelta(minutes=59)).passed
    assert not one(document, committed_at=NOW - timedelta(minutes=61)).passed
    assert one(document, committed_at=NOW + timedelta(minutes=5)).found.endswith("5 minutes ahead")
    with pytest.raises(UserError, match="needs a column: it is not known when the table was last changed"):
        one(document)


def test_freshness_of_no_rows_fails() -> None:
    result = one({"check": "freshness", "column": "at", "maximum_age": "1d"}, TABLE.slice(0, 0))
    assert (result.passed, result.found) == (False, "no point in time")


def test_uniqueness_beyond_one_block() -> None:
    numbers = np.arange(200_000)
    assert one({"check": "unique", "columns": ["n"]}, pa.table({"n": numbers})).passed
    numbers[199_999] = 7
    assert one({"check": "unique", "columns": ["n"]}, pa.table({"n": numbers})).found.startswith("1 of 200000")


# ── drift ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def drift(then: pa.Array, now: pa.Array, **document: Any) -> CheckResult:
    baseline = statistics_of(pa.table({"v": then}))
    return one({"check": "drift", "column": "v", **document}, pa.table({"v": now}), baseline=baseline)


def index_of(result: CheckResult) -> float:
    return float(result.found.removeprefix("PSI "))


def test_the_index_is_what_its_definition_says() -> None:
    random = np.random.default_rng(0)
    then, now = random.normal(size=5_000), random.normal(0.5, 1.2, size=7_000)
    edges = np.quantile(then, np.arange(1, 10) / 10, method="inverted_cdf")
    shares = [np.bincount(np.searchsorted(edges, values), minlength=10) / len(values) for values in (then, now)]
    expected = sum((n - t) * np.log(n / t) for t, n in zip(*shares, strict=True))
    found = drift(pa.array(then), pa.array(now))
    assert index_of(found) == pytest.approx(expected, abs=1e-4)
    assert not found.passed
    assert found.expected == "PSI at most 0.2"


@pytest.mark.parametrize("rows", [5_000, 150_000])
def test_the_same_population_has_not_drifted(rows: int) -> None:
    random = np.random.default_rng(1)
    for draw in (random.normal, random.exponential, lambda size: random.integers(0, 3, size)):
        result = drift(pa.array(draw(size=rows)), pa.array(draw(size=rows)), maximum_psi=0.02)
        assert result.passed, result.found


def test_nulls_and_categories_drift_too() -> None:
    random = np.random.default_rng(2)
    texts = pa.array(random.choice(["a", "b"], 4_000))
    half = pa.array(random.choice(["a", "b"], 4_000), mask=random.random(4_000) < 0.5)
    assert drift(texts, texts).found == "PSI 0.0000"
    assert index_of(drift(texts, half)) > 1
    assert index_of(drift(texts, pa.array(["c"] * 4_000))) > 5
    flags = pa.array(random.random(4_000) < 0.5)
    assert index_of(drift(flags, pa.array([True] * 4_000))) > 1
    numbers = pa.array(random.normal(size=4_000))
    assert index_of(drift(numbers, pa.array([float("nan")] * 4_000))) > 5
    moments = pa.array(random.integers(0, 10**12, 4_000)).cast(pa.timestamp("ms"))
    assert index_of(drift(moments, moments.cast(pa.timestamp("us", "UTC")))) == 0


def test_drift_without_rows_fails() -> None:
    assert drift(pa.array([1.0, 2.0]), pa.array([], pa.float64())).found == "no rows"


def test_wrong_baselines_are_sentences() -> None:
    document = {"check": "drift", "column": "id"}
    with pytest.raises(UserError, match="needs a baseline: statistics of an earlier version"):
        one(document)
    with pytest.raises(UserError, match="the baseline has no column 'id'"):
        one(document, baseline=statistics_of(TABLE.select(["kind"])))
    with pytest.raises(UserError, match="'id' was string in the baseline and is bigint now"):
        one(document, baseline=statistics_of(pa.table({"id": ["a"]})))
    with pytest.raises(UserError, match="the baseline of 'id' has no rows"):
        one(document, baseline=statistics_of(TABLE.slice(0, 0)))


# ── reports ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_blocking_checks_fail_and_warnings_only_warn() -> None:
    report = run(
        TABLE,
        {"check": "row_count", "minimum": 1},
        {"check": "unique", "columns": ["id"], "severity": "warning", "name": "one row an id"},
    )
    assert report.passed
    assert [result.state for result in report.results] == ["ok", "warning"]
    assert [result.name for result in report.warnings] == ["one row an id"]
    report.raise_failures()
    report = run(TABLE, {"check": "nulls", "column": "kind"}, {"check": "row_count", "minimum": 99})
    assert not report.passed
    with pytest.raises(UserError) as error:
        report.raise_failures()
    assert str(error.value) == "2 of 2 checks failed: nulls(kind): 1 NULLs (20.00%); row_count: 5 rows"


def test_reports_as_text_and_as_document() -> None:
    report = run(TABLE, {"check": "row_count", "minimum": 1}, {"check": "nulls", "column": "kind"})
    assert report.to_text() == (
        "check        state   found             expected\n"
        "-----------  ------  ----------------  ---------------\n"
        "row_count    ok      5 rows            at least 1 rows\n"
        "nulls(kind)  FAILED  1 NULLs (20.00%)  at most 0 NULLs"
    )
    document = json.loads(json.dumps(report.to_document()))
    assert (document["rows"], document["passed"]) == (5, False)
    assert document["results"][1] == {
        "name": "nulls(kind)",
        "severity": "blocking",
        "passed": False,
        "found": "1 NULLs (20.00%)",
        "expected": "at most 0 NULLs",
        "state": "FAILED",
    }


# ── wrong declarations ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (
            {"check": "nuls", "column": "a"},
            "check 1: 'check' is one of row_count, .*, not 'nuls'. Did you mean 'nulls'?",
        ),
        ({}, "check 1: 'check' is one of .* not 'None'"),
        ({"check": "nulls"}, r"check 1 \(nulls\): field 'column' is missing"),
        ({"check": "nulls", "colum": "a"}, r"check 1 \(nulls\): unknown field 'colum'. Did you mean 'column'?"),
        ({"check": "range", "column": "a"}, r"check 1 \(range\): give minimum or maximum"),
        ({"check": "row_count"}, r"check 1 \(row_count\): give minimum or maximum"),
        ({"check": "row_count", "minimum": "5"}, r"'minimum' takes a number, not '5'"),
        ({"check": "range", "column": "a", "minimum": []}, r"'minimum' takes a number or a text, not \[\]"),
        (
            {"check": "nulls", "column": "a", "maximum_share": 1.5},
            "'maximum_share' takes a number from 0 to 1, not 1.5",
        ),
        ({"check": "drift", "column": "a", "maximum_psi": -1}, "'maximum_psi' takes a number of at least 0, not -1"),
        ({"check": "nulls", "column": "a", "severity": "fatal"}, "'severity' is 'blocking' or 'warning', not 'fatal'"),
        ({"check": "unique", "columns": []}, r"columns are named by texts, not \[\]"),
        ({"check": "unique", "columns": [1]}, r"columns are named by texts, not \[1\]"),
        ({"check": "allowed_values", "column": "a", "values": "ab"}, "'values' takes a list of values, not 'ab'"),
        ({"check": "allowed_values", "column": "a", "values": []}, r"'values' takes a list of values, not \[\]"),
        (
            {"check": "freshness", "column": "a", "maximum_age": "soon"},
            "'maximum_age' takes a time like .*, not 'soon'",
        ),
    ],
)
def test_a_wrong_declaration_is_a_sentence(document: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_checks([document])


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (
            {"check": "nulls", "column": "prise"},
            r"check 'nulls\(prise\)': there is no column 'prise'. Did you mean 'price'?",
        ),
        ({"check": "range", "column": "id", "minimum": "x"}, "'x' cannot be compared with 'id', which is int64"),
        ({"check": "range", "column": "kind", "minimum": 3}, "3 cannot be compared with 'kind', which is string"),
        (
            {"check": "range", "column": "at", "minimum": "soon"},
            "'soon' cannot be compared with 'at', which is timestamp",
        ),
        (
            {"check": "allowed_values", "column": "id", "values": ["a"]},
            "'a' cannot be compared with 'id', which is int64",
        ),
        ({"check": "freshness", "column": "id", "maximum_age": "1d"}, "'id' is int64 and no point in time"),
    ],
)
def test_a_check_that_does_not_fit_the_table_is_a_sentence(document: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        one(document)


def test_no_checks_at_all_is_a_mistake() -> None:
    with pytest.raises(UserError, match="no check is declared"):
        parse_checks([])
