"""Where a service listens, and whether anything does."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from airflow_provider_mlfeat.errors import TransientError, UserError

TEST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port.

    :param host: name or address, without brackets.
    :param port: TCP port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoints(text: str, default_port: int) -> tuple[Endpoint, ...]:
    """The endpoints of ``host:port,host,[address]:port``.

    :param text: endpoints, separated by commas.
    :param default_port: the port of an endpoint that names none.
    """
    return tuple(_parse_endpoint(part.strip(), default_port) for part in text.split(",") if part.strip())


def _parse_endpoint(text: str, default_port: int) -> Endpoint:
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if closed and (not rest or rest.startswith(":")) else "?"
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    number = int(port or default_port) if (port or "0").isascii() and (port or "0").isdigit() else 0
    if not host or not 0 < number < 65536 or any(character in host for character in "/@ "):
        raise UserError(f"'{text}' is not host:port")
    return Endpoint(host, number)


def require_listener(endpoint: Endpoint, timeout: float = TEST_SECONDS) -> None:
    """Connect and hang up.

    :param endpoint: where to connect.
    :param timeout: seconds to wait.
    :raises TransientError: nothing listens, nothing answers, or the host is unknown; the message says which.
    """
    try:
        socket.create_connection((endpoint.host, endpoint.port), timeout).close()
    except socket.gaierror:
        raise TransientError(f"the host name '{endpoint.host}' is not known here") from None
    except ConnectionRefusedError:
        raise TransientError(f"nothing listens at {endpoint}") from None
    except TimeoutError:
        raise TransientError(f"{endpoint} does not answer within {timeout:g} s") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise TransientError(f"{endpoint} cannot be reached: {reason}") from None
