"""Triton Inference Server: one or more servers that hold the same models."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_mlfeat.errors import MissingExtraError, TransientError, UserError
from airflow_provider_mlfeat.hooks.endpoints import TEST_SECONDS, Endpoint, require_listener
from airflow_provider_mlfeat.hooks.fields import ConnectionFields
from airflow_provider_mlfeat.hooks.service import ServiceHook
from airflow_provider_mlfeat.hooks.settings.triton import TritonSettings
from airflow_provider_mlfeat.hooks.web import ask, open_client

if TYPE_CHECKING:
    from airflow_provider_mlfeat.serving.triton.client import Access, AsyncTritonClient, TritonClient
    from airflow_provider_mlfeat.serving.triton.fleet import Fleet


class TritonHook(ServiceHook[TritonSettings]):
    """Reaches the Triton servers of a connection.

    :param triton_conn_id: a connection of type ``mlfeat_triton``.
    """

    conn_name_attr = "triton_conn_id"
    default_conn_name = "mlfeat_triton_default"
    conn_type = "mlfeat_triton"
    hook_name = "MLfeat: Triton Inference Server"

    def __init__(self, triton_conn_id: str = default_conn_name, **arguments: Any) -> None:
        super().__init__(triton_conn_id, **arguments)
        self.triton_conn_id = triton_conn_id

    @contextmanager
    def servers(self) -> Iterator[Fleet]:
        """All servers as one, for the time of a ``with`` block: load, unload, index, and what each answers."""
        from airflow_provider_mlfeat.serving.triton.fleet import Fleet

        with Fleet(self._addresses(), self.access()) as fleet:
            yield fleet

    def clients(self) -> dict[str, TritonClient]:
        """A client per server: ready, load, unload, configuration, statistics, infer. Close each after use."""
        from airflow_provider_mlfeat.serving.triton.client import TritonClient

        return {address: TritonClient(address, self.access()) for address in self._addresses()}

    def async_clients(self) -> dict[str, AsyncTritonClient]:
        """The same for an event loop. Close each after use."""
        from airflow_provider_mlfeat.serving.triton.client import AsyncTritonClient

        return {address: AsyncTritonClient(address, self.access()) for address in self._addresses()}

    def ready_versions(self, model: str) -> dict[str, list[int]]:
        """The versions of a model that each server holds ready.

        :param model: the model's name in Triton.
        """
        with self.servers() as fleet:
            return {address: sorted(versions) for address, versions in fleet.ready_versions(model).items()}

    async def ready_everywhere(self, model: str, version: int | None = None) -> bool:
        """Whether all servers hold a model, or one version of it, ready; for an event loop.

        :param model: the model's name in Triton.
        :param version: its version; None is any.
        """
        import asyncio

        clients = self.async_clients().values()
        try:
            return all(await asyncio.gather(*(client.is_ready(model, version) for client in clients)))
        finally:
            await asyncio.gather(*(client.close() for client in clients))

    def access(self) -> Access:
        """How the servers are reached."""
        from airflow_provider_mlfeat.serving.triton.client import Access

        settings = self.settings
        return Access(settings.protocol, settings.tls, settings.ca_certificate, settings.timeout, settings.headers)

    def servers_document(self) -> dict[str, Any]:
        """What of the connection may stand in a job's spec."""
        settings = self.settings
        return {
            "servers": self._addresses(),
            "protocol": settings.protocol,
            "tls": settings.tls,
            "ca_certificate": settings.ca_certificate,
            "timeout": settings.timeout,
        }

    def secrets(self) -> dict[str, str]:
        """What of the connection may not: the headers."""
        from airflow_provider_mlfeat.jobs.triton.place import HEADERS_SECRET

        return {HEADERS_SECRET: json.dumps(self.settings.headers)} if self.settings.headers else {}

    def model_url(self, model: str) -> str:
        """Where the first server shows a model's counters over HTTP; empty where only its gRPC port is known.

        :param model: the model's name in Triton.
        """
        settings = self.settings
        if settings.protocol == "grpc":
            return ""
        scheme = "https" if settings.tls else "http"
        return f"{scheme}://{settings.endpoints[0]}/v2/models/{quote(model, safe='')}/stats"

    def _addresses(self) -> list[str]:
        return [str(endpoint) for endpoint in self.settings.endpoints]

    def _parse(self, fields: ConnectionFields) -> TritonSettings:
        return TritonSettings.parse(fields)

    def _check(self) -> str:
        check = self._check_grpc if self.settings.protocol == "grpc" else self._check_http
        answers = [check(endpoint) for endpoint in self.settings.endpoints]
        return "; ".join(answers) + self._check_repository()

    def _check_http(self, endpoint: Endpoint) -> str:
        """Ask one server who it is; being live is enough, since one failed load leaves it not ready for ever."""
        require_listener(endpoint)
        address = f"{'https' if self.settings.tls else 'http'}://{endpoint}"
        with open_client(self.settings.ca_certificate, self.settings.headers) as client:
            try:
                metadata = ask(client, f"{address}/v2").json()
                name, version = str(metadata["name"]), str(metadata["version"])
            except (ValueError, KeyError, TypeError):
                raise UserError(f"{endpoint} speaks HTTP but is not a Triton server") from None
            if ask(client, f"{address}/v2/health/live").status_code != 200:
                raise TransientError(f"{name} {version} at {endpoint} is not live")
            ready = ask(client, f"{address}/v2/health/ready").status_code == 200
        return _sentence(name, version, endpoint, ready)

    def _check_grpc(self, endpoint: Endpoint) -> str:
        try:
            from tritonclient.grpc import InferenceServerClient
            from tritonclient.utils import InferenceServerException
        except ImportError as error:
            raise MissingExtraError("triton", "Triton over gRPC", error.name) from None
        require_listener(endpoint)
        settings, headers = self.settings, {name.lower(): value for name, value in self.settings.headers}
        if settings.ca_certificate and not Path(settings.ca_certificate).is_file():
            raise UserError(f"the CA certificate '{settings.ca_certificate}' does not exist")
        client = InferenceServerClient(str(endpoint), ssl=settings.tls, root_certificates=settings.ca_certificate)
        try:
            metadata = client.get_server_metadata(headers=headers, client_timeout=TEST_SECONDS)
            ready = client.is_server_ready(headers=headers, client_timeout=TEST_SECONDS)
        except InferenceServerException as error:
            raise _grpc_error(endpoint, str(error.status()), error.message()) from None
        finally:
            client.close()
        return _sentence(metadata.name, metadata.version, endpoint, ready)

    def _check_repository(self) -> str:
        """The repository may exist on the workers only; where it is seen, it has to be writable."""
        folder = self.settings.model_repository
        if folder is None or "://" in folder:
            return ""
        if not Path(folder).is_dir():
            return f"; the model repository '{folder}' does not exist on this machine"
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(f"the model repository '{folder}' is not writable")
        return ""


def _sentence(name: str, version: str, endpoint: Endpoint, ready: bool) -> str:
    state = "ready" if ready else "live, but not ready (a model is being unloaded, or one failed to load)"
    return f"{name} {version} at {endpoint} is {state}"


def _grpc_error(endpoint: Endpoint, status: str, message: str) -> UserError | TransientError:
    if status.endswith(("UNAUTHENTICATED", "PERMISSION_DENIED")) or "restricted" in message:
        return UserError(f"{endpoint} refuses these credentials: {message}")
    if status.endswith("UNIMPLEMENTED"):
        return UserError(f"{endpoint} speaks gRPC but is not a Triton server")
    if status.endswith(("UNAVAILABLE", "DEADLINE_EXCEEDED")):
        return UserError(f"{endpoint} listens, but does not speak gRPC: check port, protocol and TLS ({message})")
    return TransientError(f"{endpoint} fails: {message}")
