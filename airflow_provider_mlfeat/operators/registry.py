"""Registered models: register a version, promote it, roll it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.links.mlflow import MLflowRunLink, ModelVersionLink
from airflow_provider_mlfeat.operators.job import JobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mlfeat.hooks.settings.mlflow import MLflowSettings
    from airflow_provider_mlfeat.runtimes.runtime import Handle


class MLflowJobOperator(JobOperator):
    """What operators share whose jobs talk to MLflow.

    :param mlflow_conn_id: connection of type ``mlfeat_mlflow``. (templated)
    """

    template_fields: Sequence[str] = ("mlflow_conn_id", *JobOperator.template_fields)
    operator_extra_links = (*JobOperator.operator_extra_links, MLflowRunLink(), ModelVersionLink())
    ui_color = "#f0e6f6"

    def __init__(self, *, mlflow_conn_id: str = "mlfeat_mlflow_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mlflow_conn_id = mlflow_conn_id
        self.run_url: str | None = None
        self.version_url: str | None = None

    def secrets(self, context: Context) -> dict[str, str]:
        """Address and credentials of MLflow."""
        from airflow_provider_mlfeat.jobs.models.tracking import tracking_secrets

        return tracking_secrets(self._mlflow().environment())

    def tracking_document(self) -> dict[str, Any]:
        """What of the connection may stand in a spec."""
        settings = self._mlflow()
        return {
            "location": settings.location,
            "experiment": settings.experiment,
            "artifact_location": settings.artifact_location,
            "pages": settings.pages,
        }

    def submit_job(self, context: Context) -> Handle:
        """The links are there from the moment the job starts."""
        self.show_links(context)
        return super().submit_job(context)

    def show_links(self, context: Context, result: Mapping[str, Any] | None = None) -> None:
        """Push the addresses of MLflow's pages, as far as they are known."""
        known = result or {}
        self.version_url = known.get("version_url") or self._model_page()
        self.run_url = known.get("run_url") or self._runs_page()
        for link, url in ((ModelVersionLink(), self.version_url), (MLflowRunLink(), self.run_url)):
            if url:
                context["ti"].xcom_push(key=link.xcom_key, value=url)

    def _mlflow(self) -> MLflowSettings:
        from airflow_provider_mlfeat.hooks.mlflow import MLflowHook

        return MLflowHook(self.mlflow_conn_id).settings

    def _model_page(self) -> str:
        name = getattr(self, "model_name", None)
        return self._mlflow().tracking().model_page(name) if name else ""

    def _runs_page(self) -> str:
        pages = self._mlflow().pages
        return f"{pages.rstrip('/')}/#/experiments" if pages else ""

    def _run_here(self, context: Context) -> dict[str, Any]:
        self.show_links(context)
        return super()._run_here(context)

    def _finish(self, result: dict[str, Any], context: Context) -> dict[str, Any]:
        self.show_links(context, result)
        return super()._finish(result, context)


class RegisterModelOperator(MLflowJobOperator):
    """Register a model folder as a version in MLflow; aliases move last, and only after the version was read back.

    The same run and model give the same version, however often the task runs. Downstream tasks take the version as a
    number: an alias may have moved on by then.

    XCom, beside what every job returns: ``model_name``, ``model_version`` (a number), ``model_uri``,
    ``model_fingerprint``, ``plan_id``, ``aliases``, ``already_registered``, ``run_id``, ``run_url`` and
    ``version_url``.

    :param model: the model's folder. (templated)
    :param model_name: the registered model's name. (templated)
    :param decision: the gate's ``decision_file``; only an accepting decision on this very model registers it. None
        registers without a gate, and such a version is not promoted unless the promotion says so. (templated)
    :param aliases: that move to the version. (templated)
    :param tags: of the version; dag, run and task are added. (templated)
    :param description: of the version, in Markdown. (templated)
    :param encoded_model: whether the run also gets the MLflow model that takes encoded ids.
    :param registration_file: where to write the version for batch-serving programs of the old MLflow, for instance
        ``registered_model_version.json``; it is deleted first. (templated)
    """

    template_fields: Sequence[str] = (
        *("model", "model_name", "decision", "aliases", "tags", "description", "registration_file"),
        *MLflowJobOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {"tags": "json", **JobOperator.template_fields_renderers}

    def __init__(
        self,
        *,
        model: str,
        model_name: str,
        decision: str | None = None,
        aliases: Sequence[str] = ("challenger",),
        tags: dict[str, str] | None = None,
        description: str = "",
        encoded_model: bool = True,
        registration_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.model_name = model_name
        self.decision = decision
        self.aliases = aliases
        self.tags = tags
        self.description = description
        self.encoded_model = encoded_model
        self.registration_file = registration_file

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``register_model`` job."""
        origin = self._origin(context)
        ours = {f"airflow.{name}": origin[name] for name in ("dag_id", "run_id", "task_id")}
        return {
            "kind": "register_model",
            "model": self.model,
            "model_name": self.model_name,
            "decision": self.decision or "",
            "aliases": [self.aliases] if isinstance(self.aliases, str) else list(self.aliases),
            "tags": {**ours, **{name: str(value) for name, value in (self.tags or {}).items()}},
            "description": self.description,
            "encoded_model": self.encoded_model,
            "registration_file": self.registration_file or "",
            "tracking": self.tracking_document(),
        }


class PromoteModelOperator(MLflowJobOperator):
    """Make a version the champion: one that the gate accepted against the present one, and whose artefacts are whole.

    The alias moves last and in one step. Of two runs that promote at once, the second one finds that the champion is no
    longer the one that its model was compared with, and fails.

    XCom, beside what every job returns: ``model_name``, ``model_version``, ``model_uri``, ``model_fingerprint``,
    ``plan_id``, ``alias``, ``previous_version``, ``moved`` and ``version_url``.

    :param model_name: the registered model's name. (templated)
    :param model_version: number or alias of the version. (templated)
    :param alias: that moves. (templated)
    :param require_decision: whether the version must carry an accepting decision of the gate.
    :param allow_new_signature: whether it may take other features than the champion.
    """

    template_fields: Sequence[str] = ("model_name", "model_version", "alias", *MLflowJobOperator.template_fields)

    def __init__(
        self,
        *,
        model_name: str,
        model_version: int | str = "challenger",
        alias: str = "champion",
        require_decision: bool = True,
        allow_new_signature: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.model_version = model_version
        self.alias = alias
        self.require_decision = require_decision
        self.allow_new_signature = allow_new_signature

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``promote_model`` job."""
        return {
            "kind": "promote_model",
            "model_name": self.model_name,
            "model_version": str(self.model_version),
            "alias": self.alias,
            "require_decision": self.require_decision,
            "allow_new_signature": self.allow_new_signature,
            "tracking": self.tracking_document(),
        }


class RollbackModelOperator(MLflowJobOperator):
    """Make the version champion again that the present champion replaced, once its artefacts are seen to be whole.

    XCom: as of `PromoteModelOperator`.

    :param model_name: the registered model's name. (templated)
    :param to_version: another version to go back to, number or alias. (templated)
    :param alias: that moves. (templated)
    """

    template_fields: Sequence[str] = ("model_name", "to_version", "alias", *MLflowJobOperator.template_fields)

    def __init__(
        self, *, model_name: str, to_version: int | str | None = None, alias: str = "champion", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.to_version = to_version
        self.alias = alias

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``rollback_model`` job."""
        wanted = "" if self.to_version is None or str(self.to_version) == "None" else str(self.to_version)
        return {
            "kind": "rollback_model",
            "model_name": self.model_name,
            "to_version": wanted,
            "alias": self.alias,
            "tracking": self.tracking_document(),
        }
