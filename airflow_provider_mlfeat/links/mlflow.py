"""The ways from a task to MLflow: the run that trained a model, and the version that it became."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class MLflowRunLink(BaseOperatorLink):
    """Opens the MLflow run; before there is one, the experiment's model. Empty where MLflow has no pages."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address that the operator pushed; Airflow asks for it again when the task ends, and stores the answer."""
        return getattr(operator, "run_url", None) or ""


class ModelVersionLink(BaseOperatorLink):
    """Opens the registered model while its version is in the making, and the version from then on."""

    name = "Model version"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address that the operator pushed; Airflow asks for it again when the task ends, and stores the answer."""
        return getattr(operator, "version_url", None) or ""
