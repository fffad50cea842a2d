"""A version on probation: a share of the keys goes to it for a time, and its budget is counted on the client's side.

Triton's own counters do not tell enough: it counts an error that a python model answers as a success, and a request
that its queue refuses not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from airflow_provider_mlfeat.errors import MlfeatError, UserError
from airflow_provider_mlfeat.serving.triton.client import TritonClient
from airflow_provider_mlfeat.serving.triton.failures import one_line
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.golden import OUTPUT
from airflow_provider_mlfeat.serving.triton.live_state import LiveState
from airflow_provider_mlfeat.serving.triton.model_folder import GoldenRows

_WORKERS = 8
_JUDGE_SECONDS = 0.5
_ENOUGH = 20


@dataclass(frozen=True)
class Probation:
    """How a version is tried before it goes live.

    :param share: the share of keys that it answers for; 0 tries nothing.
    :param seconds: how long.
    :param rate: requests a second that are sent to try it, over all keys.
    :param max_error_share: which share of its requests may fail.
    :param max_p99_ms: how long its slowest hundredth may take; None is no limit.
    :param rows: what is sent, with the answers to expect; None is the model's golden rows.
    """

    share: float = 0.0
    seconds: float = 30.0
    rate: float = 50.0
    max_error_share: float = 0.0
    max_p99_ms: float | None = None
    rows: GoldenRows | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UserError(f"the canary's share is from 0 to 1, not {self.share:g}")
        if self.share and (self.seconds <= 0 or self.rate <= 0):
            raise UserError("a canary needs seconds and a rate above 0")


@dataclass
class Outcome:
    """What was seen of one version.

    :param latencies: seconds of the requests that were answered.
    :param errors: messages of those that were not.
    """

    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many were sent and came back."""
        return len(self.latencies) + len(self.errors)

    def percentile_ms(self, share: float) -> float:
        """A percentile of the latency in milliseconds; 0 where nothing was answered."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def try_out(
    fleet: Fleet,
    state: LiveState,
    golden: GoldenRows,
    probation: Probation,
    tolerance: float,
    report: Callable[[int, dict[str, float]], None],
) -> dict[int, Outcome]:
    """Send requests by key for the time of the probation; what was seen, by version.

    :param fleet: the servers; requests go to them in turn.
    :param state: a state with a canary: it says which version answers for a key.
    :param golden: rows to ask, unless the probation has its own; the canary's answers are compared with theirs.
    :param probation: how long, how much, and the budget.
    :param tolerance: how far an answer may be off.
    :param report: told now and then: new requests, and what was seen of the canary. It may raise to end the trial.
    :raises UserError: the canary has used up its budget.
    """
    assert state.canary is not None
    golden = probation.rows or golden
    version, seen = state.canary.version, {number: Outcome() for number in (state.canary.version, state.live) if number}
    servers = list(fleet.clients.values())
    began, sent, told = time.monotonic(), 0, 0
    next_judgement = began + _JUDGE_SECONDS

    def ask(client: TritonClient, number: int, row: int) -> tuple[int, float, str]:
        start = time.perf_counter()
        try:
            answer = client.infer(state.model, golden.row(row), version=number, outputs=(OUTPUT,))[OUTPUT]
        except MlfeatError as error:
            return number, 0.0, str(error)
        taken = time.perf_counter() - start
        if number == version and not abs(float(answer.reshape(-1)[0]) - golden.outputs[row % len(golden)]) <= tolerance:
            return number, 0.0, f"a wrong answer for row {row % len(golden)} of the trial"
        return number, taken, ""

    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="canary") as pool:
        waiting: list[Future[tuple[int, float, str]]] = []
        while (now := time.monotonic()) - began < probation.seconds:
            due = int((now - began) * probation.rate) - sent
            for _ in range(min(due, _WORKERS)):
                target = state.version_for(str(sent))
                if target is not None:
                    waiting.append(pool.submit(ask, servers[sent % len(servers)], target, sent))
                sent += 1
            waiting = _collect(waiting, seen)
            if now >= next_judgement:
                next_judgement = now + _JUDGE_SECONDS
                judge(version, seen[version], probation)
                report(sent - told, _metrics(seen[version]))
                told = sent
            time.sleep(0.002)
        for future in waiting:
            future.exception()
        _collect(waiting, seen)
    judge(version, seen[version], probation, final=True)
    report(sent - told, _metrics(seen[version]))
    return seen


def judge(version: int, outcome: Outcome, probation: Probation, *, final: bool = False) -> None:
    """Whether a version keeps within its budget so far.

    :param version: the version.
    :param outcome: what was seen of it.
    :param probation: its budget.
    :param final: whether the time is over; before, a few requests prove nothing about latency.
    :raises UserError: it does not.
    """
    if final and not outcome.requests:
        raise UserError(f"version {version} got no request in its trial: raise the canary's share, rate or seconds")
    share = len(outcome.errors) / max(1, outcome.requests)
    if outcome.errors and share > probation.max_error_share and (final or outcome.requests >= _ENOUGH):
        raise UserError(
            f"the canary of version {version} failed {len(outcome.errors)} of {outcome.requests} requests, more than "
            f"its budget of {probation.max_error_share:.1%}: {one_line(outcome.errors[-1])}"
        )
    slowest = outcome.percentile_ms(0.99)
    enough = final or len(outcome.latencies) >= 100
    if probation.max_p99_ms is not None and enough and slowest > probation.max_p99_ms:
        raise UserError(
            f"the canary of version {version} answers its slowest hundredth in {slowest:.3g} ms, more than its budget "
            f"of {probation.max_p99_ms:g} ms ({len(outcome.latencies)} requests)"
        )


def _collect(
    waiting: list[Future[tuple[int, float, str]]], seen: dict[int, Outcome]
) -> list[Future[tuple[int, float, str]]]:
    """Count what has come back; what has not is still waited for."""
    left = []
    for future in waiting:
        if not future.done():
            left.append(future)
            continue
        version, taken, error = future.result()
        if error:
            seen[version].errors.append(error)
        else:
            seen[version].latencies.append(taken)
    return left


def _metrics(outcome: Outcome) -> dict[str, float]:
    return {
        "canary_requests": outcome.requests,
        "canary_errors": len(outcome.errors),
        "canary_p99_ms": round(outcome.percentile_ms(0.99), 3),
    }
