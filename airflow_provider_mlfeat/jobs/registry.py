"""Which kinds of job there are.

Built-in kinds are named here by address, so that listing them imports none of them. Other distributions add kinds
through the entry point group ``airflow_provider_mlfeat.jobs`` (name = kind, value = the Job class).
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from airflow_provider_mlfeat.errors import MissingExtraError, UserError
from airflow_provider_mlfeat.jobs.spec import Job

ENTRY_POINT_GROUP = "airflow_provider_mlfeat.jobs"

# kind → (address of the Job class, extra that brings its packages).
_BUILT_IN: dict[str, tuple[str, str | None]] = {
    "file_manifest": ("airflow_provider_mlfeat.jobs.file_manifest:FileManifestJob", None),
    "sample_data": ("airflow_provider_mlfeat.jobs.sample_data:SampleDataJob", "engine"),
    "create_tables": ("airflow_provider_mlfeat.jobs.tables.create:CreateTablesJob", "engine"),
    "load_table": ("airflow_provider_mlfeat.jobs.tables.load:LoadTableJob", "engine"),
    "check_data": ("airflow_provider_mlfeat.jobs.tables.check:CheckDataJob", "engine"),
    "extract_features": ("airflow_provider_mlfeat.jobs.tables.extract:ExtractFeaturesJob", "engine"),
    "export": ("airflow_provider_mlfeat.jobs.tables.export:ExportJob", "engine"),
    "build_dataset": ("airflow_provider_mlfeat.jobs.dataset.build:BuildDatasetJob", "train"),
    "gate_model": ("airflow_provider_mlfeat.jobs.models.gate:GateModelJob", "train"),
    "register_model": ("airflow_provider_mlfeat.jobs.models.register:RegisterModelJob", "mlflow"),
    "promote_model": ("airflow_provider_mlfeat.jobs.models.promote:PromoteModelJob", "mlflow"),
    "rollback_model": ("airflow_provider_mlfeat.jobs.models.promote:RollbackModelJob", "mlflow"),
    "run_script": ("airflow_provider_mlfeat.jobs.tables.script:RunScriptJob", "engine"),
    "deploy_features": ("airflow_provider_mlfeat.jobs.online.deploy:DeployFeaturesJob", "engine"),
    "load_online": ("airflow_provider_mlfeat.jobs.online.load:LoadOnlineJob", "engine"),
    "ingest_stream": ("airflow_provider_mlfeat.jobs.online.ingest:IngestStreamJob", "redis"),
    "check_parity": ("airflow_provider_mlfeat.jobs.serving.parity:CheckParityJob", "server"),
    "switch_serving": ("airflow_provider_mlfeat.jobs.serving.switch:SwitchServingJob", "server"),
    "rollback_serving": ("airflow_provider_mlfeat.jobs.serving.switch:RollbackServingJob", "server"),
    "check_drift": ("airflow_provider_mlfeat.jobs.serving.drift:CheckDriftJob", "server"),
    "predict": ("airflow_provider_mlfeat.jobs.serving.predict:PredictJob", "server"),
    "query": ("airflow_provider_mlfeat.jobs.query.job:QueryJob", "engine"),
}


@cache
def _addresses() -> dict[str, tuple[str, str | None]]:
    found = {point.name: (point.value, None) for point in entry_points(group=ENTRY_POINT_GROUP)}
    return {**found, **_BUILT_IN}


def kinds() -> list[str]:
    """Every kind that this installation knows."""
    return sorted(_addresses())


@cache
def job_of(kind: str) -> Job[Any, Any]:
    """The job of a kind; raises UserError for a kind that does not exist, MissingExtraError when it cannot load."""
    try:
        address, extra = _addresses()[kind]
    except KeyError:
        raise UserError(f"unknown job kind '{kind}'; known kinds: {', '.join(kinds())}") from None
    module, _, name = address.partition(":")
    try:
        job_type = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if extra is None:
            raise
        raise MissingExtraError(extra, f"job '{kind}'", error.name) from None
    job = job_type()
    assert isinstance(job, Job)
    return job
