"""The online feature store: files that one process serves from, or a Redis that many share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import MissingExtraError, TransientError, UserError
from airflow_provider_mlfeat.hooks.endpoints import TEST_SECONDS, Endpoint, require_listener
from airflow_provider_mlfeat.hooks.fields import ConnectionFields
from airflow_provider_mlfeat.hooks.folder import require_writable_folder
from airflow_provider_mlfeat.hooks.service import ServiceHook
from airflow_provider_mlfeat.hooks.settings.online import OnlineSettings

if TYPE_CHECKING:
    from redis import Redis
    from redis.cluster import RedisCluster

    from airflow_provider_mlfeat.online.store import OnlineStore


class OnlineStoreHook(ServiceHook[OnlineSettings]):
    """Reaches the online store of a connection.

    :param online_conn_id: a connection of type ``mlfeat_online``.
    """

    conn_name_attr = "online_conn_id"
    default_conn_name = "mlfeat_online_default"
    conn_type = "mlfeat_online"
    hook_name = "MLfeat: online feature store"

    def __init__(self, online_conn_id: str = default_conn_name, **arguments: Any) -> None:
        super().__init__(online_conn_id, **arguments)
        self.online_conn_id = online_conn_id

    def get_conn(self) -> Redis | RedisCluster:
        """A client of the Redis; it connects at its first command, or at once where the Redis is a cluster."""
        settings = self.settings
        if settings.endpoint is None:
            raise UserError(f"connection '{self.connection_id}' names the embedded store, which has no Redis client")
        return self._open_redis(settings.endpoint, {"socket_timeout": settings.timeout})

    def open_store(self) -> OnlineStore:
        """The store, opened in this process; close it when it is no longer used."""
        from airflow_provider_mlfeat.online.opening import StoreAddress, open_store

        return open_store(StoreAddress(**self.settings.place(), password=self.settings.password or ""))

    def _open_redis(self, endpoint: Endpoint, behaviour: dict[str, Any]) -> Redis | RedisCluster:
        try:
            from redis import Redis
            from redis.cluster import RedisCluster
        except ImportError as error:
            raise MissingExtraError("redis", "A Redis online store", error.name) from None
        settings = self.settings
        options: dict[str, Any] = {
            "host": endpoint.host,
            "port": endpoint.port,
            "username": settings.login,
            "password": settings.password,
            "ssl": settings.tls,
            "socket_connect_timeout": behaviour["socket_timeout"],
            **behaviour,
        }
        if settings.ca_certificate:
            options["ssl_ca_certs"] = settings.ca_certificate
        return RedisCluster(**options) if settings.cluster else Redis(db=settings.database, **options)

    def _parse(self, fields: ConnectionFields) -> OnlineSettings:
        return OnlineSettings.parse(fields)

    def _check(self) -> str:
        settings = self.settings
        if settings.endpoint is None:
            require_writable_folder(settings.path)
            return f"the embedded store can be written to {settings.path}"
        return self._check_redis(settings.endpoint)

    def _check_redis(self, endpoint: Endpoint) -> str:
        """Connect, authenticate, select the database, and read what kind of server answers."""
        try:
            from redis import exceptions
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise MissingExtraError("redis", "A Redis online store", error.name) from None
        require_listener(endpoint)
        try:
            client = self._open_redis(endpoint, {"socket_timeout": TEST_SECONDS, "retry": Retry(NoBackoff(), 0)})
            try:
                client.ping()
                about = _server_information(client)
            finally:
                client.close()
        except (exceptions.AuthenticationError, exceptions.AuthorizationError) as error:
            raise UserError(f"{endpoint} refuses these credentials: {error}") from None
        except exceptions.NoPermissionError as error:
            raise UserError(f"the Redis user may not do what a store needs: {error}") from None
        except exceptions.RedisClusterException as error:
            raise UserError(f"{endpoint} is not a node of a usable Redis Cluster: {error}") from None
        except exceptions.BusyLoadingError:
            raise TransientError(f"{endpoint} is still loading its data") from None
        except exceptions.TimeoutError:
            raise TransientError(f"{endpoint} listens, but does not answer: check the port and TLS") from None
        except (exceptions.InvalidResponse, exceptions.ConnectionError) as error:
            raise UserError(f"{endpoint} does not speak {self._protocol}: check the port and TLS ({error})") from None
        except exceptions.ResponseError as error:
            raise UserError(f"{endpoint} refuses: {error}") from None
        return self._judge(endpoint, about)

    @property
    def _protocol(self) -> str:
        return "Redis over TLS" if self.settings.tls else "Redis"

    def _judge(self, endpoint: Endpoint, about: dict[str, Any]) -> str:
        if about.get("role") == "slave":
            raise UserError(f"{endpoint} is a read-only replica of {about.get('master_host')}: use its primary")
        if about.get("redis_mode") == "cluster" and not self.settings.cluster:
            raise UserError(f"{endpoint} is a node of a Redis Cluster: set the field 'cluster'")
        policy = str(about.get("maxmemory_policy", "noeviction"))
        warning = "" if policy == "noeviction" else f"; its maxmemory-policy {policy} may drop feature history"
        where = "the cluster" if self.settings.cluster else f"database {self.settings.database}"
        return f"Redis {about.get('redis_version')} at {endpoint} opens {where}{warning}"


def _server_information(client: Redis | RedisCluster) -> dict[str, Any]:
    """INFO of the server, or of one node where it is a cluster."""
    from redis.cluster import RedisCluster

    one_node = {"target_nodes": RedisCluster.RANDOM} if isinstance(client, RedisCluster) else {}
    information: Any = client.info(**one_node)
    return dict(information)
