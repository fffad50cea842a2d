"""Reaching a Redis, and what it says as sentences."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import MissingExtraError, TransientError, UserError

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.opening import StoreAddress

_TRIES = 2


def open_client(address: StoreAddress) -> Any:
    """A client of the Redis at an address; a connection that was lost is made again."""
    try:
        from redis import Redis
        from redis.backoff import ExponentialBackoff
        from redis.cluster import RedisCluster
        from redis.retry import Retry
    except ImportError as error:
        raise MissingExtraError("redis", "A Redis online store", error.name) from None
    options: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "username": address.login or None,
        "password": address.password or None,
        "ssl": address.tls,
        "socket_timeout": address.timeout,
        "socket_connect_timeout": address.timeout,
        "retry": Retry(ExponentialBackoff(cap=0.2, base=0.02), _TRIES),
    }
    if address.tls and address.ca_certificate:
        options["ssl_ca_certs"] = _checked_authority(address.ca_certificate)
    with redis_errors(address):
        if address.cluster:
            return RedisCluster(**options)
        return Redis(db=address.database, **options)


def _checked_authority(path: str) -> str:
    """The path of a file that holds certificates, as far as can be told without a server."""
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"'{path}' holds no certificate of an authority in PEM form: {error}") from None
    return path


@contextmanager
def redis_errors(address: StoreAddress) -> Iterator[None]:
    """Errors of the client as sentences: a server that is away may be back at the next try."""
    from redis import exceptions

    where = f"{address.host}:{address.port}"
    try:
        yield
    except (exceptions.AuthenticationError, exceptions.AuthorizationError) as error:
        raise UserError(f"Redis at {where} refuses these credentials: {_said(error)}") from None
    except exceptions.NoPermissionError as error:
        raise UserError(f"the Redis user may not do what the online store needs: {_said(error)}") from None
    except exceptions.OutOfMemoryError as error:
        raise TransientError(f"Redis at {where} is full: {_said(error)}") from None
    except exceptions.ReadOnlyError as error:
        raise TransientError(f"Redis at {where} is a replica: {_said(error)}") from None
    except exceptions.RedisClusterException as error:
        raise TransientError(f"the Redis Cluster at {where} does not answer: {_said(error)}") from None
    except exceptions.BusyLoadingError:
        raise TransientError(f"Redis at {where} is still loading its data") from None
    except exceptions.TimeoutError:
        raise TransientError(f"Redis at {where} did not answer within {address.timeout:g} s") from None
    except exceptions.ConnectionError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            reason = str(error).partition("certificate verify failed: ")[2].partition(" (_ssl")[0] or str(error)
            message = f"the certificate of Redis at {where} is not to be trusted: {reason}"
            raise UserError(
                f"{message}; give the authority that signed it as ca_certificate, and its own host"
            ) from None
        raise TransientError(f"Redis at {where} is away: {_said(error)}") from None
    except exceptions.ResponseError as error:
        text = _said(error)
        if text.startswith(("MISCONF", "OOM", "LOADING", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN")):
            raise TransientError(f"Redis at {where} cannot write now: {text}") from None
        raise UserError(f"Redis at {where} refuses: {text}") from None


def _said(error: Exception) -> str:
    """What Redis said. The client adds the command of a pipeline that failed, with keys and values of people's rows."""
    return str(error).rpartition(" of pipeline caused error: ")[2]
