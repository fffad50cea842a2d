"""The provider's Airflow plugin."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_mlfeat.links.job import PAGES_PREFIX, JobLink
from airflow_provider_mlfeat.links.mlflow import MLflowRunLink, ModelVersionLink
from airflow_provider_mlfeat.links.report import ReportLink


def _pages() -> list[dict[str, Any]]:
    """The pages' app. Workers and the scheduler load the plugin too and have no use for a web framework."""
    import sys

    if "airflow.api_fastapi.app" not in sys.modules:
        return []
    from airflow_provider_mlfeat.plugins.job_pages import create_app

    return [{"app": create_app(), "url_prefix": PAGES_PREFIX, "name": "MLfeat"}]


class MlfeatPlugin(AirflowPlugin):
    """Job pages, and the links to them."""

    name = "mlfeat"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = _pages()
    operator_extra_links: ClassVar[list[Any]] = [JobLink(), ReportLink(), MLflowRunLink(), ModelVersionLink()]
