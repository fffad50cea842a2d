"""The example pipelines, as a user triggers them: real Airflow, real Triton, real MLflow, a real prediction server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from local_airflow import LocalAirflow
from local_services import LocalServices
from test_airflow import wait_for

from airflow_provider_mlfeat.registry.tracking import Tracking
from airflow_provider_mlfeat.registry.versions import ENCODED_MODEL
from airflow_provider_mlfeat.training.trained_model import TrainedModel
from tests.places import ROOT
from tests.registry.elsewhere import Elsewhere

pytestmark = [pytest.mark.live, pytest.mark.pipelines]

JD, CLICKS = "jd_purchase_intention", "talkingdata_fraud"
MINUTES = 15
# As in the demo, but that fewer past requests are replayed.
SETTINGS: dict[str, dict[str, Any]] = {JD: {"parity_requests": 500}, CLICKS: {"parity_requests": 500}}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipelines")


@pytest.fixture(scope="module")
def services(state: Path) -> Iterator[LocalServices]:
    local = LocalServices(state, service=JD)
    local.start()
    yield local
    local.stop()


@pytest.fixture(scope="module")
def client(state: Path, services: LocalServices) -> Iterator[httpx.Client]:
    airflow = LocalAirflow(state=state, dags=ROOT / "dags", environment=services.connections())
    airflow.start()
    try:
        with airflow.client() as client:
            for dag_id in SETTINGS:
                wait_for(lambda dag_id=dag_id: client.get(f"/api/v2/dags/{dag_id}").status_code == 200, 120)
                client.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
            yield client
    finally:
        airflow.stop()


def run(client: httpx.Client, state: Path, dag_id: str, **changes: Any) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Trigger a DAG and wait: the run's state, what tasks returned, and their states."""
    conf = {"output": str(state / dag_id), "engine": "batch", **SETTINGS[dag_id], **changes}
    answer = client.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
    run_id = answer.raise_for_status().json()["dag_run_id"]
    return finish(client, dag_id, run_id)


def finish(client: httpx.Client, dag_id: str, run_id: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    base = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"

    def ended() -> Any:
        try:
            found = client.get(base).raise_for_status().json()["state"]
        except httpx.TimeoutException:
            return None
        return found if found in ("success", "failed") else None

    outcome = str(wait_for(ended, 60 * MINUTES))
    tasks = client.get(f"{base}/taskInstances", params={"limit": 100}).raise_for_status().json()["task_instances"]
    results: dict[str, Any] = {}
    for task in tasks:
        place = {"map_index": task["map_index"]}
        entry = client.get(f"{base}/taskInstances/{task['task_id']}/xcomEntries/return_value", params=place)
        if entry.status_code == 200:
            value = entry.json()["value"]
            results[task["task_id"]] = json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
    return outcome, results, {task["task_id"]: task["state"] for task in tasks}


@pytest.fixture(scope="module")
def first(client: httpx.Client, state: Path) -> tuple[str, dict[str, Any], dict[str, str]]:
    return run(client, state, JD)


@pytest.mark.timeout(60 * MINUTES)
def test_purchase_intention_ends_with_a_prediction(
    first: tuple[str, dict[str, Any], dict[str, str]], services: LocalServices
) -> None:
    outcome, results, states = first
    assert outcome == "success", states
    assert states["rejected"] == states["serving.roll_back"] == "skipped"
    parity = results["deployment.check_parity"]
    assert (parity["mismatches"], parity["requests"]) == (0, 500)
    assert results["model.gate"]["decision"] == "accepted"
    assert 0 < results["serving.predict"]["probability"] < 1
    # The server answers whoever asks, with the release that the run made.
    said = httpx.post(f"{services.server_url}/predict", json=request(), trust_env=False).json()
    assert said["probability"] == pytest.approx(results["serving.predict"]["probability"], abs=1e-6)
    assert said["release"] == results["serving.switch"]["release"]


@pytest.mark.timeout(60 * MINUTES)
def test_the_registered_model_runs_where_nothing_of_ours_is(
    first: tuple[str, dict[str, Any], dict[str, str]], state: Path, tmp_path: Path
) -> None:
    """In a fresh environment of its own requirements, by its name in the registry, it predicts the golden rows."""
    registry = Tracking({"MLFLOW_TRACKING_URI": f"sqlite:///{state / 'mlflow' / 'mlflow.db'}"})
    model = TrainedModel.open(first[1]["model.train"]["model"])
    golden = model.golden
    tensors: dict[str, Any] = {"INPUT_0": golden.ids, "INPUT_1": golden.values}
    encoded = tmp_path / "golden.npz"
    np.savez(encoded, **{one.name: tensors[one.name] for one in model.manifest.inputs})
    with registry.client() as client:
        champion = client.get_model_version_by_alias(JD, "champion")
    assert int(champion.version) == first[1]["deployment.register"]["model_version"]
    elsewhere = Elsewhere(tmp_path, registry)
    for uri, rows in (
        (f"models:/{JD}@champion", model.folder / "golden_features.parquet"),
        # What takes encoded ids requires what the model around it does, and one package more.
        (champion.tags[ENCODED_MODEL], encoded),
    ):
        elsewhere.install(uri)
        said = elsewhere.predict(uri, rows)
        # To the last bit what the model's own file says here, and what training saw, as close as the graph came to it.
        assert np.array_equal(said, model.predict(golden.ids, golden.values))
        golden.compare(said, uri)
        assert len(said) >= 32


def request() -> dict[str, Any]:
    import ast

    tree = ast.parse((ROOT / "dags" / f"{JD}.py").read_text())
    found = next(one for one in tree.body if isinstance(one, ast.Assign) and one.targets[0].id == "REQUEST")  # type: ignore[attr-defined]
    value: dict[str, Any] = ast.literal_eval(found.value)
    return value


@pytest.mark.timeout(60 * MINUTES)
def test_the_second_run_finds_what_has_not_changed(
    client: httpx.Client, state: Path, first: tuple[str, dict[str, Any], dict[str, str]]
) -> None:
    outcome, results, states = run(client, state, JD)
    assert outcome == "success", states
    for task in ("features.extract", "model.build_dataset", "model.train", "model.evaluate", "deployment.register"):
        unchanged = [name for name, value in results[task].items() if name.startswith("already_") and value is True]
        assert unchanged or results[task]["cached"], task
    names = ("feature_set", "plan_id", "model", "model_version", "deployment", "release", "probability")
    for task, before in first[1].items():
        if isinstance(before, dict):
            kept = {name: before[name] for name in names if name in before}
            assert {name: results[task][name] for name in kept} == kept, task
    assert results["serving.switch"]["switched"] is False


@pytest.mark.timeout(60 * MINUTES)
def test_a_model_that_is_not_good_enough_goes_no_further(
    client: httpx.Client, state: Path, services: LocalServices, first: tuple[str, dict[str, Any], dict[str, str]]
) -> None:
    outcome, results, states = run(client, state, JD, minimum_auc=1.0)
    assert (outcome, states["rejected"]) == ("failed", "failed")
    assert results["model.gate"]["decision"] == "rejected"
    assert "deployment.register" not in results
    outcome, results, _ = run(client, state, JD, minimum_positives=10_000)
    assert (outcome, results["model.gate"]["decision"]) == ("failed", "undecidable")
    # What was live answers still.
    assert httpx.post(f"{services.server_url}/predict", json=request(), trust_env=False).status_code == 200


@pytest.mark.timeout(60 * MINUTES)
def test_a_person_triggers_from_the_form_and_reads_a_report(
    client: httpx.Client, state: Path, services: LocalServices, tmp_path: Path
) -> None:
    """Log in, fill the form, trigger, wait for green, follow a task's button to its report."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine: scripts/install_test_services installs it")
    airflow = str(client.base_url).rstrip("/")
    password = json.loads((state / "airflow" / "simple_auth_manager_passwords.json.generated").read_text())["admin"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 1400})
        page.set_default_timeout(90_000)
        try:
            page.goto(f"{airflow}/")
            page.fill("input[name=username]", "admin")
            page.fill("input[name=password]", password)
            page.click("button[type=submit]")
            page.get_by_text("Home").first.wait_for()
            page.goto(f"{airflow}/dags/{CLICKS}")
            page.get_by_role("button", name="Trigger").first.click()
            page.locator("[name=element_scale]").wait_for()
            page.locator("[name=element_output]").fill(str(state / "from-the-form"))
            page.locator("[name=element_parity_requests]").fill("500")
            page.get_by_role("button", name="Trigger").last.click()
            run_id = wait_for(lambda: latest_run(client, CLICKS, str(state / "from-the-form")), 60)
            outcome, results, states = finish(client, CLICKS, run_id)
            assert outcome == "success", states
            assert results["data.sample_data"]["rows"] == {"clicks": 200_000}
            page.goto(f"{airflow}/dags/{CLICKS}/runs/{run_id}/tasks/deployment.check_parity/details")
            page.goto(page.get_by_role("link", name="Report", exact=True).first.get_attribute("href"))
            page.get_by_text("Parity of training and serving").first.wait_for()
            assert "are equal" in page.content()
        except Exception:
            page.screenshot(path=tmp_path / "page.png")
            raise
        finally:
            browser.close()


def latest_run(client: httpx.Client, dag_id: str, output: str) -> str | None:
    """The run that was asked to write there."""
    runs = client.get(f"/api/v2/dags/{dag_id}/dagRuns", params={"limit": 5, "order_by": "-run_after"}).json()
    return next((one["dag_run_id"] for one in runs["dag_runs"] if one["conf"].get("output") == output), None)


@pytest.mark.parametrize(
    ("field", "value"), [("scale", 0), ("scale", "much"), ("engine", "abacus"), ("epochs", 0), ("minimum_auc", 1.5)]
)
def test_parameters_out_of_range_are_refused(client: httpx.Client, state: Path, field: str, value: Any) -> None:
    answer = client.post(f"/api/v2/dags/{JD}/dagRuns", json={"logical_date": None, "conf": {field: value}})
    assert answer.status_code == 400
    assert field in answer.text or str(value) in answer.text


@pytest.mark.timeout(60 * MINUTES)
def test_a_folder_without_the_tables_fails_the_first_task(client: httpx.Client, state: Path, tmp_path: Path) -> None:
    (tmp_path / "action").mkdir()
    (tmp_path / "action" / "part.parquet").touch()
    outcome, results, states = run(client, state, JD, data=str(tmp_path), output=str(state / "nothing"))
    assert (outcome, states["data.sample_data"]) == ("failed", "failed")
    # Nothing was switched, so there is nothing to take back.
    assert set(results) <= {"serving.roll_back"}
    run_id = latest_run(client, JD, str(state / "nothing"))
    path = f"/api/v2/dags/{JD}/dagRuns/{run_id}/taskInstances/data.sample_data/logs/1"
    log = str(client.get(path, params={"full_content": True}).raise_for_status().json())
    folders = ("flattenRequest_clean", "bo_user", "bo_action", "bo_product", "bo_comment")
    assert f"lacks {', '.join(f'{name}/*.parquet' for name in folders)}" in log


@pytest.mark.timeout(60 * MINUTES)
def test_clicks_end_with_a_prediction(client: httpx.Client, state: Path) -> None:
    outcome, results, states = run(client, state, CLICKS)
    assert outcome == "success", states
    assert (results["deployment.check_parity"]["mismatches"], states["fail_report"]) == (0, "skipped")
    answer = results["deployment.predict"]["predictions"][0]
    assert answer["class"] == 0
    assert answer["deployment"] == results["deployment.deploy_sql"]["deployment"]


@pytest.mark.timeout(60 * MINUTES)
def test_a_model_of_clicks_that_is_not_good_enough_leaves_a_run_that_says_so(client: httpx.Client, state: Path) -> None:
    outcome, results, states = run(client, state, CLICKS, minimum_auc=1.0)
    assert (outcome, states["fail_report"], states["deployment.register"]) == ("failed", "failed", "skipped")
    assert results["model.gate"]["decision"] == "rejected"
    assert not any(task.startswith("deployment.") for task in results)


@pytest.mark.spark
@pytest.mark.timeout(60 * MINUTES)
def test_spark_makes_the_same_features(
    client: httpx.Client, state: Path, first: tuple[str, dict[str, Any], dict[str, str]]
) -> None:
    outcome, results, states = run(client, state, JD, engine="spark", output=str(state / "jd-on-spark"))
    assert outcome == "success", states
    assert results["features.extract"]["engine"] == "spark"
    assert results["features.extract"]["plan_id"] == first[1]["features.extract"]["plan_id"]
    assert results["deployment.check_parity"]["mismatches"] == 0
    # Rows come from Spark in another order, so the shuffle differs, and with it the last digits of the model.
    assert results["features.extract"]["rows"] == first[1]["features.extract"]["rows"]
    assert results["model.gate"]["decision"] == "accepted"


@pytest.mark.timeout(2 * 60 * MINUTES)
def test_any_task_may_be_cleared_and_run_again(
    client: httpx.Client, state: Path, first: tuple[str, dict[str, Any], dict[str, str]]
) -> None:
    answer = client.get(f"/api/v2/dags/{JD}/dagRuns", params={"limit": 1, "order_by": "start_date"})
    run_id = answer.raise_for_status().json()["dag_runs"][0]["dag_run_id"]
    tasks = [task for task, value in first[1].items() if isinstance(value, dict)]
    load = "deployment.load_online"
    body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
    # A run of another engine has put its own tables in the place of this run's: the first load puts these back.
    for task in [load, *tasks]:
        cleared = client.post(f"/api/v2/dags/{JD}/clearTaskInstances", json={**body, "task_ids": [task]})
        cleared.raise_for_status()
        outcome, results, states = finish(client, JD, run_id)
        assert outcome == "success", (task, states)
        for name in ("rows", "feature_set", "model", "model_version", "deployment", "release", "mismatches"):
            if name in first[1][task] and (task, name) != (load, "rows"):
                assert results[task][name] == first[1][task][name], (task, name)
    # All rows are there already, so none is put again.
    assert (results[load]["rows"], results[load]["already_loaded"]) == (0, True)


@pytest.mark.timeout(60 * MINUTES)
def test_triton_that_is_away_fails_the_deployment_and_the_release_stays(
    client: httpx.Client, state: Path, services: LocalServices, first: tuple[str, dict[str, Any], dict[str, str]]
) -> None:
    def release() -> int:
        return int(httpx.post(f"{services.server_url}/predict", json=request(), trust_env=False).json()["release"])

    before = release()
    services.stop_triton()
    try:
        outcome, _, states = run(client, state, JD)
    finally:
        services.start_triton()
    assert (outcome, states["deployment.deploy_model"]) == ("failed", "failed")
    # Nothing was switched, so nothing is taken back, and the release of the first run answers as before.
    assert states["serving.switch"] == states["serving.roll_back"] == "upstream_failed"
    assert wait_for(release) == before


# Each after those whose results it takes; a person has to answer approve_model.
EXAMPLES = sorted(path.stem for path in (ROOT / "dags" / "examples").glob("*.py") if path.stem != "approve_model")


@pytest.mark.timeout(60 * MINUTES)
def test_every_example_runs(
    client: httpx.Client, state: Path, first: tuple[str, dict[str, Any], dict[str, str]]
) -> None:
    run_ids = {}
    for name in EXAMPLES:
        dag_id = f"example_{name}"
        wait_for(lambda dag_id=dag_id: client.get(f"/api/v2/dags/{dag_id}").status_code == 200, 120)
        client.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
        params = client.get(f"/api/v2/dags/{dag_id}/details").raise_for_status().json()["params"]
        conf = {"root": str(state / JD / "tables")} if "root" in params else {}
        answer = client.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        run_ids[name] = answer.raise_for_status().json()["dag_run_id"]
    ended = {name: finish(client, f"example_{name}", run_id) for name, run_id in run_ids.items()}
    assert {name: states for name, (outcome, _, states) in ended.items() if outcome != "success"} == {}
