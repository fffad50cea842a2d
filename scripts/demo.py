"""``make demo``: run an example DAG in a real local Airflow, show it live, and print the outcome as one JSON line."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent))
from local_airflow import DEFAULT_STATE, LocalAirflow
from local_services import LocalServices

_ENDED = ("success", "failed", "upstream_failed", "skipped", "removed")
# DAGs that deploy a model, and so need servers to deploy it to.
_PIPELINES = ("jd_purchase_intention", "talkingdata_fraud")
_ROOT = Path(__file__).resolve().parent.parent

Results = dict[str, dict[str, Any]]


def follow(client: Any, dag_id: str, run_id: str) -> str:
    """Print each task's changes and progress until the run ends; the run's state."""
    shown: dict[tuple[str, int], str] = {}
    while True:
        run = patiently(lambda: client.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json())
        for task in task_instances(client, dag_id, run_id):
            name = task["task_id"] + (f"[{task['map_index']}]" if task["map_index"] >= 0 else "")
            line = f"{name}: {task['state'] or 'waiting'}{_progress(client, dag_id, run_id, task)}"
            key = (task["task_id"], task["map_index"])
            if shown.get(key) != line and task["state"] not in (None, "scheduled"):
                shown[key] = line
                print(f"  {line}", flush=True)
        if run["state"] in ("success", "failed"):
            return str(run["state"])
        time.sleep(1)


def task_instances(client: Any, dag_id: str, run_id: str) -> list[dict[str, Any]]:
    """The run's tasks, mapped ones each for itself."""
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
    answer = patiently(lambda: client.get(path, params={"limit": 100}).raise_for_status().json())
    tasks: list[dict[str, Any]] = answer["task_instances"]
    return tasks


def patiently(ask: Callable[[], Any]) -> Any:
    """An answer of the API server, which may take its time while the machine is busy with the run itself."""
    deadline = time.monotonic() + 300
    while True:
        try:
            return ask()
        except httpx.TimeoutException:
            if time.monotonic() > deadline:
                raise


def _progress(client: Any, dag_id: str, run_id: str, task: dict[str, Any]) -> str:
    if task["state"] not in ("running", "deferred"):
        return f" ({task['duration']:.1f} s)" if task["state"] in _ENDED and task["duration"] else ""
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/state-store/progress"
    answer = patiently(lambda: client.get(path, params={"map_index": task["map_index"]}))
    if answer.status_code != 200:
        return ""
    snapshot = answer.json()["value"]
    parts = [f"{snapshot['stage']} {snapshot['done']:,.0f}/{snapshot['total'] or '?'} {snapshot['unit']}"]
    if snapshot["rate"]:
        parts.append(f"{snapshot['rate']:,.0f} {snapshot['unit']}/s")
    metrics = snapshot["metrics"].items()
    parts += [f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in metrics]
    return ", " + ", ".join(parts)


def main() -> int:
    """Run the demo; 0 when the DAG run succeeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dag", default="jd_purchase_intention")
    parser.add_argument("--engine", default="", choices=("", "auto", "batch", "spark"), help="of the feature SQL")
    parser.add_argument("--scale", type=float, help="how much data to generate")
    options = parser.parse_args()
    state = DEFAULT_STATE / "demo"
    # A closed terminal stops what was started, like Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    began = time.monotonic()
    with services(options.dag, state) as connections:
        airflow = LocalAirflow(state=state, environment=connections)
        print("starting Airflow …", flush=True)
        airflow.start()
        try:
            with airflow.client() as client:
                started = time.monotonic()
                wait_for_dag(client, options.dag)
                conf = parameters(options.dag, state, options)
                client.patch(f"/api/v2/dags/{options.dag}", json={"is_paused": False}).raise_for_status()
                run = client.post(f"/api/v2/dags/{options.dag}/dagRuns", json={"logical_date": None, "conf": conf})
                run_id = run.raise_for_status().json()["dag_run_id"]
                print(f"running {options.dag} ({airflow.url})", flush=True)
                outcome = follow(client, options.dag, run_id)
                spent = time.monotonic() - started
                tasks = task_instances(client, options.dag, run_id)
                results = collect(client, options.dag, run_id, tasks)
        finally:
            airflow.stop()
    table(options.dag, outcome, tasks, results, spent)
    summary = {
        "dag": options.dag,
        "state": outcome,
        **fields(options.dag, results),
        "seconds": round(spent, 1),
        "seconds_of_jobs": round(sum(float(one.get("seconds") or 0) for one in results.values()), 1),
        "seconds_with_start": round(time.monotonic() - began, 1),
    }
    print(json.dumps(summary))
    return 0 if outcome == "success" else 1


@contextlib.contextmanager
def services(dag_id: str, state: Path) -> Iterator[dict[str, str]]:
    """The servers that a pipeline deploys to, while the block runs; the connections that lead to them."""
    if dag_id not in _PIPELINES:
        yield {}
        return
    local = LocalServices(state, service=dag_id)
    print("starting Triton and the prediction server …", flush=True)
    local.start()
    try:
        yield local.connections()
    finally:
        local.stop()


def wait_for_dag(client: Any, dag_id: str) -> None:
    """Wait until the DAG processor has read the file."""
    deadline = time.monotonic() + 120
    while client.get(f"/api/v2/dags/{dag_id}").status_code != 200:
        if time.monotonic() > deadline:
            errors = client.get("/api/v2/importErrors").json().get("import_errors", [])
            raise SystemExit(f"DAG '{dag_id}' did not appear: {errors or 'no such file in dags/'}")
        time.sleep(1)


def parameters(dag_id: str, state: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What the demo asks of each DAG."""
    chosen: dict[str, Any] = {
        "file_manifest": {
            "paths": [str(_ROOT / "airflow_provider_mlfeat" / "**" / "*.py")],
            "manifest": str(state / "manifest.json"),
        },
        "feature_sql": {"output": str(state / "shopping")},
        "load_and_extract": {"output": str(state / "tables")},
        **{name: {"output": str(state / name), "engine": "batch"} for name in _PIPELINES},
    }.get(dag_id, {})
    if options.engine and "engine" in chosen | {"engine": dag_id == "load_and_extract"}:
        chosen["engine"] = options.engine
    if options.scale and dag_id in _PIPELINES:
        chosen["scale"] = options.scale
    return chosen


def collect(client: Any, dag_id: str, run_id: str, tasks: list[dict[str, Any]]) -> Results:
    """What each task returned."""
    results: Results = {}
    for task in tasks:
        entry = patiently(partial(returned_value, client, dag_id, run_id, task))
        if entry.status_code == 200:
            value = entry.json()["value"]
            with contextlib.suppress(ValueError):
                value = json.loads(value) if isinstance(value, str) else value
            if isinstance(value, dict):
                results[task["task_id"] + (f"[{task['map_index']}]" if task["map_index"] >= 0 else "")] = value
    return results


def returned_value(client: Any, dag_id: str, run_id: str, task: dict[str, Any]) -> Any:
    """The API's answer about what a task returned."""
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/xcomEntries/return_value"
    return client.get(path, params={"map_index": task["map_index"]})


def by_kind(results: Results) -> Results:
    """The results by the kind of their job."""
    return {str(one.get("kind")): one for one in results.values()}


def fields(dag_id: str, results: Results) -> dict[str, Any]:
    """The figures of the JSON line."""
    found = by_kind(results)
    if dag_id not in _PIPELINES:
        wanted = ("files", "total_bytes", "data_version", "rows", "columns", "plan_id", "engine", "cached")
        wanted += ("feature_set", "already_extracted", "output")
        return {name: one[name] for one in results.values() for name in wanted if name in one}
    return {
        "requests": found.get("extract_features", {}).get("rows"),
        "auc": found.get("evaluate_model", {}).get("auc"),
        "gate": found.get("gate_model", {}).get("decision"),
        "parity_mismatches": found.get("check_parity", {}).get("mismatches"),
        "prediction": found.get("predict", {}).get("probability"),
    }


def table(dag_id: str, outcome: str, tasks: list[dict[str, Any]], results: Results, spent: float) -> None:
    """What happened, for people."""
    found = by_kind(results)
    if dag_id in _PIPELINES:
        lines = pipeline_lines(found)
        unchanged = sorted(name for name, one in results.items() if is_unchanged(one))
        lines.append(("found, not made again", ", ".join(unchanged) or "nothing"))
        jobs = sum(float(one.get("seconds") or 0) for one in results.values())
        lines.append(("time", f"{spent:.0f} s, of which jobs {jobs:.0f} s"))
        width = max(len(name) for name, _ in lines)
        print(f"\n{dag_id}: {outcome}")
        for name, value in lines:
            print(f"  {name.ljust(width)}  {value}")
        print()
    for task in tasks:
        if task["state"] == "failed":
            print(f"  {task['task_id']} failed; its log is below {DEFAULT_STATE / 'demo' / 'airflow' / 'logs'}")


def is_unchanged(result: dict[str, Any]) -> bool:
    """Whether a task found what an earlier run had made."""
    if result.get("cached") or any(result.get(name) is False for name in ("created", "changed", "switched", "moved")):
        return True
    return any(value is True for name, value in result.items() if name.startswith("already_"))


def pipeline_lines(found: Results) -> list[tuple[str, str]]:
    """The figures of a pipeline, as far as it came."""
    lines = []
    if extract := found.get("extract_features"):
        lines.append(("features", f"{extract['feature_set']}, {extract['rows']:,} rows, engine {extract['engine']}"))
    if evaluation := found.get("evaluate_model"):
        against = ", ".join(
            f"{name} {evaluation[name]:.4f}" for name in ("logistic_auc", "constant_auc") if evaluation.get(name)
        )
        lines.append(("AUC", f"{evaluation['auc']:.4f}" + (f" (baselines: {against})" if against else "")))
    if gate := found.get("gate_model"):
        lines.append(("gate", f"{gate['decision']}: {gate['reason']}"))
    if register := found.get("register_model"):
        lines.append(("model", f"{register['model_name']} version {register['model_version']}"))
    if triton := found.get("deploy_triton_model"):
        lines.append(("Triton", f"version {triton['triton_version']} of {triton['triton_model']}"))
    if parity := found.get("check_parity"):
        lines.append(
            (
                "parity",
                f"{parity['mismatches']} differences in {parity['requests']:,} requests, {parity['cells']:,} cells",
            )
        )
    if switch := found.get("switch_serving"):
        lines.append(("release", f"{switch['service']}@{switch['release']} ({switch['deployment']})"))
    if predict := found.get("predict"):
        lines.append(("prediction", f"{predict['probability']:.6f} in {predict['milliseconds']} ms in the server"))
    return lines


if __name__ == "__main__":
    sys.exit(main())
