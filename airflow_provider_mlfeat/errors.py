"""What can go wrong, by who can mend it: the user, time, or us.

Every room raises these, and every face maps them: the command line to exit codes, a task to "fail now" or "retry".
"""

from __future__ import annotations


class MlfeatError(Exception):
    """An error with one sentence for the user.

    Anything that is not an MlfeatError is our own mistake and keeps its stack trace.
    """

    exit_code = 1
    retryable = False


class UserError(MlfeatError):
    """Something that the user has to change; trying again cannot help."""

    exit_code = 2


class MissingExtraError(UserError):
    """A feature whose optional packages are not installed here.

    :param extra: the extra that brings them.
    :param feature: what needs them, as the subject of a sentence.
    :param module: the module that could not be imported, when it is known.
    """

    def __init__(self, extra: str, feature: str, module: str | None = None) -> None:
        missing = f" (no module '{module}')" if module else ""
        super().__init__(
            f"{feature} needs the '{extra}' extra{missing}: pip install 'airflow-provider-mlfeat[{extra}]'"
        )
        self.extra = extra
        self.module = module


class StorageError(UserError):
    """A place where data is kept cannot be used as it is: full, damaged, not permitted. The request was not wrong."""


class TransientError(MlfeatError):
    """Something that may be gone at the next try: a server that is away, a full queue."""

    exit_code = 75
    retryable = True


class CancelledError(MlfeatError):
    """The work was asked to stop, and did."""

    exit_code = 130


class JobFailedError(MlfeatError):
    """A job that ended in an unforeseen error, somewhere else than here.

    :param message: the last line of its stack trace.
    :param details: the stack trace.
    """

    retryable = True

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class JobLostError(JobFailedError):
    """A job whose process or container is gone and which left neither result nor error."""
