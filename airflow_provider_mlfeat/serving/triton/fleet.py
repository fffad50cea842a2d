"""Several servers as one: what is asked of one is asked of all, and each one's answer is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from airflow_provider_mlfeat.errors import MlfeatError, TransientError, UserError
from airflow_provider_mlfeat.serving.triton.calls import READY
from airflow_provider_mlfeat.serving.triton.client import Access, TritonClient

Answer = TypeVar("Answer")
_LOOK_SECONDS = 0.01


class Fleet:
    """The servers of one connection.

    :param addresses: where they listen, ``host:port`` each.
    :param access: how they are reached.
    """

    def __init__(self, addresses: Sequence[str], access: Access | None = None) -> None:
        if not addresses:
            raise UserError("no Triton server is named")
        self.clients = {address: TritonClient(address, access) for address in addresses}
        self._pool = ThreadPoolExecutor(len(self.clients), thread_name_prefix="triton")

    def try_each(self, ask: Callable[[TritonClient], Answer]) -> dict[str, Answer | MlfeatError]:
        """Ask all at once; what each answers, or how it fails.

        :param ask: what to ask one.
        """

        def attempt(client: TritonClient) -> Answer | MlfeatError:
            try:
                return ask(client)
            except MlfeatError as error:
                return error

        return dict(zip(self.clients, self._pool.map(attempt, self.clients.values()), strict=True))

    def each(self, doing: str, ask: Callable[[TritonClient], Answer]) -> dict[str, Answer]:
        """Ask all at once; an error of any is an error, when all have answered.

        :param doing: what is done, as the beginning of a sentence.
        :param ask: what to ask one.
        """
        answers = self.try_each(ask)
        failures = {address: answer for address, answer in answers.items() if isinstance(answer, MlfeatError)}
        if failures:
            raise failure_of(doing, failures, len(answers))
        return {address: answer for address, answer in answers.items() if not isinstance(answer, MlfeatError)}

    def require_live(self) -> None:
        """All servers answer.

        :raises TransientError: one does not; nothing was changed.
        """
        live = self.each("Reaching the servers", lambda client: client.is_live(timeout=min(5, client.access.timeout)))
        away = [address for address, answer in live.items() if not answer]
        if away:
            raise TransientError(f"Triton at {', '.join(away)} is not live")

    def ready_versions(self, model: str) -> dict[str, frozenset[int]]:
        """The versions that each server holds ready.

        :param model: the model.
        """
        return self.each("Reading the index", lambda client: ready_versions(client, model))

    def load(self, model: str, configuration: Mapping[str, Any], timeout: float) -> None:
        """Load a model on all servers.

        :param model: the model.
        :param configuration: its complete configuration.
        :param timeout: seconds that a server may take.
        """
        versions = ", ".join(map(str, configuration["version_policy"]["specific"]["versions"]))
        doing = f"Loading '{model}' with version {versions}"
        self.each(doing, lambda client: client.load(model, configuration, timeout))

    def wait_ready(self, model: str, version: int, seconds: float, check: Callable[[], None]) -> None:
        """Wait until all servers say that a version can be asked.

        :param model: the model.
        :param version: the version.
        :param seconds: how long to wait.
        :param check: called while waiting, to stop a cancelled job.
        """
        deadline = time.monotonic() + seconds
        while True:
            ready = self.each("Waiting for the version", lambda client: client.is_ready(model, version))
            away = [address for address, answer in ready.items() if not answer]
            if not away:
                return
            if time.monotonic() >= deadline:
                raise TransientError(
                    f"version {version} of '{model}' is not ready at {', '.join(away)} after {seconds:g} s"
                )
            check()
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Hang up."""
        self._pool.shutdown()
        for client in self.clients.values():
            client.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ready_versions(client: TritonClient, model: str) -> frozenset[int]:
    """The versions that a server holds ready.

    :param client: the server.
    :param model: the model.
    """
    return frozenset(
        entry.version
        for entry in client.index()
        if entry.model == model and entry.state == READY and entry.version is not None
    )


def failure_of(doing: str, failures: Mapping[str, MlfeatError], servers: int) -> MlfeatError:
    """One error for those of several servers; trying again helps when it may help with any of them.

    :param doing: what was done, as the beginning of a sentence.
    :param failures: how servers fail.
    :param servers: how many were asked.
    """
    share = f" on {len(failures)} of {servers} servers" if servers > 1 else ""
    reasons = "; ".join(dict.fromkeys(map(str, failures.values())))
    kind = TransientError if any(error.retryable for error in failures.values()) else UserError
    return kind(f"{doing} failed{share}: {reasons}")
