"""A person's word before a promotion, and drift that starts another DAG: in all of Airflow, as they are used."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from local_airflow import LocalAirflow
from test_airflow import start, wait_for
from test_tables import finished

from airflow_provider_mlfeat.registry.tracking import Tracking
from airflow_provider_mlfeat.registry.versions import find_alias
from tests.registry.folders import make_dataset, make_evaluation, make_model
from tests.serving import test_drift_job as drift

pytestmark = pytest.mark.live
DAG, TASK = "approval", "approve"


@pytest.fixture(scope="module", autouse=True)
def model(output: Path) -> Path:
    """A trained and evaluated model, which the DAG judges and registers."""
    folder = output / "approval"
    make_dataset(folder / "dataset")
    make_model(folder / "model")
    make_evaluation(folder / "evaluation", folder / "model", folder / "dataset")
    return folder


def alias(airflow: LocalAirflow, name: str) -> int | None:
    """The version that an alias points to in the MLflow of that Airflow."""
    registry = Tracking({"MLFLOW_TRACKING_URI": f"sqlite:///{airflow.state / 'mlflow' / 'mlflow.db'}"})
    with registry.client() as client:
        found = find_alias(client, "approved", name)
    return None if found is None else found.number


def instance(api: httpx.Client, run_id: str, task_id: str) -> Any:
    return api.get(f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}").raise_for_status().json()


def question(api: httpx.Client, run_id: str) -> Any:
    """The form, once it waits for an answer.

    The process that asked ends some five seconds later in Airflow 3.3, which takes a task for failed that goes on
    before then; few people are as quick as that.
    """

    def asked() -> Any:
        state = instance(api, run_id, TASK)["state"]
        assert state not in ("failed", "upstream_failed", "success"), state
        if state not in ("deferred", "awaiting_input"):
            return None
        found = api.get(f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/{TASK}/-1/hitlDetails")
        return found.json() if found.status_code == 200 else None

    found = wait_for(asked, 240)
    time.sleep(8)
    return found


def answer(api: httpx.Client, run_id: str, option: str) -> None:
    path = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/{TASK}/-1/hitlDetails"
    api.patch(path, json={"chosen_options": [option], "params_input": {}}).raise_for_status()


def test_a_rejection_keeps_the_model_back_and_an_approval_promotes_it(api: httpx.Client, airflow: LocalAirflow) -> None:
    run_id = start(api, DAG)
    asked = question(api, run_id)
    assert asked["subject"] == "Promote approved version 1?"
    assert asked["body"].startswith("**accepted**")
    assert "| auc |" in asked["body"]
    assert asked["options"] == ["Approve", "Reject"]
    # Nothing is promoted before somebody has said so.
    assert (alias(airflow, "challenger"), alias(airflow, "champion")) == (1, None)
    answer(api, run_id, "Reject")
    assert finished(api, DAG, run_id) == "success"
    assert instance(api, run_id, TASK)["state"] == "success"
    assert instance(api, run_id, "promote")["state"] == "skipped"
    assert alias(airflow, "champion") is None

    run_id = start(api, DAG)
    question(api, run_id)
    answer(api, run_id, "Approve")
    assert finished(api, DAG, run_id) == "success"
    assert instance(api, run_id, "promote")["state"] == "success"
    assert alias(airflow, "champion") == 1
    again = api.patch(
        f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/{TASK}/-1/hitlDetails", json={"chosen_options": ["Reject"]}
    )
    assert again.status_code == 409, "an answer is given once"


@pytest.fixture
def page(airflow: LocalAirflow, tmp_path: Path) -> Iterator[Any]:
    """A browser that is logged in."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine: scripts/install_test_services installs it")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(viewport={"width": 1400, "height": 1400})
        opened.set_default_timeout(90_000)
        opened.goto(f"{airflow.url}/")
        opened.fill("input[name=username]", "admin")
        opened.fill("input[name=password]", airflow.password)
        opened.click("button[type=submit]")
        opened.get_by_text("Home").first.wait_for()
        yield opened
        opened.screenshot(path=tmp_path / "page.png")
        browser.close()


def test_the_form_shows_the_decision_as_a_table(api: httpx.Client, airflow: LocalAirflow, page: Any) -> None:
    """Read in a browser what the gate found, press the button, see the model promoted."""
    run_id = start(api, DAG)
    question(api, run_id)
    page.goto(f"{airflow.url}/dags/{DAG}/runs/{run_id}/tasks/{TASK}/required_actions")
    page.get_by_text("Promote approved version 1?").first.wait_for()
    table = page.get_by_role("table").filter(has_text="expected").first
    table.wait_for()
    cells = table.get_by_role("cell").all_inner_texts()
    assert "auc" in cells
    assert "0.6 or more" in cells
    page.get_by_test_id("hitl-option-Approve").click()
    assert finished(api, DAG, run_id) == "success"
    assert instance(api, run_id, "promote")["state"] == "success"
    assert alias(airflow, "champion") == 1


def test_drift_starts_another_dag(
    api: httpx.Client, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = output / "drift"
    place.mkdir()
    drift.make_feature_set(place)
    wait_for(lambda: api.get("/api/v2/dags/train_anew").status_code == 200)
    api.patch("/api/v2/dags/train_anew", json={"is_paused": False}).raise_for_status()
    drift.log(place, 10)
    assert finished(api, "drift", start(api, "drift")) == "success"
    assert events(api) == []
    drift.log(place, 14, release=2)
    run_id = start(api, "drift")
    assert finished(api, "drift", run_id) == "success"
    # Airflow 3.3 cannot tell of an event while the run that it caused has not started yet.
    runs = wait_for(lambda: started(api, "train_anew"))
    assert [one["run_type"] for one in runs] == ["asset_triggered"]
    (event,) = events(api)
    assert (event["source_run_id"], event["extra"]["worst_column"]) == (run_id, "price")
    assert event["extra"]["breaches"][0].startswith("'price': stability index")


def started(api: httpx.Client, dag_id: str) -> list[Any]:
    """The runs of a DAG that have begun."""
    found = api.get(f"/api/v2/dags/{dag_id}/dagRuns").raise_for_status().json()["dag_runs"]
    return [one for one in found if one["start_date"]]


def events(api: httpx.Client) -> list[Any]:
    found = api.get("/api/v2/assets/events", params={"source_dag_id": "drift"}).raise_for_status().json()
    return [one for one in found["asset_events"] if one["name"] == "live_drift"]
