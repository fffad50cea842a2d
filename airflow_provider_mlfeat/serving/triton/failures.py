"""What a server's failures mean to the user."""

from __future__ import annotations

from airflow_provider_mlfeat.errors import TransientError, UserError

_LONGEST = 600


class RefusedError(UserError):
    """The server answered, and the answer is no: a model that does not load, a request that does not fit.

    :param address: the server.
    :param message: what it says.
    """

    def __init__(self, address: str, message: str) -> None:
        super().__init__(f"Triton at {address}: {one_line(message)}")
        self.address = address


class UnreachableError(TransientError):
    """No answer: nothing listens, or it took too long. What was asked for may or may not have happened.

    :param address: the server.
    :param reason: what went wrong.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"Triton at {address} {reason}")
        self.address = address


class OverloadedError(TransientError):
    """The server has no place in its queue for a request.

    :param address: the server.
    :param message: what it says.
    """

    def __init__(self, address: str, message: str) -> None:
        super().__init__(f"Triton at {address} is overloaded: {one_line(message)}")
        self.address = address


def answered_no(address: str, message: str, *, forbidden: bool = False) -> UserError | TransientError:
    """The error for a server's negative answer, of either protocol.

    :param address: the server.
    :param message: what it says.
    :param forbidden: whether it was about credentials.
    """
    if forbidden or "restricted" in message:
        return UserError(f"Triton at {address} refuses these credentials: {one_line(message)}")
    if "maximum queue size" in message or "timeout expired" in message.lower():
        return OverloadedError(address, message)
    return RefusedError(address, message)


def one_line(text: str) -> str:
    """A text of any shape as one line that a log can hold; of a stack trace its end says the reason."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 3]} … {line[-_LONGEST * 2 // 3 :]}"
