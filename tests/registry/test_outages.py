"""An MLflow server that goes away at any request of a registration, a promotion or a rollback, for good or for one
answer: a clear error or the right outcome, never a champion without its artefacts, and the next try mends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_mlfeat.errors import TransientError
from airflow_provider_mlfeat.registry import fetch_model, versions
from airflow_provider_mlfeat.registry.promotion import Promotion, promote, rollback
from airflow_provider_mlfeat.registry.registration import Registration, register
from airflow_provider_mlfeat.registry.run_log import RunLog
from airflow_provider_mlfeat.registry.tracking import Tracking
from tests.registry.conftest import Server, wait_for_senders
from tests.registry.folders import make_model

# How many of the requests that something makes are tried, from the first to the last.
POINTS = 4


class Cut:
    """From the nth request on the line is dead. Where the last answer is lost, that request itself still arrived.

    :param after: how many requests pass; none cuts nothing.
    :param answer_is_lost: whether the next one reaches the server.
    """

    def __init__(self, after: int | None, answer_is_lost: bool) -> None:
        self.after, self.answer_is_lost = after, answer_is_lost
        self.asked = 0

    def send(self, right: Callable[..., Any], *given: Any, **named: Any) -> Any:
        self.asked += 1
        if self.after is None or self.asked <= self.after:
            return right(*given, **named)
        if self.asked == self.after + 1 and self.answer_is_lost:
            right(*given, **named)
        raise requests.exceptions.ConnectionError("the line is dead")


@contextmanager
def cut(after: int | None = None, *, answer_is_lost: bool = False) -> Iterator[Cut]:
    one, right = Cut(after, answer_is_lost), requests.Session.send
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", lambda *given, **named: one.send(right, *given, **named))
        # A run's end waits for a server that is away; here nobody has to.
        patch.setattr(RunLog, "__init__", partialmethod(RunLog.__init__, patience=0.5, send_seconds=0.05))
        yield one
        wait_for_senders()


def points(requests_made: int) -> list[int]:
    """How many requests pass before the line is cut."""
    last = requests_made - 1
    return sorted({round(number * last / (POINTS - 1)) for number in range(POINTS)})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for number in range(2):
        make_model(folder / f"m{number}", noise=number / 10, seed=number)
    return folder


def add(tracking: Tracking, folder: Path, name: str) -> int:
    tags = {versions.DECISION: "accepted"}
    return register(tracking, Registration(name, folder, tags=tags, encoded_model=False)).version.number


def alias(tracking: Tracking, name: str, which: str = "champion") -> int | None:
    with tracking.client() as client:
        found = versions.find_alias(client, name, which)
    return None if found is None else found.number


def count(tracking: Tracking, name: str) -> int:
    with tracking.client() as client:
        return len(versions.search(client, name))


@pytest.mark.parametrize("answer_is_lost", [False, True])
def test_a_registration_that_is_cut_off(server: Server, models: Path, tmp_path: Path, answer_is_lost: bool) -> None:
    tracking = server.tracking
    add(tracking, models / "m0", f"run-{answer_is_lost}")
    with cut() as whole:
        add(tracking, models / "m0", f"whole-{answer_is_lost}")
    for after in points(whole.asked):
        name = f"cut-{answer_is_lost}-{after}"
        with cut(after, answer_is_lost=answer_is_lost), pytest.raises(TransientError, match="MLflow"):
            add(tracking, models / "m0", name)
        if alias(tracking, name, "challenger") is not None:
            # The very last thing: whatever has the alias is whole.
            fetch_model(name, "challenger", tmp_path / name, tracking)
        assert add(tracking, models / "m0", name) == 1, "the next try goes on with the same version"
        assert (count(tracking, name), alias(tracking, name, "challenger")) == (1, 1)


@pytest.mark.parametrize("answer_is_lost", [False, True])
def test_a_promotion_and_a_rollback_that_are_cut_off(
    server: Server, models: Path, tmp_path: Path, answer_is_lost: bool
) -> None:
    tracking, name = server.tracking, f"moved-{answer_is_lost}"
    for number in range(2):
        add(tracking, models / f"m{number}", name)
    promote(tracking, Promotion(name, 1))

    def forwards() -> Any:
        return promote(tracking, Promotion(name, 2))

    def back() -> Any:
        return rollback(tracking, name)

    for move, start, end in ((forwards, 1, 2), (back, 2, 1)):
        with cut() as whole:
            move()
        for after in points(whole.asked):
            with tracking.client() as client:
                versions.move_alias(client, versions.get(client, name, start), "champion")
            with cut(after, answer_is_lost=answer_is_lost), pytest.raises(TransientError, match="MLflow"):
                move()
            assert alias(tracking, name) in (start, end)
            fetch_model(name, "champion", tmp_path / "fetched", tracking)
            if alias(tracking, name) == start:
                move()
            assert alias(tracking, name) == end
