"""What a client is told when a request cannot be answered: a real status, and the body that OpenMLDB's clients read."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_mlfeat.errors import StorageError, TransientError, UserError

log = logging.getLogger("mlfeat.serve")
# What a server that is busy, or that waits for others, says beside its status.
COME_BACK = {"Retry-After": "1"}


class RefusalError(Exception):
    """An answer that is no success.

    :param status: the HTTP status.
    :param message: one sentence for the caller.
    :param fields: message per field of the request, where fields are at fault.
    :param headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.fields = dict(fields or {})
        self.headers = dict(headers or {})

    def to_document(self) -> dict[str, object]:
        """The body of the answer."""
        document: dict[str, object] = {"code": self.status, "msg": self.message}
        if self.fields:
            document["fields"] = self.fields
        return document


class BadRequestError(RefusalError):
    """The caller's mistake.

    :param message: one sentence for the caller.
    :param fields: message per field of the request, where fields are at fault.
    """

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(400, message, fields)


class BusyError(RefusalError):
    """Too much at once: come back in a moment."""

    def __init__(self) -> None:
        super().__init__(503, "the server is busy; try again", headers=COME_BACK)


def refusal_of(request: Request, error: Exception) -> RefusalError:
    """What a client is told about any error; our own are logged, and told without detail."""
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, StorageError):
        log.error("%s", error)
        return RefusalError(507, str(error))
    if isinstance(error, UserError):
        return RefusalError(400, str(error))
    if isinstance(error, TransientError):
        return RefusalError(503, str(error), headers=COME_BACK)
    if isinstance(error, HTTPException):
        return RefusalError(error.status_code, str(error.detail), headers=error.headers)
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return RefusalError(500, "an error of the server; its log says more")


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer to a request that failed."""
    from airflow_provider_mlfeat.serving.server.documents import write_json

    refusal = refusal_of(request, error)
    return Response(write_json(refusal.to_document()), refusal.status, refusal.headers, media_type="application/json")
