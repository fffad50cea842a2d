"""Runs cases on an engine and judges the answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from airflow_provider_mlfeat.sql.errors import SqlError
from airflow_provider_mlfeat.sql.planner import Mode
from tests.conformance.cases import Case
from tests.conformance.comparing import difference
from tests.conformance.deviations import deviation
from tests.conformance.engines import Engine
from tests.conformance.planning import plan_case
from tests.conformance.report import DEVIATING, FAILED, PASSED, Outcome, Report


def run_cases(cases: Iterable[Case], engine: Engine) -> Report:
    """The outcome of every case that has a meaning for the engine."""
    return Report(engine.name, [run_case(case, engine) for case in cases if engine.runs(case) or case.kind != "result"])


def run_case(case: Case, engine: Engine) -> Outcome:
    """The outcome of one case."""
    outcome = _run_result(case, engine) if case.kind == "result" else _run_refusal(case)
    reason = deviation(case, engine.name) if outcome.status == FAILED else None
    return outcome if reason is None else replace(outcome, status=DEVIATING, reason=reason)


def _run_result(case: Case, engine: Engine) -> Outcome:
    assert case.expectation is not None
    try:
        answer = engine.answer(case, plan_case(case, engine.mode))
    except Exception as error:
        return Outcome(case, FAILED, "an error", f"{type(error).__name__}: {error}")
    wrong = difference(case.expectation, answer.columns, answer.rows)
    return Outcome(case, PASSED) if wrong is None else Outcome(case, FAILED, wrong, repr(answer.rows[:12]))


def _run_refusal(case: Case) -> Outcome:
    """A case that must fail is compiled in both modes; only an error of the language counts, with its place.

    A deployment is compiled in request mode alone: as a plain query it may be legal.
    """
    placed = True
    modes: tuple[Mode, ...] = ("request",) if case.long_windows else ("batch", "request")
    for mode in modes:
        try:
            plan = plan_case(case, mode)
        except SqlError as error:
            placed = placed and error.position is not None
        except Exception as error:
            return Outcome(case, FAILED, f"an internal error in {mode} mode", f"{type(error).__name__}: {error}")
        else:
            return Outcome(case, FAILED, f"accepted in {mode} mode", repr([str(c.type) for c in plan.schema]))
    return Outcome(case, PASSED, placed=placed)
