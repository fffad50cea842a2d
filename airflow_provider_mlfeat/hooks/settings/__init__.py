"""What a connection of each type says, as a frozen value: the one place where connections are parsed."""

from airflow_provider_mlfeat.hooks.settings.mlflow import MLflowSettings
from airflow_provider_mlfeat.hooks.settings.online import OnlineSettings
from airflow_provider_mlfeat.hooks.settings.spark import SparkSettings
from airflow_provider_mlfeat.hooks.settings.triton import TritonSettings

__all__ = ["MLflowSettings", "OnlineSettings", "SparkSettings", "TritonSettings"]
