"""The page of one job (progress, result or error, the end of its log) and the report that it made."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.directory import JobDirectory
from airflow_provider_mlfeat.jobs.logs import last_lines, parse_line
from airflow_provider_mlfeat.jobs.progress import Snapshot

_LOG_LINES = 200
_REFRESH_SECONDS = 3
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c2b33;background:#fff}
h1{font-size:1.3rem}progress{width:100%;height:1.1rem}pre{background:#f4f6f7;padding:.8rem;overflow:auto;
border-radius:6px;font-size:13px}.failed{color:#b3261e}.succeeded{color:#1b6e3c}dt{font-weight:600}dd{margin:0 0 .4rem}
@media(prefers-color-scheme:dark){body{background:#14191c;color:#dde4e8}pre{background:#1f272b}}
"""
# A report shows values from a user's data: its page may not run, load or send anything.
_REPORT_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
}


def create_app() -> FastAPI:
    """The app. Every route asks for the rights to read what it shows of the job's DAG."""
    app = FastAPI(title="MLfeat", docs_url=None, redoc_url=None, openapi_url=None)
    # A result is what the task leaves in XCom, and a report is part of it.
    can_see_result = [_can_read(DagAccessEntity.TASK_INSTANCE), _can_read(DagAccessEntity.XCOM)]
    can_see_all = [*can_see_result, _can_read(DagAccessEntity.TASK_LOGS)]

    @app.get("/dags/{dag_id}/jobs/{job_id}", response_class=HTMLResponse, dependencies=can_see_all)
    def job_page(dag_id: str, job_id: str) -> str:
        return render(job_document(dag_id, job_id))

    @app.get("/dags/{dag_id}/jobs/{job_id}/status", dependencies=can_see_all)
    def job_status(dag_id: str, job_id: str) -> dict[str, Any]:
        return job_document(dag_id, job_id)

    @app.get("/dags/{dag_id}/jobs/{job_id}/report", response_class=HTMLResponse, dependencies=can_see_result)
    def job_report(dag_id: str, job_id: str) -> HTMLResponse:
        return HTMLResponse(report_page(job_document(dag_id, job_id)), headers=_REPORT_HEADERS)

    return app


def _can_read(entity: DagAccessEntity) -> Any:
    return Depends(requires_access_dag("GET", entity))


def job_document(dag_id: str, job_id: str) -> dict[str, Any]:
    """What is known of a job of `dag_id`; 404 for a job of another DAG, as for one that does not exist."""
    try:
        directory = JobDirectory(job_id)
    except UserError as error:
        raise HTTPException(404, str(error)) from None
    origin = directory.read("origin")
    if origin is None or origin.get("dag_id") != dag_id:
        raise HTTPException(404, f"no job '{job_id}' of DAG '{dag_id}' in the state directory of this host")
    lines = [parse_line(line) for line in last_lines(directory.log_path, _LOG_LINES)]
    state = directory.outcome()
    return {
        "job_id": job_id,
        "state": state.value if state.is_final else "running" if directory.has_fresh_heartbeat() else "lost",
        "origin": origin,
        "spec": directory.read("spec"),
        "progress": directory.read("progress"),
        "result": directory.read("result"),
        "error": directory.read("error"),
        "log": [text for _, text, _ in lines],
    }


def report_page(document: dict[str, Any]) -> str:
    """The report among what a job made; 404 where there is none, or none any more."""
    artifacts = (document["result"] or {}).get("artifacts", [])
    path = next((Path(artifact["path"]) for artifact in artifacts if artifact["name"] == "report"), None)
    if path is None:
        raise HTTPException(404, f"job '{document['job_id']}' has made no report")
    if path.suffix != ".html" or not path.is_file():
        raise HTTPException(404, f"the report of job '{document['job_id']}' is no longer at {path} on this host")
    return path.read_text(encoding="utf-8")


def render(document: dict[str, Any]) -> str:
    """The page as HTML; everything that comes from a job is escaped."""
    state = document["state"]
    refresh = f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">' if state == "running" else ""
    sections = [_progress(document["progress"])]
    if document["error"]:
        sections.append(f"<h2>Error</h2><pre>{html.escape(document['error']['message'])}</pre>")
    if document["result"]:
        sections.append(f"<h2>Result</h2>{_report_link(document)}{_fields(document['result'])}")
    sections.append(f"<h2>Spec</h2><pre>{html.escape(json.dumps(document['spec'], indent=2))}</pre>")
    sections.append(f"<h2>Log</h2><pre>{html.escape(chr(10).join(document['log'])) or '(empty)'}</pre>")
    origin = " / ".join(document["origin"].get(name, "") for name in ("dag_id", "run_id", "task_id"))
    title = html.escape(document["job_id"])
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8>{refresh}<title>{title}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{title} <span class={state}>{state}</span></h1>"
        f"<p>{html.escape(origin)}</p>{''.join(sections)}</body></html>"
    )


def _progress(document: dict[str, Any] | None) -> str:
    if document is None:
        return ""
    snapshot = Snapshot(**document)
    bar = f"<progress max={snapshot.total} value={snapshot.done}></progress>" if snapshot.total else ""
    return f"{bar}<p>{html.escape(snapshot.describe())}</p>"


def _report_link(document: dict[str, Any]) -> str:
    made = any(artifact["name"] == "report" for artifact in document["result"].get("artifacts", []))
    return f'<p><a href="{html.escape(document["job_id"])}/report">Report</a></p>' if made else ""


def _fields(document: dict[str, Any]) -> str:
    rows = (
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value if isinstance(value, str) else json.dumps(value))}</dd>"
        for name, value in document.items()
    )
    return f"<dl>{''.join(rows)}</dl>"
