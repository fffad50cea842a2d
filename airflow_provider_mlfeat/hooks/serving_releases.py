"""Looking at a prediction server from a sensor or a trigger."""

from __future__ import annotations

import logging
from typing import Any

_LOG = logging.getLogger(__name__)


def find_release(server: str, service: str, release: int, server_conn_id: str | None) -> dict[str, Any] | None:
    """What a server answers with for a service, when all its workers have at least the release that is waited for.

    None otherwise.

    :param server: its address.
    :param service: which service.
    :param release: the least release; 0 is any.
    :param server_conn_id: connection whose password is the server's bearer token.
    """
    from airflow_provider_mlfeat.errors import UserError
    from airflow_provider_mlfeat.jobs.serving.server import ServerPlace

    said = ServerPlace(urls=(server,)).ask(server, "GET", "/services", server_secrets(server_conn_id))
    try:
        found: dict[str, Any] | None = next((one for one in said["services"] if one["service"] == service), None)
        # Callers reach any worker, and this one's answer says what each of them answers with.
        numbers = [None if found is None else int(found["release"])]
        numbers += [one["releases"].get(service) for one in said["workers"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{server} is no prediction server: its /services names no services and workers") from None
    for number in numbers:
        if number is None or number < release:
            now = "no release" if number is None else f"release {number}"
            _LOG.info("not yet: a worker answers with %s of service '%s'", now, service)
            return None
    return found


def server_secrets(server_conn_id: str | None) -> dict[str, str]:
    """The bearer token of prediction servers, as jobs take it; nothing without a connection.

    :param server_conn_id: connection whose password is the token.
    """
    if server_conn_id is None:
        return {}
    from airflow.sdk import BaseHook

    from airflow_provider_mlfeat.jobs.serving.server import TOKEN_SECRET

    token = BaseHook.get_connection(server_conn_id).password
    return {TOKEN_SECRET: token} if token else {}
