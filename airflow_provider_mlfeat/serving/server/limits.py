"""What keeps a worker answering: a bounded number of requests at a time, a bounded body, a deadline, a token."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from airflow_provider_mlfeat.serving.server.failures import BusyError, RefusalError


class Gate:
    """Lets so many requests in at a time, each for so long.

    :param most: how many.
    :param seconds: for how long.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self.inside = 0

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Runs a block as one of the requests; refuses at once when there are too many."""
        if self.inside >= self._most:
            raise BusyError
        self.inside += 1
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise RefusalError(504, f"no answer within {self._seconds:g} s") from None
        finally:
            self.inside -= 1


async def read_body(request: Request, largest: int) -> bytes:
    """The body, unless it is too large; it is not read further than that."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > largest:
        raise _too_large(largest)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            raise _too_large(largest)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(largest: int) -> RefusalError:
    return RefusalError(413, f"the body must not be larger than {largest} bytes", headers={"Connection": "close"})


def check_token(request: Request, token: str | None) -> None:
    """Refuses a request without the token, when there is one."""
    if token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise RefusalError(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})
