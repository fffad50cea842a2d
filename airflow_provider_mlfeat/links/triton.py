"""The link from a task to its model on a Triton server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class TritonModelLink(BaseOperatorLink):
    """Opens the model's counters on the first server of the connection: requests, failures, times by version."""

    name = "Triton model"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address that the operator pushed; Airflow asks for it again when the task ends, and stores the answer."""
        return getattr(operator, "model_url", None) or ""
