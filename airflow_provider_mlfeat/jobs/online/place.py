"""Where the online store of a job is: the part that the specs of all jobs on it share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from airflow_provider_mlfeat.jobs.spec import Document

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.opening import StoreAddress
    from airflow_provider_mlfeat.online.store import OnlineStore

# The secret of a job that is the password of its online store.
PASSWORD_SECRET = "online.password"  # noqa: S105 - a name


class OnlinePlace(Document):
    """The part of a spec that says which online store; the password comes as a secret.

    :param path: folder of the embedded store; empty is ``$MLFEAT_ONLINE``, else ``online/`` below the state directory.
    :param host: of Redis; empty is the embedded store.
    :param port: of Redis.
    :param database: number of the Redis database.
    :param tls: whether the connection is encrypted.
    :param ca_certificate: PEM file of the authority that signed the server's certificate.
    :param cluster: whether the host is a node of a Redis Cluster.
    :param key_prefix: what every key of Redis starts with.
    :param timeout: seconds for one call.
    :param login: Redis user; empty is the default user.
    """

    path: str = ""
    host: str = ""
    port: int = 6379
    database: int = 0
    tls: bool = False
    ca_certificate: str = ""
    cluster: bool = False
    key_prefix: str = ""
    timeout: float = Field(default=5.0, gt=0)
    login: str = ""

    def address(self, secrets: Mapping[str, str]) -> StoreAddress:
        """The address, with the password that the job's secrets hold."""
        from airflow_provider_mlfeat.online.opening import StoreAddress

        return StoreAddress(**self.model_dump(), password=secrets.get(PASSWORD_SECRET, ""))

    def open(self, secrets: Mapping[str, str]) -> OnlineStore:
        """The store; close it when it is no longer used."""
        from airflow_provider_mlfeat.online.opening import open_store

        return open_store(self.address(secrets))
