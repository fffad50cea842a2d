"""Tables in all of Airflow: twice green with the same versions, and red with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from test_airflow import start, wait_for

pytestmark = pytest.mark.live


def finished(api: httpx.Client, dag_id: str, run_id: str) -> str:
    def state() -> Any:
        found = api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()["state"]
        return found if found in ("success", "failed") else None

    return str(wait_for(state, 240))


def results(api: httpx.Client, dag_id: str, run_id: str) -> dict[tuple[str, int], Any]:
    """What each task instance returned, by task and map index."""
    base = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
    found = {}
    for task in api.get(base).raise_for_status().json()["task_instances"]:
        place = {"map_index": task["map_index"]}
        entry = api.get(f"{base}/{task['task_id']}/xcomEntries/return_value", params=place)
        found[task["task_id"], task["map_index"]] = entry.raise_for_status().json()["value"]
    return found


def versions(returned: dict[tuple[str, int], Any]) -> dict[tuple[str, int], Any]:
    names = ("table", "table_version", "rows", "table_fingerprint")
    return {task: [value.get(name) for name in names] for task, value in returned.items()}


def test_a_pipeline_is_green_twice_with_the_same_versions(api: httpx.Client, output: Path) -> None:
    run_ids = []
    for _ in range(2):
        run_ids.append(start(api, "tables"))
        assert finished(api, "tables", run_ids[-1]) == "success"
    first, second = (results(api, "tables", run_id) for run_id in run_ids)
    assert len(first) == 7
    assert versions(first) == versions(second)
    assert [first["load", number]["already_loaded"] for number in range(2)] == [False, False]
    assert [second["load", number]["already_loaded"] for number in range(2)] == [True, True]
    assert (first["extract", -1]["rows"], second["extract", -1]["already_extracted"]) == (400, True)
    assert (output / "exported" / "_SUCCESS").exists()
    events = api.get("/api/v2/assets/events", params={"source_dag_id": "tables"}).raise_for_status().json()
    extras = [event["extra"] for event in events["asset_events"]]
    assert [(extra["table_version"], extra["rows"]) for extra in extras] == [(1, 400)] * 2

    links = api.get(f"/api/v2/dags/tables/dagRuns/{run_ids[0]}/taskInstances/extract/links").json()["extra_links"]
    page = api.get(links["Report"])
    assert page.status_code == 200
    assert "features.live" in page.text
    assert page.headers["content-security-policy"].startswith("sandbox;")
    assert httpx.get(links["Report"]).status_code == 401
    other = api.get(links["Report"].replace("/dags/tables/", "/dags/broken_load/"))
    assert other.status_code == 404


def test_a_broken_file_turns_the_task_red_with_a_sentence(api: httpx.Client, output: Path) -> None:
    (output / "broken.csv").write_text("shop,country,opened\ns0,CN,2010-01-15\ns1,DE,in May\n")
    run_id = start(api, "broken_load")
    assert finished(api, "broken_load", run_id) == "failed"
    base = f"/api/v2/dags/broken_load/dagRuns/{run_id}/taskInstances/load"
    instance = api.get(base).raise_for_status().json()
    assert (instance["state"], instance["try_number"]) == ("failed", 1)
    log = str(api.get(f"{base}/logs/1", params={"full_content": True}).raise_for_status().json())
    assert "'in May'" in log
    assert "broken.csv" in log
