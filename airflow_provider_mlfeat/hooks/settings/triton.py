"""What a Triton connection says."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.hooks.endpoints import Endpoint, parse_endpoints
from airflow_provider_mlfeat.hooks.fields import ConnectionFields


@dataclass(frozen=True, slots=True)
class TritonSettings:
    """One or more Triton servers that hold the same models.

    :param endpoints: where they listen.
    :param protocol: ``http`` or ``grpc``.
    :param tls: whether the connection is encrypted.
    :param ca_certificate: PEM file of the authority that signed the servers' certificates.
    :param model_repository: folder that the servers read models from.
    :param timeout: seconds for one call.
    :param headers: headers of every request, the bearer token included.
    """

    endpoints: tuple[Endpoint, ...]
    protocol: str
    tls: bool
    ca_certificate: str | None
    model_repository: str | None
    timeout: float
    headers: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(value.removeprefix("Bearer ") for _, value in self.headers)

    @classmethod
    def parse(cls, fields: ConnectionFields) -> TritonSettings:
        """The settings in a connection's fields."""
        protocol, tls, host = fields.choice("protocol"), fields.switch("tls"), fields.host
        if host and "://" in host:
            scheme, _, host = host.partition("://")
            if scheme not in ("http", "https"):
                raise fields.error(f"the host must not start with '{scheme}://'; the protocol is a field of its own")
            tls = tls or scheme == "https"
        default_port = 8001 if protocol == "grpc" else 8000
        try:
            first = parse_endpoints(host.rstrip("/"), fields.port or default_port) if host else ()
            others = parse_endpoints(fields.text("replicas") or "", default_port)
        except UserError as error:
            raise fields.error(str(error)) from None
        endpoints = tuple(dict.fromkeys(first + others))
        if not endpoints:
            raise fields.error("the host is empty")
        headers = fields.mapping("headers")
        if fields.password:
            headers = (*headers, ("authorization", f"Bearer {fields.password}"))
        return cls(
            endpoints=endpoints,
            protocol=protocol,
            tls=tls,
            ca_certificate=fields.text("ca_certificate"),
            model_repository=fields.text("model_repository"),
            timeout=fields.seconds("timeout"),
            headers=headers,
        )
