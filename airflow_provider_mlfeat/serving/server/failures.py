"""What a client is told when a request cannot be answered: a real status, and the body that OpenMLDB's clients read."""

from __future__ import annotations

from collections.abc import Mapping


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
        super().__init__(503, "the server is busy; try again", headers={"Retry-After": "1"})
