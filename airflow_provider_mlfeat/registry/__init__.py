"""The registry: MLflow runs, model versions, aliases, and the gate before them."""

from airflow_provider_mlfeat.registry.fetching import fetch_model
from airflow_provider_mlfeat.registry.run_log import RunLog, open_run
from airflow_provider_mlfeat.registry.tracking import Tracking

__all__ = ["RunLog", "Tracking", "fetch_model", "open_run"]
