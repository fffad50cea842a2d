"""Opening a store by where it is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_mlfeat import files

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.store import OnlineStore

FOLDER_VARIABLE = "MLFEAT_ONLINE"


@dataclass(frozen=True)
class StoreAddress:
    """Where a store is: a folder of this machine, or a Redis.

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
    :param password: that user's password; never shown.
    """

    path: str = ""
    host: str = ""
    port: int = 6379
    database: int = 0
    tls: bool = False
    ca_certificate: str = ""
    cluster: bool = False
    key_prefix: str = ""
    timeout: float = 5.0
    login: str = ""
    password: str = field(default="", repr=False)

    @property
    def folder(self) -> Path:
        """The folder of the embedded store."""
        path = self.path or os.environ.get(FOLDER_VARIABLE) or str(files.state_directory() / "online")
        return Path(path).expanduser().absolute()

    def __str__(self) -> str:
        if not self.host:
            return str(self.folder)
        place = f"{self.host}:{self.port}" + ("" if self.cluster else f"/{self.database}")
        return f"{'rediss' if self.tls else 'redis'}://{place}" + (f"#{self.key_prefix}" if self.key_prefix else "")


def open_store(address: StoreAddress) -> OnlineStore:
    """The store at an address; close it when it is no longer used."""
    if address.host:
        from airflow_provider_mlfeat.online.redis.store import RedisStore

        return RedisStore(address)
    from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore

    return EmbeddedStore(address.folder)
