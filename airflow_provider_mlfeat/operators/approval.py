"""A person's word before a promotion, with the gate's numbers before their eyes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator


class ApproveModelOperator(ApprovalOperator):
    """Wait until a person approves or rejects a model; the form shows the gate's decision.

    Nothing runs while it waits. A rejection skips what is downstream; with ``fail_on_reject`` it fails the task.
    All arguments of Airflow's ``ApprovalOperator`` hold here too, such as ``defaults`` and ``response_timeout`` (what
    counts as the answer, and when, if nobody gives one) and ``assigned_users``.

    :param model_name: the registered model's name. (templated)
    :param model_version: number of the version that is to be approved. (templated)
    :param decision_table: the gate's ``decision_table``. (templated)
    :param subject: the form's title; the default names model and version. (templated)
    :param body: the form's text, in Markdown; the default is the decision table. (templated)
    """

    template_fields: Sequence[str] = (
        "model_name",
        "model_version",
        "decision_table",
        *ApprovalOperator.template_fields,
    )

    def __init__(
        self,
        *,
        model_name: str,
        model_version: int | str,
        decision_table: str,
        subject: str | None = None,
        body: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Templates of the arguments, put together: Airflow renders the whole.
        super().__init__(
            subject=subject or f"Promote {model_name} version {model_version}?",
            body=body or decision_table,
            **kwargs,
        )
        self.model_name = model_name
        self.model_version = model_version
        self.decision_table = decision_table
