"""The pages of a job: who may see them, what they show, and that what they show is text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api import security
from starlette.testclient import TestClient

from airflow_provider_mlfeat.files import STATE_VARIABLE
from airflow_provider_mlfeat.jobs.directory import JobDirectory
from airflow_provider_mlfeat.plugins.job_pages import create_app

PAGE = "/dags/shop/jobs/train-1"
ALL = {DagAccessEntity.TASK_INSTANCE, DagAccessEntity.TASK_LOGS, DagAccessEntity.XCOM}
Ask = Callable[..., Any]


class Rights:
    """An auth manager that knows one DAG and what may be read of it.

    :param entities: what.
    """

    def __init__(self, entities: set[DagAccessEntity]) -> None:
        self.entities = entities

    def is_authorized_dag(self, *, method: str, access_entity: DagAccessEntity, details: DagDetails, user: Any) -> bool:
        return method == "GET" and details.id == "shop" and access_entity in self.entities


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobDirectory:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    directory = JobDirectory("train-1")
    directory.begin({"kind": "train", "note": "</pre><script>1</script>"}, {"dag_id": "shop", "task_id": "<b>t</b>"})
    directory.log_path.write_text("<i>epoch 1</i>\n")
    report = tmp_path / "report.html"
    report.write_text("<h1>AUC 0.9</h1>")
    artifacts = [{"name": "report", "path": str(report)}]
    directory.write("result", {"auc": 0.9, "model": "<script>2</script>", "artifacts": artifacts})
    return directory


@pytest.fixture
def ask(job: JobDirectory, monkeypatch: pytest.MonkeyPatch) -> Ask:
    def get(path: str, entities: set[DagAccessEntity] = ALL) -> Any:
        monkeypatch.setattr(security, "get_auth_manager", lambda: Rights(entities))
        monkeypatch.setattr(security.DagModel, "get_team_name", lambda dag_id: None)
        app = create_app()
        app.dependency_overrides[security.get_user] = lambda: "somebody"
        return TestClient(app).get(path)

    return get


def test_the_page_shows_all_of_a_job_as_text(ask: Ask) -> None:
    page = ask(PAGE)
    assert page.status_code == 200
    for text in ("train-1", "succeeded", "0.9", "&lt;i&gt;epoch 1", "&lt;b&gt;t", 'href="train-1/report"'):
        assert text in page.text
    assert "<script" not in page.text
    assert "<i>" not in page.text


def test_the_status_is_the_same_as_a_document(ask: Ask) -> None:
    status = ask(f"{PAGE}/status").json()
    assert (status["state"], status["result"]["auc"], status["log"]) == ("succeeded", 0.9, ["<i>epoch 1</i>"])


def test_a_report_may_do_nothing(ask: Ask) -> None:
    report = ask(f"{PAGE}/report")
    assert report.text == "<h1>AUC 0.9</h1>"
    assert report.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        (PAGE, ALL),
        (f"{PAGE}/status", ALL),
        (f"{PAGE}/report", {DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM}),
    ],
)
def test_every_right_is_needed(ask: Ask, path: str, needed: set[DagAccessEntity]) -> None:
    assert ask(path, needed).status_code == 200
    for entity in needed:
        assert ask(path, ALL - {entity}).status_code == 403


@pytest.mark.parametrize("route", create_app().routes, ids=lambda route: route.path)
def test_no_route_is_open(route: Any) -> None:
    assert route.dependencies


def test_a_job_is_shown_under_its_own_dag_alone(ask: Ask, job: JobDirectory) -> None:
    job.write("origin", {"dag_id": "other"})
    assert ask(PAGE).status_code == 404
    assert ask("/dags/other/jobs/train-1").status_code == 403
    for path in ("/dags/shop/jobs/none", "/dags/shop/jobs/..%2Ftrain-1", "/dags/~/jobs/train-1"):
        assert ask(path).status_code in (403, 404)


def test_a_report_that_is_gone_says_so(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "report.html").unlink()
    gone = ask(f"{PAGE}/report")
    assert (gone.status_code, "no longer at" in gone.text) == (404, True)
