"""The link from a task to the report of the feature set that it made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

from airflow_provider_mlfeat.links.job import job_page_url

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


def report_page_url(dag_id: str, job_id: str) -> str:
    """Address of the page with the column statistics of what a job made."""
    return f"{job_page_url(dag_id, job_id)}/report"


class ReportLink(BaseOperatorLink):
    """Opens the report of the task's feature set; there once the job has ended well."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address that the operator pushed; Airflow asks for it again when the task ends, and stores the answer."""
        return getattr(operator, "report_url", None) or ""
