"""One Triton server, asked over HTTP or gRPC; a client that waits, and its twin for event loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_mlfeat.errors import MissingExtraError, UserError
from airflow_provider_mlfeat.serving.triton.calls import Call, Calls, VersionState, VersionStatistics
from airflow_provider_mlfeat.serving.triton.failures import UnreachableError, answered_no

if TYPE_CHECKING:
    import ssl

    import httpx

    from airflow_provider_mlfeat.serving.triton.tensors import Array

Answer = TypeVar("Answer")
_UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True)
class Access:
    """How servers are reached.

    :param protocol: ``http`` or ``grpc``.
    :param tls: whether the connection is encrypted.
    :param ca_certificate: PEM file of the authority that signed the servers' certificates.
    :param timeout: seconds for one call.
    :param headers: headers of every request; they may be secret.
    """

    protocol: str = "http"
    tls: bool = False
    ca_certificate: str | None = None
    timeout: float = 30.0
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def calls(self) -> Calls:
        """The calls of the protocol."""
        if self.protocol == "grpc":
            from airflow_provider_mlfeat.serving.triton.grpc_calls import GrpcCalls

            return GrpcCalls()
        from airflow_provider_mlfeat.serving.triton.http_calls import HttpCalls

        return HttpCalls()

    def trust(self) -> ssl.SSLContext | bool:
        """Whom HTTPS trusts."""
        if self.ca_certificate is None:
            return True
        import ssl

        try:
            return ssl.create_default_context(cafile=self.ca_certificate)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"the CA certificate '{self.ca_certificate}' cannot be used: {reason}") from None

    def credentials(self) -> Any:
        """Whom gRPC over TLS trusts."""
        import grpc

        if self.ca_certificate is None:
            return grpc.ssl_channel_credentials()
        try:
            return grpc.ssl_channel_credentials(Path(self.ca_certificate).read_bytes())
        except OSError as error:
            raise UserError(f"the CA certificate '{self.ca_certificate}' cannot be used: {error.strerror}") from None


class _Asking:
    """What the twins share: the calls, and how answers and failures are read.

    :param address: ``host:port``.
    :param access: how it is reached.
    """

    def __init__(self, address: str, access: Access | None = None) -> None:
        self.address = address
        self.access = access or Access()
        self.calls = self.access.calls()

    @property
    def _url(self) -> str:
        return f"{'https' if self.access.tls else 'http'}://{self.address}"

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return tuple((name.lower(), value) for name, value in self.access.headers)

    def _http_request(self, client: Any, call: Call[Any], timeout: float | None) -> Any:
        method, _, path = call.target.partition(" ")
        seconds = self.access.timeout if timeout is None else timeout
        return client.build_request(
            method, f"{self._url}{path}", content=call.content, headers=dict(call.headers), timeout=seconds
        )

    def _read_http(self, call: Call[Answer], answer: httpx.Response) -> Answer:
        """Questions about health are answered by the status alone; for all else a bad status is an error."""
        if answer.status_code in (401, 403):
            raise answered_no(self.address, answer.text, forbidden=True)
        if answer.status_code != 200 and not call.target.endswith(("/ready", "/live")):
            try:
                message = str(answer.json()["error"])
            except (ValueError, KeyError, TypeError):
                message = f"HTTP {answer.status_code} {answer.text[:200]}"
            raise answered_no(self.address, message)
        return call.read(answer)

    def _http_failure(self, error: httpx.TransportError, timeout: float | None) -> Exception:
        import httpx

        if isinstance(error, httpx.TimeoutException):
            return self._too_slow(timeout)
        return UnreachableError(self.address, f"cannot be reached: {error or type(error).__name__}")

    def _too_slow(self, timeout: float | None) -> Exception:
        seconds = self.access.timeout if timeout is None else timeout
        return UnreachableError(self.address, f"did not answer within {seconds:g} s")

    def _grpc_failure(self, error: Any, timeout: float | None) -> Exception:
        import grpc

        code, details = error.code(), error.details() or ""
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._too_slow(timeout)
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            return answered_no(self.address, details, forbidden=True)
        if code == grpc.StatusCode.UNIMPLEMENTED:
            return UserError(f"{self.address} speaks gRPC but is not a Triton server")
        # Triton says UNAVAILABLE too, of a model; the library's own words tell a connection that failed.
        lost = ("connect", "Connection", "Socket closed", "DNS resolution", "GOAWAY", "recvmsg", "Broken pipe")
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED) and any(word in details for word in lost):
            return UnreachableError(self.address, f"cannot be reached: {details}")
        return answered_no(self.address, details or code.name)


class TritonClient(_Asking):
    """Asks one server and waits for the answer. Threads may share it.

    :param address: ``host:port``.
    :param access: how it is reached.
    """

    def __init__(self, address: str, access: Access | None = None) -> None:
        super().__init__(address, access)

    def is_live(self, timeout: float | None = None) -> bool:
        """Whether the server answers; one that cannot be reached is an error.

        :param timeout: seconds, in place of the usual ones.
        """
        return self._ask(self.calls.live(), timeout)

    def is_ready(self, model: str, version: int | None = None) -> bool:
        """Whether a model, or one version of it, can be asked.

        :param model: the model.
        :param version: its version.
        """
        return self._ask(self.calls.ready(model, version))

    def index(self) -> list[VersionState]:
        """Every version of every model that the server knows of."""
        return self._ask(self.calls.index())

    def load(self, model: str, configuration: Mapping[str, Any], timeout: float | None = None) -> None:
        """Load a model by its complete configuration; returns when all versions of its policy are ready.

        :param model: the model.
        :param configuration: all of it: what is left out is not taken from the file.
        :param timeout: seconds, in place of the usual ones.
        """
        self._ask(self.calls.load(model, configuration), timeout)

    def unload(self, model: str, *, dependents: bool = False) -> None:
        """Unload all versions of a model.

        :param model: the model.
        :param dependents: whether the models of an ensemble go with it.
        """
        self._ask(self.calls.unload(model, dependents=dependents))

    def configuration(self, model: str, version: int | None = None) -> dict[str, Any]:
        """The configuration that a loaded model has.

        :param model: the model.
        :param version: its version.
        """
        return self._ask(self.calls.configuration(model, version))

    def statistics(self, model: str, version: int | None = None) -> list[VersionStatistics]:
        """What a model's versions have done.

        :param model: the model.
        :param version: one version only.
        """
        return self._ask(self.calls.statistics(model, version))

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | None = None,
        outputs: Sequence[str] = (),
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Ask a model.

        :param model: the model.
        :param inputs: tensors by name; the first dimension is the rows.
        :param version: its version; None is the highest that is ready.
        :param outputs: which tensors to return; none named is all.
        :param timeout: seconds, in place of the usual ones.
        """
        return self._ask(self.calls.infer(model, version, inputs, outputs), timeout)

    def close(self) -> None:
        """Hang up."""
        for name in ("_client", "_channel"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()
                self.__dict__.pop("_procedures", None)

    def _ask(self, call: Call[Answer], timeout: float | None = None) -> Answer:
        if self.access.protocol == "grpc":
            return self._ask_grpc(call, timeout)
        import httpx

        try:
            answer = self._client.send(self._http_request(self._client, call, timeout))
        except httpx.TransportError as error:
            raise self._http_failure(error, timeout) from None
        return self._read_http(call, answer)

    def _ask_grpc(self, call: Call[Answer], timeout: float | None) -> Answer:
        import grpc

        seconds = self.access.timeout if timeout is None else timeout
        try:
            answer = getattr(self._procedures, call.target)(call.content, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._grpc_failure(error, timeout) from None
        return call.read(answer)

    @cached_property
    def _client(self) -> httpx.Client:
        made: httpx.Client = _httpx().Client(
            verify=self.access.trust(), headers=list(self.access.headers), trust_env=False
        )
        return made

    @cached_property
    def _channel(self) -> Any:
        import grpc

        if self.access.tls:
            return grpc.secure_channel(self.address, self.access.credentials(), options=_UNLIMITED)
        return grpc.insecure_channel(self.address, options=_UNLIMITED)

    @cached_property
    def _procedures(self) -> Any:
        from airflow_provider_mlfeat.serving.triton.grpc_calls import messages

        return messages()[1].GRPCInferenceServiceStub(self._channel)


class AsyncTritonClient(_Asking):
    """Asks one server inside an event loop. It belongs to the loop that first used it.

    :param address: ``host:port``.
    :param access: how it is reached.
    """

    def __init__(self, address: str, access: Access | None = None) -> None:
        super().__init__(address, access)

    async def is_live(self, timeout: float | None = None) -> bool:
        """Whether the server answers; one that cannot be reached is an error.

        :param timeout: seconds, in place of the usual ones.
        """
        return await self._ask(self.calls.live(), timeout)

    async def is_ready(self, model: str, version: int | None = None) -> bool:
        """Whether a model, or one version of it, can be asked.

        :param model: the model.
        :param version: its version.
        """
        return await self._ask(self.calls.ready(model, version))

    async def index(self) -> list[VersionState]:
        """Every version of every model that the server knows of."""
        return await self._ask(self.calls.index())

    async def load(self, model: str, configuration: Mapping[str, Any], timeout: float | None = None) -> None:
        """Load a model by its complete configuration; returns when all versions of its policy are ready.

        :param model: the model.
        :param configuration: all of it: what is left out is not taken from the file.
        :param timeout: seconds, in place of the usual ones.
        """
        await self._ask(self.calls.load(model, configuration), timeout)

    async def unload(self, model: str, *, dependents: bool = False) -> None:
        """Unload all versions of a model.

        :param model: the model.
        :param dependents: whether the models of an ensemble go with it.
        """
        await self._ask(self.calls.unload(model, dependents=dependents))

    async def configuration(self, model: str, version: int | None = None) -> dict[str, Any]:
        """The configuration that a loaded model has.

        :param model: the model.
        :param version: its version.
        """
        return await self._ask(self.calls.configuration(model, version))

    async def statistics(self, model: str, version: int | None = None) -> list[VersionStatistics]:
        """What a model's versions have done.

        :param model: the model.
        :param version: one version only.
        """
        return await self._ask(self.calls.statistics(model, version))

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | None = None,
        outputs: Sequence[str] = (),
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Ask a model.

        :param model: the model.
        :param inputs: tensors by name; the first dimension is the rows.
        :param version: its version; None is the highest that is ready.
        :param outputs: which tensors to return; none named is all.
        :param timeout: seconds, in place of the usual ones.
        """
        return await self._ask(self.calls.infer(model, version, inputs, outputs), timeout)

    async def close(self) -> None:
        """Hang up."""
        client, channel = self.__dict__.pop("_client", None), self.__dict__.pop("_channel", None)
        self.__dict__.pop("_procedures", None)
        if client is not None:
            await client.aclose()
        if channel is not None:
            await channel.close()

    async def _ask(self, call: Call[Answer], timeout: float | None = None) -> Answer:
        if self.access.protocol == "grpc":
            return await self._ask_grpc(call, timeout)
        import httpx

        try:
            answer = await self._client.send(self._http_request(self._client, call, timeout))
        except httpx.TransportError as error:
            raise self._http_failure(error, timeout) from None
        return self._read_http(call, answer)

    async def _ask_grpc(self, call: Call[Answer], timeout: float | None) -> Answer:
        import grpc

        seconds = self.access.timeout if timeout is None else timeout
        try:
            ask = getattr(self._procedures, call.target)
            answer = await ask(call.content, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._grpc_failure(error, timeout) from None
        return call.read(answer)

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        made: httpx.AsyncClient = _httpx().AsyncClient(
            verify=self.access.trust(), headers=list(self.access.headers), trust_env=False
        )
        return made

    @cached_property
    def _channel(self) -> Any:
        import grpc.aio

        if self.access.tls:
            return grpc.aio.secure_channel(self.address, self.access.credentials(), options=_UNLIMITED)
        return grpc.aio.insecure_channel(self.address, options=_UNLIMITED)

    @cached_property
    def _procedures(self) -> Any:
        from airflow_provider_mlfeat.serving.triton.grpc_calls import messages

        return messages()[1].GRPCInferenceServiceStub(self._channel)


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise MissingExtraError("triton", "Triton over HTTP", error.name) from None
    return httpx
