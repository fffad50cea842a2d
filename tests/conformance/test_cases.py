"""Every case of the shared file and of the project's own files, on every driver."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.conformance.cases import Case, load_cases
from tests.conformance.drivers import ENGINES, spark_is_here
from tests.conformance.report import Report
from tests.conformance.runner import run_cases
from tests.conformance.shared_data import shared

OWN = sorted(Path(__file__).with_name("cases").glob("*.jsonl"))
IN_PROCESS = [name for name in ENGINES if name != "spark"]


@cache
def own_cases() -> list[Case]:
    return [case for path in OWN for case in load_cases(path)]


def assert_all_pass(report: Report) -> None:
    assert not report.failures, "\n".join(report.lines())


@pytest.mark.parametrize("engine", IN_PROCESS)
def test_own_cases(engine: str) -> None:
    assert_all_pass(run_cases(own_cases(), ENGINES[engine]()))


@pytest.mark.parametrize("engine", IN_PROCESS)
def test_shared_cases(engine: str) -> None:
    cases = load_cases(shared("conformance", "openmldb_cases.jsonl"))
    assert_all_pass(run_cases(cases, ENGINES[engine]()))


def test_there_are_cases_for_every_rule() -> None:
    assert len(own_cases()) >= 150
    assert len({case.key for case in own_cases()}) == len(own_cases())


def test_refusals_name_their_place() -> None:
    report = run_cases([case for case in own_cases() if case.kind == "must_fail"], ENGINES["oracle"]())
    assert [outcome.case.name for outcome in report.outcomes if not outcome.placed] == []


@pytest.mark.skipif(not spark_is_here(), reason="Spark needs pyspark and a Java runtime")
def test_cases_on_spark() -> None:
    # A sample, because each case is a Spark job of its own; `make conformance` runs them all.
    report = run_cases(own_cases()[::6], ENGINES["spark"]())
    assert report.total("result") > 30
    assert_all_pass(report)
    assert_all_pass(run_cases(load_cases(shared("conformance", "openmldb_cases.jsonl"))[::12], ENGINES["spark"]()))
