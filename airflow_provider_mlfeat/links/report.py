"""The link from a task to the report of what it made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_provider_mlfeat.links.job import job_page_url

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey


def report_page_url(dag_id: str, job_id: str) -> str:
    """Address of the page about what a job made."""
    return f"{job_page_url(dag_id, job_id)}/report"


class ReportLink(BaseOperatorLink):
    """Opens the report of what the task made; there once the job has ended well."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address that the operator pushed; Airflow asks for it again when the task ends, and stores the answer."""
        return getattr(operator, "report_url", None) or ""


def push_report(result: dict[str, Any], context: Context) -> str | None:
    """Make the link work at once; gives the address, or None where the job had no page."""
    if not result["job_id"]:
        return None
    url = report_page_url(context["ti"].dag_id, result["job_id"])
    context["ti"].xcom_push(key=ReportLink().xcom_key, value=url)
    return url
