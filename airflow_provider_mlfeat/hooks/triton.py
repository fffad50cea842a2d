"""Triton Inference Server: one or more servers that hold the same models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import MissingExtraError, TransientError, UserError
from airflow_provider_mlfeat.hooks.endpoints import TEST_SECONDS, Endpoint, require_listener
from airflow_provider_mlfeat.hooks.fields import ConnectionFields
from airflow_provider_mlfeat.hooks.service import ServiceHook
from airflow_provider_mlfeat.hooks.settings.triton import TritonSettings
from airflow_provider_mlfeat.hooks.web import ask, open_client


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
