"""Training and evaluation of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf

from airflow_provider_mlfeat.links.mlflow import MLflowRunLink
from airflow_provider_mlfeat.links.report import ReportLink, push_report
from airflow_provider_mlfeat.operators.job import JobOperator
from airflow_provider_mlfeat.operators.resources import JobResources

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReportedJobOperator(JobOperator):
    """What operators on models share: where models are, what the job may use, and a page about what it made.

    :param root: folder of all tables; what the job makes lies beside the databases. The default is
        ``[mlfeat] tables_root``, and where that is empty, ``tables/`` below the state directory. (templated)
    :param output_folder: folder for what the job makes, in place of that. (templated)
    :param gpus: how many GPUs: that of `resources`, and with it templated. Pools and pods see only a plain number.
        (templated)
    :param cpus: cores, likewise. (templated)
    :param memory: such as ``16g``, likewise. (templated)
    """

    template_fields: Sequence[str] = (
        *("root", "output_folder", "gpus", "cpus", "memory"),
        *JobOperator.template_fields,
    )
    operator_extra_links = (*JobOperator.operator_extra_links, ReportLink())
    ui_color = "#e9e4f5"

    def __init__(
        self,
        *,
        root: str | None = None,
        output_folder: str | None = None,
        gpus: int | str | None = None,
        cpus: float | str | None = None,
        memory: str | None = None,
        **kwargs: Any,
    ) -> None:
        given = {"gpus": gpus, "cpus": cpus, "memory": memory}
        plain = {name: value for name, value in given.items() if value is not None and "{" not in str(value)}
        kwargs["resources"] = {**(kwargs.get("resources") or {}), **plain}
        super().__init__(**kwargs)
        self.root = root
        self.output_folder = output_folder
        self.gpus = gpus
        self.cpus = cpus
        self.memory = memory
        self.report_url: str | None = None

    def place(self) -> dict[str, str]:
        """The part of a spec that says where what the job makes goes."""
        root = self.root or str(conf.get("mlfeat", "tables_root", fallback=""))
        return {"root": root, "output": self.output_folder or ""}

    def limits(self) -> JobResources:
        """What the job may use, with what templates say."""
        rendered = JobResources.parse({"gpus": self.gpus, "cpus": self.cpus, "memory": self.memory})
        return rendered.over(super().limits())

    def _finish(self, result: dict[str, Any], context: Context) -> dict[str, Any]:
        """The page of the report is there as soon as the job has ended."""
        self.report_url = push_report(result, context)
        return super()._finish(result, context)


class TrainModelOperator(ReportedJobOperator):
    """Train a model on a dataset and write its folder: graph, encoder, golden rows, metrics and a report.

    Dataset, settings and code decide the model: what was trained before is found and not trained again. A training that
    was killed goes on from its last checkpoint when the task is tried again.

    XCom, beside what every job returns: ``model`` (folder), ``model_kind``, ``model_fingerprint``, ``dataset``,
    ``dataset_fingerprint``, ``encoder_fingerprint``, ``plan_id``, ``rows``, ``epochs``, ``best_epoch``, ``valid_auc``,
    ``valid_logloss``, ``test_auc``, ``test_pr_auc``, ``test_logloss``, ``already_trained``, ``run_id`` and
    ``run_url``.

    :param dataset: the dataset's folder. (templated)
    :param model: ``deepfm``, ``wide_deep``, ``lr``, ``xgboost``, or ``module:package.name:Class`` for a
        ``torch.nn.Module`` of your own. (templated)
    :param settings: of the model and its training, such as ``{"epochs": 5, "batch_size": 8192}``; those of a DeepFM on
        a dataset of profile ``faithful`` are the published ones where you give none. (templated)
    :param name: of the folder that these models are kept in; None is the model's kind. (templated)
    :param mlflow_conn_id: connection of type ``mlfeat_mlflow`` to an MLflow that hears of the training while it goes
        on; None is none. (templated)
    """

    template_fields: Sequence[str] = (
        *("dataset", "model", "settings", "name", "mlflow_conn_id"),
        *ReportedJobOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {"settings": "json", **JobOperator.template_fields_renderers}
    operator_extra_links = (*ReportedJobOperator.operator_extra_links, MLflowRunLink())

    def __init__(
        self,
        *,
        dataset: str,
        model: str = "deepfm",
        settings: dict[str, Any] | None = None,
        name: str | None = None,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.model = model
        self.settings = settings
        self.name = name
        self.mlflow_conn_id = mlflow_conn_id
        self.run_url: str | None = None

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``train_model`` job."""
        from airflow_provider_mlfeat.jobs.training.texts import typed_settings

        return {
            "kind": "train_model",
            **self.place(),
            "dataset": self.dataset,
            "model": self.model,
            "settings": {**self._devices(), **typed_settings(self.settings or {})},
            "name": self.name or "",
            "tracking": self._tracking_document(),
        }

    def secrets(self, context: Context) -> dict[str, str]:
        """Address and credentials of MLflow."""
        if not self.mlflow_conn_id:
            return {}
        from airflow_provider_mlfeat.hooks.mlflow import MLflowHook
        from airflow_provider_mlfeat.jobs.models.tracking import tracking_secrets

        return tracking_secrets(MLflowHook(self.mlflow_conn_id).settings.environment())

    def _tracking_document(self) -> dict[str, Any] | None:
        if not self.mlflow_conn_id:
            return None
        from airflow_provider_mlfeat.hooks.mlflow import MLflowHook

        settings = MLflowHook(self.mlflow_conn_id).settings
        names = ("location", "experiment", "artifact_location", "pages")
        return {name: getattr(settings, name) for name in names}

    def _devices(self) -> dict[str, Any]:
        """What the number of GPUs means for the training: one process per GPU."""
        gpus = self.limits().gpus
        if not gpus:
            return {}
        return {"device": "cuda", **({"processes": gpus} if gpus > 1 and self.model != "xgboost" else {})}

    def _finish(self, result: dict[str, Any], context: Context) -> dict[str, Any]:
        """The page of the run is there as soon as it is known."""
        self.run_url = result.get("run_url") or None
        if self.run_url:
            context["ti"].xcom_push(key=MLflowRunLink().xcom_key, value=self.run_url)
        return super()._finish(result, context)


class EvaluateModelOperator(ReportedJobOperator):
    """Judge a model on a split of a dataset: every row scored once, metrics with intervals, baselines, slices.

    The scores come from the graph that is served, not from the trainer.

    XCom, beside what every job returns: ``evaluation`` (folder), ``model``, ``model_fingerprint``, ``dataset``,
    ``dataset_fingerprint``, ``split``, ``rows``, ``positives``, ``auc``, ``auc_low``, ``auc_high``, ``pr_auc``,
    ``logloss``, ``normalised_entropy``, ``calibration_slope``, ``calibration_ratio``, ``accuracy``,
    ``constant_logloss``, ``logistic_auc``, ``logistic_logloss`` and ``already_evaluated``.

    :param model: the model's folder. (templated)
    :param dataset: the dataset's folder. (templated)
    :param split: ``test``, ``valid`` or ``train``. (templated)
    :param encoder: ``same`` demands that dataset and model share the encoder; ``model`` encodes the raw features anew
        with the model's own, so that an earlier model can be judged on later rows. (templated)
    :param slices: feature columns to look at by value. (templated)
    :param baselines: which of ``constant`` and ``logistic`` to judge beside the model. (templated)
    :param name: of the folder that these evaluations are kept in; None is that of the model. (templated)
    """

    template_fields: Sequence[str] = (
        *("model", "dataset", "split", "encoder", "slices", "baselines", "name"),
        *ReportedJobOperator.template_fields,
    )

    def __init__(
        self,
        *,
        model: str,
        dataset: str,
        split: str = "test",
        encoder: str = "same",
        slices: Sequence[str] = (),
        baselines: Sequence[str] = ("constant", "logistic"),
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.dataset = dataset
        self.split = split
        self.encoder = encoder
        self.slices = slices
        self.baselines = baselines
        self.name = name

    def build_spec(self, context: Context) -> dict[str, Any]:
        """An ``evaluate_model`` job."""
        return {
            "kind": "evaluate_model",
            **self.place(),
            "model": self.model,
            "dataset": self.dataset,
            "split": self.split,
            "encoder": self.encoder,
            "slices": list(self.slices),
            "baselines": list(self.baselines),
            "name": self.name or "",
        }
