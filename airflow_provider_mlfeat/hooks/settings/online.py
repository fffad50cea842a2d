"""What an online store connection says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.files import state_directory
from airflow_provider_mlfeat.hooks.endpoints import Endpoint, parse_endpoints
from airflow_provider_mlfeat.hooks.fields import ConnectionFields


@dataclass(frozen=True, slots=True)
class OnlineSettings:
    """The embedded store's folder, or a Redis.

    :param backend: ``embedded`` or ``redis``.
    :param path: folder of the embedded store; without a meaning for Redis.
    :param endpoint: where Redis listens; None for the embedded store.
    :param database: number of the Redis database.
    :param tls: whether the connection is encrypted.
    :param ca_certificate: PEM file of the authority that signed the server's certificate.
    :param cluster: whether the endpoint is a node of a Redis Cluster.
    :param key_prefix: what every key starts with.
    :param timeout: seconds for one call.
    :param login: Redis user; None is the default user.
    :param password: that user's password.
    """

    backend: str
    path: Path
    endpoint: Endpoint | None
    database: int
    tls: bool
    ca_certificate: str | None
    cluster: bool
    key_prefix: str
    timeout: float
    login: str | None
    password: str | None = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.password,) if self.password else ()

    def place(self) -> dict[str, Any]:
        """Where the store is, as job specs say it: everything but the password."""
        if self.endpoint is None:
            return {"path": str(self.path)}
        return {
            "host": self.endpoint.host,
            "port": self.endpoint.port,
            "database": self.database,
            "tls": self.tls,
            "ca_certificate": self.ca_certificate or "",
            "cluster": self.cluster,
            "key_prefix": self.key_prefix,
            "timeout": self.timeout,
            "login": self.login or "",
        }

    @classmethod
    def parse(cls, fields: ConnectionFields) -> OnlineSettings:
        """The settings in a connection's fields."""
        backend, path, database = fields.choice("backend"), fields.text("path"), fields.whole("database") or 0
        endpoint = None
        if backend == "embedded" and fields.host:
            raise fields.error("a host is set, but the backend is 'embedded'; set the field 'backend' to 'redis'")
        if backend == "redis":
            if not fields.host:
                raise fields.error("the host of Redis is empty")
            try:
                (endpoint,) = parse_endpoints(fields.host, fields.port or 6379)
            except (UserError, ValueError):
                raise fields.error(f"'{fields.host}' is not the name of one host") from None
            if fields.switch("cluster") and database:
                raise fields.error(f"a Redis Cluster has only database 0, not {database}")
        return cls(
            backend=backend,
            path=Path(path).expanduser() if path else state_directory() / "online",
            endpoint=endpoint,
            database=database,
            tls=fields.switch("tls"),
            ca_certificate=fields.text("ca_certificate"),
            cluster=fields.switch("cluster"),
            key_prefix=fields.text("key_prefix") or "",
            timeout=fields.seconds("timeout"),
            login=fields.login,
            password=fields.password,
        )
