"""Object stores: what an Airflow connection holds, as the storage options that Delta tables take."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_provider_mlfeat.errors import UserError

if TYPE_CHECKING:
    from airflow.sdk import Connection


def storage_options(storage_conn_id: str | None) -> dict[str, str]:
    """Storage options of a connection; none without one.

    :param storage_conn_id: a connection of type ``aws``, ``google_cloud_platform``, ``wasb`` or ``adls``.
    """
    if storage_conn_id is None:
        return {}
    connection = BaseHook.get_connection(storage_conn_id)
    kind = str(connection.conn_type)
    if kind not in _KINDS:
        raise UserError(
            f"connection '{storage_conn_id}' is of type '{kind}'; tables are reached through {', '.join(_KINDS)}"
        )
    found = _KINDS[kind](connection, connection.extra_dejson)
    return {name: str(value) for name, value in found.items() if value not in (None, "")}


def storage_secrets(storage_conn_id: str | None) -> dict[str, str]:
    """The storage options of a connection as secrets of a job.

    :param storage_conn_id: the connection; None is none.
    """
    from airflow_provider_mlfeat.jobs.tables.store import STORAGE_SECRET

    return {STORAGE_SECRET + name: value for name, value in storage_options(storage_conn_id).items()}


def _aws(connection: Connection, extra: dict[str, Any]) -> dict[str, Any]:
    endpoint = str(extra.get("endpoint_url") or "")
    return {
        "AWS_ACCESS_KEY_ID": connection.login,
        "AWS_SECRET_ACCESS_KEY": connection.password,
        "AWS_SESSION_TOKEN": extra.get("aws_session_token"),
        "AWS_REGION": extra.get("region_name"),
        "AWS_ENDPOINT_URL": endpoint,
        # A local object store without TLS is one that the user wrote http:// for.
        "AWS_ALLOW_HTTP": "true" if endpoint.startswith("http://") else "",
    }


def _google(connection: Connection, extra: dict[str, Any]) -> dict[str, Any]:
    key = extra.get("keyfile_dict")
    return {
        "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key) if isinstance(key, dict) else key,
        "GOOGLE_SERVICE_ACCOUNT": extra.get("key_path"),
    }


def _azure(connection: Connection, extra: dict[str, Any]) -> dict[str, Any]:
    by_principal = extra.get("tenant_id")
    account = (connection.host or "").removeprefix("https://").partition(".")[0]
    return {
        "AZURE_STORAGE_ACCOUNT_NAME": account or connection.login,
        "AZURE_STORAGE_ACCOUNT_KEY": None if by_principal else connection.password,
        "AZURE_STORAGE_SAS_TOKEN": extra.get("sas_token"),
        "AZURE_STORAGE_TENANT_ID": by_principal,
        "AZURE_STORAGE_CLIENT_ID": connection.login if by_principal else None,
        "AZURE_STORAGE_CLIENT_SECRET": connection.password if by_principal else None,
    }


_KINDS: dict[str, Callable[[Connection, dict[str, Any]], dict[str, Any]]] = {
    "aws": _aws,
    "google_cloud_platform": _google,
    "wasb": _azure,
    "adls": _azure,
}
