"""What keeps a worker answering: a bounded number of requests at a time, a bounded body, a deadline, a token."""

from __future__ import annotations

import asyncio
import hmac
from types import TracebackType
from typing import Any

from starlette.requests import Request

from airflow_provider_mlfeat.serving.server.failures import COME_BACK, BadRequestError, BusyError, RefusalError

# Rows of one request; whoever has more asks again.
MOST_ROWS = 1_000


class Gate:
    """Lets so many requests in at a time, each for so long.

    :param most: how many.
    :param seconds: for how long.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self.inside = 0

    def enter(self) -> _Pass:
        """Runs a block as one of the requests; refuses at once when there are too many."""
        return _Pass(self)


class _Pass:
    """One request's way through the gate.

    :param gate: which gate.
    """

    __slots__ = ("_deadline", "_gate")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._deadline = asyncio.timeout(gate.seconds)

    async def __aenter__(self) -> None:
        if self._gate.inside >= self._gate.most:
            raise BusyError
        await self._deadline.__aenter__()
        self._gate.inside += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.inside -= 1
        try:
            await self._deadline.__aexit__(kind, error, trace)
        except TimeoutError:
            raise RefusalError(504, f"no answer within {self._gate.seconds:g} s", headers=COME_BACK) from None


async def read_body(request: Request, largest: int) -> bytes:
    """The body, unless it is too large; it is not read further than that."""
    declared = header(request, b"content-length")
    if declared.isdigit() and int(declared) > largest:
        raise _too_large(largest)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] != "http.request":
            raise BadRequestError("the connection ended before the body did")
        part = message.get("body", b"")
        size += len(part)
        if size > largest:
            raise _too_large(largest)
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def check_rows(rows: list[Any]) -> None:
    """Refuses a request with too many rows: a worker would answer nobody else meanwhile."""
    if len(rows) > MOST_ROWS:
        raise BadRequestError(f"a request has at most {MOST_ROWS} rows, not {len(rows)}")


def header(request: Request, name: bytes) -> bytes:
    """A header by its name in lower case; empty without it."""
    for key, value in request.scope["headers"]:
        if key == name:
            assert isinstance(value, bytes)
            return value
    return b""


def _too_large(largest: int) -> RefusalError:
    return RefusalError(413, f"the body must not be larger than {largest} bytes", headers={"Connection": "close"})


def check_token(request: Request, token: str | None) -> None:
    """Refuses a request without the token, when there is one."""
    if token is None:
        return
    scheme, _, given = header(request, b"authorization").partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), token.encode()):
        raise RefusalError(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})
