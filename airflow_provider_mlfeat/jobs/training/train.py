"""A model from a dataset."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.jobs.fingerprint import code_version
from airflow_provider_mlfeat.jobs.models.tracking import TrackingSpec
from airflow_provider_mlfeat.jobs.models.training_log import training_log
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec, parse_document
from airflow_provider_mlfeat.jobs.training.places import folder_of

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.folder import Dataset
    from airflow_provider_mlfeat.jobs.models.training_log import TrainingLog
    from airflow_provider_mlfeat.training.kinds import Settings
    from airflow_provider_mlfeat.training.trained_model import TrainedModel

log = logging.getLogger("mlfeat.job")


class TrainModelSpec(JobSpec):
    """Spec of `TrainModelJob`.

    :param kind: ``train_model``.
    :param dataset: the dataset's folder.
    :param model: ``deepfm``, ``wide_deep``, ``lr``, ``xgboost`` or ``module:package.name:Class``.
    :param settings: of the model and its training; names and defaults are those of `TrainSettings`, or of
        `BoostingSettings` for ``xgboost``.
    :param name: of the folder that the models are kept in; empty is the model's kind.
    :param output: folder of all models; empty is ``.models/`` below `root`.
    :param root: where tables are; empty is ``$MLFEAT_TABLES``, else ``tables/`` below the state directory.
    :param tracking: the MLflow that the training is logged to while it goes on; None logs to none.
    """

    kind: Literal["train_model"] = "train_model"
    dataset: str = Field(min_length=1)
    model: str = Field(default="deepfm", min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    name: str = ""
    output: str = ""
    root: str = ""
    tracking: TrackingSpec | None = None


class TrainModelResult(JobResult):
    """Result of `TrainModelJob`.

    :param kind: ``train_model``.
    :param model: the model's folder.
    :param model_kind: what was trained.
    :param model_fingerprint: identity of what is served.
    :param dataset: the dataset's folder.
    :param dataset_fingerprint: identity of what it was trained on.
    :param encoder_fingerprint: the encoder whose ids it understands.
    :param plan_id: what its features mean; None for rows that came from a file.
    :param rows: how many it was trained on.
    :param epochs: how many there were; trees, for ``xgboost``.
    :param best_epoch: which of them was kept.
    :param valid_auc: on the validation rows, which chose the epoch.
    :param valid_logloss: on the validation rows.
    :param test_auc: on the test rows, which nothing was chosen by; None without such a split.
    :param test_pr_auc: on the test rows.
    :param test_logloss: on the test rows.
    :param already_trained: whether an earlier run had made this model.
    :param run_id: the MLflow run of this training; empty without one.
    :param run_url: the run's page; empty where there is none.
    """

    kind: Literal["train_model"] = "train_model"
    model: str
    model_kind: str
    model_fingerprint: str
    dataset: str
    dataset_fingerprint: str
    encoder_fingerprint: str
    plan_id: str | None
    rows: int
    epochs: int
    best_epoch: int
    valid_auc: float | None
    valid_logloss: float | None
    test_auc: float | None
    test_pr_auc: float | None
    test_logloss: float | None
    already_trained: bool
    run_id: str = ""
    run_url: str = ""


class TrainModelJob(Job[TrainModelSpec, TrainModelResult]):
    """Train a model on a dataset: DeepFM, Wide&Deep, logistic regression, XGBoost, or a module of your own."""

    kind: ClassVar[str] = "train_model"
    spec_type: ClassVar[type[JobSpec]] = TrainModelSpec
    result_type: ClassVar[type[JobResult]] = TrainModelResult

    def is_cacheable(self, spec: TrainModelSpec) -> bool:
        """No: the model's folder itself says what it was made of, and hashing the dataset anew takes long."""
        return False

    def run(self, spec: TrainModelSpec, context: JobContext) -> TrainModelResult:
        """Look for a model of this recipe, or train one; read it back either way."""
        from airflow_provider_mlfeat.dataset.folder import Dataset
        from airflow_provider_mlfeat.training.model_folder import find_recipe
        from airflow_provider_mlfeat.training.trained_model import TrainedModel

        context.progress.stage("open", unit="files")
        dataset = Dataset.open(spec.dataset)
        settings = read_settings(spec.model, spec.settings, dataset.manifest.profile)
        recipe = recipe_of(dataset, settings)
        target = folder_of(spec.root, spec.output, "models", spec.name or _plain(spec.model), recipe)
        found = find_recipe([target], recipe)
        run: dict[str, str] = {}
        if found is None:
            name = f"{dataset.manifest.feature_set.get('name') or 'model'} {spec.model} {recipe[:8]}"
            with training_log(spec.tracking, context.secrets, recipe, name, context.progress) as told:
                model = _train(dataset, settings, recipe, target, context, told)
                told.finish(model)
            run = told.run
        else:
            log.info("a model of this dataset, these settings and this code is there: %s", found)
            model = TrainedModel.open(found)
        context.progress.stage("check", unit="files")
        difference = model.check()
        log.info("model %s: golden rows differ by %.1e at most", model.folder, difference)
        return _result(dataset, model, found is not None).model_copy(update=run)


def read_settings(model: str, given: dict[str, Any], profile: str) -> Settings:
    """The settings of a model; raises UserError for a name or value that it does not take."""
    from airflow_provider_mlfeat.training.kinds import settings_type, usual_settings

    document = {**usual_settings(model, profile), **given, "model": model}
    settings: Settings = parse_document(settings_type(model), document, f"settings of model '{model}'")
    return settings


def recipe_of(dataset: Dataset, settings: Settings) -> str:
    """Identity of a training: equal ones need not be done twice."""
    from airflow_provider_mlfeat.training.kinds import deciding_settings

    asked = [dataset.manifest.fingerprint, deciding_settings(settings), code_version()]
    return files.digest_text(files.canonical_json(asked))


def _train(
    dataset: Dataset, settings: Settings, recipe: str, target: Path, context: JobContext, told: TrainingLog
) -> TrainedModel:
    from airflow_provider_mlfeat.training.assembly import assemble
    from airflow_provider_mlfeat.training.kinds import train_model
    from airflow_provider_mlfeat.training.splits import training_data

    # Beside the model, where the next try of the task finds it, on whatever machine that runs.
    checkpoints = target.parent / f".checkpoints-{target.name}"
    outcome = train_model(training_data(dataset), settings, told, context.cancellation, checkpoints)
    model = assemble(target, dataset, outcome, recipe, told, context.cancellation)
    files.remove(checkpoints)
    return model


def _plain(model: str) -> str:
    return model.rpartition(":")[2]


def _result(dataset: Dataset, model: TrainedModel, already: bool) -> TrainModelResult:
    import json

    from airflow_provider_mlfeat.training.model_folder import EPOCHS, METRICS, REPORT

    manifest, folder = model.manifest, model.folder
    test, valid = manifest.metrics.get("test", {}), manifest.metrics.get("valid", {})
    epochs = len((folder / EPOCHS).read_text(encoding="utf-8").splitlines())
    run = json.loads((folder / METRICS).read_text(encoding="utf-8"))["run"]
    shown = ", ".join(f"{name}={value:.5f}" for name, value in (test or valid).items() if value is not None)
    log.info("model '%s': %s", manifest.kind, shown)
    return TrainModelResult(
        model=str(folder),
        model_kind=manifest.kind,
        model_fingerprint=manifest.fingerprint,
        dataset=str(dataset.folder.absolute()),
        dataset_fingerprint=manifest.dataset_fingerprint,
        encoder_fingerprint=manifest.encoder_fingerprint,
        plan_id=manifest.plan_id,
        rows=dataset.manifest.rows["train"],
        epochs=epochs,
        best_epoch=run["best_epoch"],
        valid_auc=valid.get("auc"),
        valid_logloss=valid.get("logloss"),
        test_auc=test.get("auc"),
        test_pr_auc=test.get("pr_auc"),
        test_logloss=test.get("logloss"),
        already_trained=already,
        artifacts=(Artifact.of("report", folder / REPORT),),
    )
