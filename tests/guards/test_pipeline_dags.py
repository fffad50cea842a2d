"""The pipelines' ways out: branches, failure path, teardown, pools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest

DAGS = Path(__file__).resolve().parent.parent.parent / "dags"


def read(name: str) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS / f"{name}.py"), load_op_links=False).dags[name]


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return read("jd_purchase_intention")


@pytest.mark.parametrize(
    ("changed", "before", "live", "settled"),
    [
        # A release went live with the version, or the version was there before: it stays.
        (True, 1, True, "2"),
        (True, 1, False, "1"),
        (False, 1, False, "2"),
        # Nothing to go back to.
        (True, None, False, "2"),
    ],
)
def test_the_teardown_leaves_triton_with_the_model_of_the_live_release(
    pipeline: Any, changed: bool, before: int | None, live: bool, settled: str
) -> None:
    returned = {
        "deployment.deploy_model": {"triton_version": 2, "previous_version": before, "changed": changed},
        "serving.predict": {"probability": 0.1} if live else None,
    }

    class TaskInstance:
        xcom_pull = staticmethod(returned.__getitem__)

    task = pipeline.get_task("serving.settle_model")
    assert jinja2.Environment(autoescape=False).from_string(task.version).render(ti=TaskInstance).strip() == settled


def test_the_teardown_runs_once_the_model_is_deployed_whatever_follows(pipeline: Any) -> None:
    task = pipeline.get_task("serving.settle_model")
    assert task.is_teardown
    assert task.trigger_rule == "all_done_setup_success"
    assert not task.on_failure_fail_dagrun
    assert pipeline.get_task("deployment.deploy_model").is_setup
    assert task.upstream_task_ids == {"deployment.deploy_model", "serving.predict", "serving.roll_back"}


@pytest.mark.parametrize(
    ("name", "roll_back", "watched"),
    [
        ("jd_purchase_intention", "serving.roll_back", {"serving.switch", "serving.predict"}),
        ("talkingdata_fraud", "deployment.roll_back", {"deployment.update_server", "deployment.predict"}),
    ],
)
def test_a_failed_switch_or_prediction_is_rolled_back(name: str, roll_back: str, watched: set[str]) -> None:
    task = read(name).get_task(roll_back)
    assert task.trigger_rule == "one_failed"
    assert task.upstream_task_ids == watched
    # It takes back what this run switched, and nothing else.
    assert next(iter(watched & {"serving.switch", "deployment.update_server"})) in task.only_from


def test_pools_are_named_by_the_environment_and_never_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for pool in ("MLFEAT_SPARK_POOL", "MLFEAT_GPU_POOL"):
        monkeypatch.delenv(pool, raising=False)
    for name in ("jd_purchase_intention", "talkingdata_fraud"):
        assert {task.pool for task in read(name).tasks} == {"default_pool"}
    monkeypatch.setenv("MLFEAT_SPARK_POOL", "spark")
    monkeypatch.setenv("MLFEAT_GPU_POOL", "gpu")
    pipeline = read("jd_purchase_intention")
    assert pipeline.get_task("features.extract").pool == "spark"
    assert pipeline.get_task("model.train").pool == "gpu"
    assert read("talkingdata_fraud").get_task("extract_features").pool == "spark"
