from __future__ import annotations

import pytest
from mlfeat_test_jobs import StepsSpec

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.registry import job_of, kinds
from airflow_provider_mlfeat.jobs.run import parse_spec


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "a job spec is a JSON object with a 'kind'"),
        ({}, "job spec: field 'kind' is missing"),
        ({"kind": "nope"}, f"unknown job kind 'nope'; known kinds: {', '.join(kinds())}"),
        (
            {"kind": "test_steps", "output": "x", "stepz": 1},
            "spec of job 'test_steps': unknown field 'stepz'; did you mean 'steps'?",
        ),
        (
            {"kind": "test_steps", "output": "x", "steps": "3"},
            "spec of job 'test_steps': field 'steps': Input should be a valid integer, got '3'",
        ),
        ({"kind": "test_steps"}, "spec of job 'test_steps': field 'output' is missing"),
        (
            {"kind": "test_steps", "output": "x", "version": 2},
            "spec of job 'test_steps': version 2 is not known, this release reads 1",
        ),
        (
            {"kind": "file_manifest", "paths": [], "manifest": ""},
            "spec of job 'file_manifest': field 'paths': Tuple should have at least 1 item after validation, not 0, "
            "got []; field 'manifest': String should have at least 1 character, got ''",
        ),
    ],
)
def test_a_wrong_spec_gets_one_sentence(document: object, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_spec(document)
    assert str(error.value) == message


def test_a_spec_is_frozen_and_survives_json() -> None:
    spec = StepsSpec(output="x", steps=7)
    assert parse_spec(spec.model_dump(mode="json")) == spec
    with pytest.raises(ValueError, match="frozen"):
        spec.steps = 8  # type: ignore[misc]


def test_other_distributions_add_kinds() -> None:
    assert {"file_manifest", "query", "test_steps"} <= set(kinds())
    assert type(job_of("test_steps")).__name__ == "StepsJob"
