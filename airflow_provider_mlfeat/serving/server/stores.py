"""The online store that a server answers from, by its place on the command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.opening import StoreAddress

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.store import OnlineStore

PASSWORD_VARIABLE = "MLFEAT_REDIS_PASSWORD"  # noqa: S105 - a name
_OPTIONS = ("cluster", "key_prefix", "ca_certificate", "timeout")


def parse_place(place: str) -> StoreAddress:
    """A folder, or ``redis[s]://[user@]host[:port][/database][?cluster=true&key_prefix=…]``.

    The password is never part of it: it is in ``$MLFEAT_REDIS_PASSWORD``, which only the server's own user can read.
    """
    if "://" not in place:
        return StoreAddress(path=place)
    parts = urlsplit(place)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise UserError(f"'{parts.scheme}://{parts.hostname or ''}' is no online store: give a folder or redis://host")
    if parts.password:
        raise UserError(f"the password of Redis belongs into ${PASSWORD_VARIABLE}, not into the command line")
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise UserError(f"'{unknown[0]}' is no option of a Redis store; there is {', '.join(_OPTIONS)}")
    try:
        return StoreAddress(
            host=parts.hostname,
            port=parts.port or 6379,
            database=int(parts.path.strip("/") or 0),
            tls=parts.scheme == "rediss",
            ca_certificate=options.get("ca_certificate", ""),
            cluster=options.get("cluster", "").lower() in ("1", "true", "yes"),
            key_prefix=options.get("key_prefix", ""),
            timeout=float(options.get("timeout", 5.0)),
            login=unquote(parts.username or ""),
            password=os.environ.get(PASSWORD_VARIABLE, ""),
        )
    except ValueError as error:
        raise UserError(f"the address of the Redis store is wrong: {error}") from None


def open_store(place: str) -> OnlineStore:
    """The store at a place."""
    from airflow_provider_mlfeat.online.opening import open_store as open_at

    return open_at(parse_place(place))


def check_store(place: str) -> None:
    """Fail before the workers start when the store cannot be opened or does not answer."""
    with open_store(place) as store:
        store.documents.revision()
