"""The link from a task to its job's page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PAGES_PREFIX = "/mlfeat"


def job_page_url(dag_id: str, job_id: str) -> str:
    """Address of the page that shows a job's progress, log and result."""
    base = conf.get("api", "base_url", fallback="/").rstrip("/")
    return f"{base}{PAGES_PREFIX}/dags/{quote(dag_id, safe='')}/jobs/{quote(job_id, safe='')}"


class JobLink(BaseOperatorLink):
    """Opens the page of the task's job. Live from the moment the job is submitted."""

    name = "Job"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address that the operator pushed; Airflow asks for it again when the task ends, and stores the answer."""
        return getattr(operator, "job_url", None) or ""
