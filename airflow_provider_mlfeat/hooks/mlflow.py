"""MLflow: a tracking server, or a database that runs are written to directly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import MissingExtraError, UserError
from airflow_provider_mlfeat.hooks.fields import ConnectionFields
from airflow_provider_mlfeat.hooks.folder import require_writable_folder
from airflow_provider_mlfeat.hooks.service import ServiceHook
from airflow_provider_mlfeat.hooks.settings.mlflow import MLflowSettings
from airflow_provider_mlfeat.hooks.web import ask, open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MLflowHook(ServiceHook[MLflowSettings]):
    """Reaches the MLflow of a connection.

    :param mlflow_conn_id: a connection of type ``mlfeat_mlflow``.
    """

    conn_name_attr = "mlflow_conn_id"
    default_conn_name = "mlfeat_mlflow_default"
    conn_type = "mlfeat_mlflow"
    hook_name = "MLfeat: MLflow"

    def __init__(self, mlflow_conn_id: str = default_conn_name, **arguments: Any) -> None:
        super().__init__(mlflow_conn_id, **arguments)
        self.mlflow_conn_id = mlflow_conn_id

    @contextmanager
    def client(self) -> Iterator[MlflowClient]:
        """An MLflow client, for the time of a ``with`` block.

        MLflow takes credentials from the environment at every call, so the block sets them and puts back what was
        there. Blocks of threads that use other connections wait for one another.
        """
        settings = self.settings
        if settings.sqlite_file:
            require_writable_folder(settings.sqlite_file.parent)
        with settings.tracking().client() as client:
            yield client

    def _parse(self, fields: ConnectionFields) -> MLflowSettings:
        return MLflowSettings.parse(fields)

    def _check(self) -> str:
        if self.settings.is_server:
            return self._check_server()
        if find_spec("mlflow") is None:
            raise MissingExtraError("mlflow", "Writing runs to a database")
        if self.settings.sqlite_file:
            return _check_sqlite(self.settings.sqlite_file)
        with self.client() as client:
            client.search_experiments(max_results=1)
        return f"the tracking database {self.settings.location} answers"

    def _check_server(self) -> str:
        """Read one experiment: the health page answers without credentials, so it proves nothing."""
        settings, address = self.settings, self.settings.tracking_uri.rstrip("/")
        headers = (("authorization", f"Bearer {settings.token}"),) if settings.token else ()
        login = (settings.login, settings.password or "") if settings.login else None
        with open_client(settings.ca_certificate, headers, login, proxies=True) as client:
            found = ask(client, f"{address}/api/2.0/mlflow/experiments/search", params={"max_results": 1})
            try:
                is_mlflow = found.status_code == 200 and isinstance(found.json(), dict)
            except ValueError:
                is_mlflow = False
            if not is_mlflow:
                raise UserError(f"{settings.location} speaks HTTP but is not an MLflow tracking server")
            version = ask(client, f"{address}/version").text.strip()
        return f"MLflow {version} at {settings.location} accepts these credentials"


def _check_sqlite(file: Path) -> str:
    """A file that MLflow made, or a place where it can make one."""
    import sqlite3

    require_writable_folder(file.parent)
    if not file.exists():
        return f"runs will go to {file}, which is made at first use"
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=5)) as database:
            (experiments,) = database.execute("SELECT count(*) FROM experiments").fetchone()
    except sqlite3.Error as error:
        raise UserError(f"{file} is not a database of MLflow: {error}") from None
    return f"{file} holds {experiments} experiment{'' if experiments == 1 else 's'}"
