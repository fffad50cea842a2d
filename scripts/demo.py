"""``make demo``: run an example DAG in a real local Airflow, show it live, and print the outcome as one JSON line."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from local_airflow import DEFAULT_STATE, LocalAirflow

_FINAL = ("success", "failed", "upstream_failed", "skipped")


def follow(client: Any, dag_id: str, run_id: str) -> str:
    """Print each task's changes and progress until the run ends; the run's state."""
    shown: dict[str, str] = {}
    while True:
        run = client.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()
        tasks = client.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances").raise_for_status().json()
        for task in tasks["task_instances"]:
            line = f"{task['task_id']}: {task['state'] or 'waiting'}{_progress(client, dag_id, run_id, task)}"
            if shown.get(task["task_id"]) != line:
                shown[task["task_id"]] = line
                print(f"  {line}", flush=True)
        if run["state"] in ("success", "failed"):
            return str(run["state"])
        time.sleep(1)


def _progress(client: Any, dag_id: str, run_id: str, task: dict[str, Any]) -> str:
    if task["state"] not in ("running", "deferred"):
        return f" ({task['duration']:.1f} s)" if task["state"] in _FINAL and task["duration"] else ""
    answer = client.get(
        f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/state-store/progress",
        params={"map_index": task["map_index"]},
    )
    if answer.status_code != 200:
        return ""
    snapshot = answer.json()["value"]
    return f", {snapshot['stage']} {snapshot['done']:.0f}/{snapshot['total'] or '?'} {snapshot['unit']}"


def main() -> int:
    """Run the demo; 0 when the DAG run succeeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dag", default="load_and_extract")
    options = parser.parse_args()
    airflow = LocalAirflow(state=DEFAULT_STATE / "demo")
    began = time.monotonic()
    print("starting Airflow …", flush=True)
    airflow.start()
    try:
        with airflow.client() as client:
            started = time.monotonic()
            wait_for_dag(client, options.dag)
            conf = parameters(options.dag, airflow.state)
            client.patch(f"/api/v2/dags/{options.dag}", json={"is_paused": False}).raise_for_status()
            run = client.post(f"/api/v2/dags/{options.dag}/dagRuns", json={"logical_date": None, "conf": conf})
            run_id = run.raise_for_status().json()["dag_run_id"]
            print(f"running {options.dag} ({airflow.url})", flush=True)
            state = follow(client, options.dag, run_id)
            result = outcome(client, options.dag, run_id)
    finally:
        airflow.stop()
    summary = {
        "dag": options.dag,
        "state": state,
        **result,
        "seconds": round(time.monotonic() - started, 1),
        "seconds_with_start": round(time.monotonic() - began, 1),
    }
    print(json.dumps(summary))
    return 0 if state == "success" else 1


def wait_for_dag(client: Any, dag_id: str) -> None:
    """Wait until the DAG processor has read the file."""
    deadline = time.monotonic() + 120
    while client.get(f"/api/v2/dags/{dag_id}").status_code != 200:
        if time.monotonic() > deadline:
            errors = client.get("/api/v2/importErrors").json().get("import_errors", [])
            raise SystemExit(f"DAG '{dag_id}' did not appear: {errors or 'no such file in dags/'}")
        time.sleep(1)


def parameters(dag_id: str, state: Path) -> dict[str, Any]:
    """What the demo asks of each DAG."""
    root = Path(__file__).resolve().parent.parent
    return {
        "file_manifest": {
            "paths": [str(root / "airflow_provider_mlfeat" / "**" / "*.py")],
            "manifest": str(state / "manifest.json"),
        },
        "feature_sql": {"output": str(state / "shopping")},
        "load_and_extract": {"output": str(state / "tables")},
    }.get(dag_id, {})


def outcome(client: Any, dag_id: str, run_id: str) -> dict[str, Any]:
    """The results that the run's tasks returned, flattened for the summary."""
    base = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
    result: dict[str, Any] = {}
    for task in client.get(base).raise_for_status().json()["task_instances"]:
        entry = client.get(f"{base}/{task['task_id']}/xcomEntries/return_value")
        if entry.status_code == 200:
            value = entry.json()["value"]
            value = json.loads(value) if isinstance(value, str) else value
            wanted = ("files", "total_bytes", "data_version", "rows", "columns", "plan_id", "engine", "cached")
            wanted += ("feature_set", "already_extracted", "output")
            result.update({name: value[name] for name in wanted if name in value})
    return result


if __name__ == "__main__":
    sys.exit(main())
