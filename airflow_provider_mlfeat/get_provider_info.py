"""What Airflow asks a provider: its metadata. Imported by every ``airflow`` command, so it imports next to nothing."""

from __future__ import annotations

from typing import Any

import airflow_provider_mlfeat

# The systems that the provider brings to Airflow: name, documentation, tags.
_INTEGRATIONS = {
    "Feature SQL": ("https://openmldb.ai/docs/en/main/", ["machine-learning"]),
    "Triton Inference Server": (
        "https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/",
        ["ai-inference"],
    ),
    "MLflow": ("https://mlflow.org/docs/latest/", ["machine-learning"]),
    "PyTorch": ("https://docs.pytorch.org/docs/stable/", ["machine-learning"]),
    "Redis": ("https://redis.io/docs/latest/", ["software"]),
    "Spark": ("https://spark.apache.org/docs/latest/", ["apache"]),
    "Delta Lake": ("https://delta-io.github.io/delta-rs/", ["software"]),
}


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, as Airflow's provider schemas describe it."""
    from airflow_provider_mlfeat.hooks.connection_types import CONNECTION_TYPES

    return {
        "package-name": "airflow-provider-mlfeat",
        "name": "MLfeat",
        "description": "Feature SQL, DeepFM training, the gate, MLflow registration and Triton deployment.",
        "versions": [airflow_provider_mlfeat.__version__],
        "integrations": [
            {"integration-name": name, "external-doc-url": url, "tags": tags}
            for name, (url, tags) in _INTEGRATIONS.items()
        ],
        "operators": [
            _modules("Feature SQL", "operators.job", "operators.files", "operators.features", "operators.samples"),
            _modules("Delta Lake", "operators.tables", "operators.checks"),
            _modules("Redis", "operators.online", "operators.serving"),
            _modules("Triton Inference Server", "operators.triton"),
            _modules("PyTorch", "operators.dataset", "operators.training"),
            _modules("MLflow", "operators.gate", "operators.registry", "operators.approval"),
        ],
        "sensors": [
            _modules("Feature SQL", "sensors.waiting"),
            _modules("Triton Inference Server", "sensors.triton"),
            _modules("Delta Lake", "sensors.tables"),
            _modules("MLflow", "sensors.models"),
            _modules("Redis", "sensors.serving"),
        ],
        "hooks": [
            _modules("Triton Inference Server", "hooks.triton"),
            _modules("MLflow", "hooks.mlflow"),
            _modules("Redis", "hooks.online"),
            _modules("Spark", "hooks.spark"),
        ],
        "triggers": [
            _modules("Feature SQL", "triggers.job", "triggers.waiting"),
            _modules("Delta Lake", "triggers.tables"),
            _modules("MLflow", "triggers.models"),
            _modules("Triton Inference Server", "triggers.triton"),
            _modules("Redis", "triggers.serving"),
        ],
        "connection-types": CONNECTION_TYPES,
        "extra-links": [
            "airflow_provider_mlfeat.links.job.JobLink",
            "airflow_provider_mlfeat.links.report.ReportLink",
            "airflow_provider_mlfeat.links.mlflow.MLflowRunLink",
            "airflow_provider_mlfeat.links.mlflow.ModelVersionLink",
            "airflow_provider_mlfeat.links.triton.TritonModelLink",
        ],
        "config": {
            "mlfeat": {
                "description": "Defaults of the MLfeat provider.",
                "options": {
                    "runtime": {
                        "description": "Where operators run their jobs when they do not say: in_process or process.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "in_process",
                        "default": "process",
                    },
                    "tables_root": {
                        "description": "Folder or object-store prefix of all tables, for operators that do not say. "
                        "Empty: tables/ below the state directory of the machine that runs the job.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://features/tables",
                        "default": "",
                    },
                },
            }
        },
    }


def _modules(integration: str, *names: str) -> dict[str, Any]:
    modules = [f"{airflow_provider_mlfeat.__name__}.{name}" for name in names]
    return {"integration-name": integration, "python-modules": modules}
