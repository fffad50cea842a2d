"""The gate: whether a model may be used, and what happens when it may not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.branch import BranchMixIn
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.operators.job import JobOperator
from airflow_provider_mlfeat.operators.registry import MLflowJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mlfeat.runtimes.runtime import Handle

_MODES = ("fail", "skip", "branch")
_RESULT_KEY = "return_value"


class GateModelOperator(MLflowJobOperator, BranchMixIn):
    """Decide by declared rules whether a model may be used; with too few positive rows it is undecidable, and may not.

    The task's log shows a table with the numbers of every rule; the same is in the MLflow run and in the decision file,
    which `RegisterModelOperator` asks for. A decision of an earlier try is deleted before anything is judged.

    XCom, beside what every job returns: ``decision`` (``accepted``, ``rejected``, ``undecidable``), ``accepted``,
    ``reason``, ``decision_file``, ``decision_table`` (Markdown), ``model``, ``model_fingerprint``,
    ``champion_version``, and ``passed``, ``failed``, ``undecidable`` (counts). It is there in every mode, also when the
    task fails.

    :param model: the model's folder. (templated)
    :param evaluation: the folder of its evaluation. (templated)
    :param dataset: the evaluated dataset's folder; comparison with a champion and slices need it. (templated)
    :param rules: one document each, such as ``{"rule": "threshold", "metric": "auc", "minimum": 0.75}``; None asks that
        the model is better than a constant, and than the champion where there is one. (templated)
    :param model_name: the registered model whose champion is to be beaten; None compares with no champion. (templated)
    :param champion: alias of the champion. (templated)
    :param mode: what a model that is not accepted does: ``fail`` fails the task without retries, ``skip`` skips all
        tasks downstream, ``branch`` goes to `on_reject`.
    :param on_accept: in mode ``branch``, the task or tasks to go on with when the model is accepted.
    :param on_reject: in mode ``branch``, the task or tasks to go on with when it is not.
    :param registration_file: what an earlier registration wrote; it is deleted before anything is judged, so that
        nobody takes the earlier model for this one. (templated)
    :param output_folder: of all decisions; the default lies below `root`. (templated)
    :param root: folder of the tables, as for the operators on tables. (templated)
    """

    template_fields: Sequence[str] = (
        *(
            "model",
            "evaluation",
            "dataset",
            "rules",
            "model_name",
            "champion",
            "registration_file",
            "output_folder",
            "root",
        ),
        *MLflowJobOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {"rules": "json", **JobOperator.template_fields_renderers}
    inherits_from_skipmixin = True

    def __init__(
        self,
        *,
        model: str,
        evaluation: str,
        dataset: str | None = None,
        rules: Sequence[dict[str, Any]] | None = None,
        model_name: str | None = None,
        champion: str = "champion",
        mode: str = "fail",
        on_accept: str | Sequence[str] = (),
        on_reject: str | Sequence[str] = (),
        registration_file: str | None = None,
        output_folder: str | None = None,
        root: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.evaluation = evaluation
        self.dataset = dataset
        self.rules = rules
        self.model_name = model_name
        self.champion = champion
        self.mode = mode
        self.on_accept = on_accept
        self.on_reject = on_reject
        self.registration_file = registration_file
        self.output_folder = output_folder
        self.root = root
        if mode not in _MODES:
            raise ValueError(f"mode is one of {', '.join(_MODES)}, not {mode!r}")
        if (mode == "branch") != bool(on_accept or on_reject):
            raise ValueError("mode 'branch', and no other, takes on_accept and on_reject")

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``gate_model`` job."""
        origin = self._origin(context)
        return {
            "kind": "gate_model",
            "model": self.model,
            "evaluation": self.evaluation,
            "dataset": self.dataset or "",
            "rules": None if self.rules is None else list(self.rules),
            "model_name": self.model_name or "",
            "champion": self.champion,
            "work": "/".join(origin[name] for name in ("dag_id", "run_id", "task_id", "map_index")),
            "registration_file": self.registration_file or "",
            "output": self.output_folder or "",
            "root": self.root or str(conf.get("mlfeat", "tables_root", fallback="")),
            "tracking": self.tracking_document(),
        }

    def execute(self, context: Context) -> dict[str, Any]:
        """Judge, and do what the mode says."""
        return self._act(super().execute(context), context)

    def execute_complete(self, context: Context, event: dict[str, Any], handle: Handle) -> dict[str, Any]:
        """Back from the triggerer: the same."""
        return self._act(super().execute_complete(context, event, handle), context)

    def _act(self, result: dict[str, Any], context: Context) -> dict[str, Any]:
        accepted = bool(result["accepted"])
        if self.mode != "branch" and accepted:
            return result
        # Failing and skipping both end the task before Airflow stores what it returns.
        context["ti"].xcom_push(key=_RESULT_KEY, value=result)
        if self.mode == "fail":
            raise AirflowFailException(f"the model is {result['decision']}: {result['reason']}")
        self.log.info("the model is %s: %s", result["decision"], result["reason"])
        chosen = self.on_accept if accepted else self.on_reject
        self.do_branch(context, self._tasks(chosen) if self.mode == "branch" else None)
        return result

    @staticmethod
    def _tasks(chosen: str | Iterable[str]) -> list[str] | None:
        return ([chosen] if isinstance(chosen, str) else list(chosen)) or None
