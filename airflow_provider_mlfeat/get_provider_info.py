"""What Airflow asks a provider: its metadata. Imported by every ``airflow`` command, so it imports next to nothing."""

from __future__ import annotations

from typing import Any

import airflow_provider_mlfeat

_INTEGRATION = "MLfeat"


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, as Airflow's provider schemas describe it."""
    from airflow_provider_mlfeat.hooks.connection_types import CONNECTION_TYPES

    return {
        "package-name": "airflow-provider-mlfeat",
        "name": "MLfeat",
        "description": "Feature SQL, DeepFM training, the gate, MLflow registration and Triton deployment.",
        "versions": [airflow_provider_mlfeat.__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "tags": ["machine-learning", "ai-inference"],
            }
        ],
        "operators": [_modules("operators.job", "operators.files")],
        "hooks": [_modules("hooks.triton", "hooks.mlflow", "hooks.online", "hooks.spark")],
        "triggers": [_modules("triggers.job")],
        "connection-types": CONNECTION_TYPES,
        "extra-links": ["airflow_provider_mlfeat.links.job.JobLink"],
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
                    }
                },
            }
        },
    }


def _modules(*names: str) -> dict[str, Any]:
    return {
        "integration-name": _INTEGRATION,
        "python-modules": [f"{airflow_provider_mlfeat.__name__}.{name}" for name in names],
    }
