"""Requests that arrive together are scored together, without waiting for more of them."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import numpy as np

from airflow_provider_mlfeat.dataset.encoder import EncodedRow
from airflow_provider_mlfeat.serving.scoring import Scorer

_MOST = 64


class _Waiting(NamedTuple):
    row: EncodedRow
    answer: asyncio.Future[float]


class Batcher:
    """Collects what one turn of the event loop brings.

    A lone request is scored in the next turn; under load the rows of a turn share one call.

    :param scorer: what gives probabilities.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._waiting: list[_Waiting] = []
        self._asking: set[asyncio.Task[None]] = set()

    async def score(self, row: EncodedRow) -> float:
        """The probability of one row."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[float] = loop.create_future()
        self._waiting.append(_Waiting(row, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._flush)
        return await answer

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _MOST):
            batch = [one for one in waiting[start : start + _MOST] if not one.answer.done()]
            if not batch:
                continue
            if self._scorer.is_local:
                self._compute(batch)
                continue
            task = asyncio.get_running_loop().create_task(self._ask(batch))
            # The loop itself holds tasks only weakly.
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    def _compute(self, batch: list[_Waiting]) -> None:
        try:
            _settle(batch, self._scorer.score(*_inputs(batch)))
        except Exception as error:  # noqa: BLE001 - each request is told
            _fail(batch, error)

    async def _ask(self, batch: list[_Waiting]) -> None:
        try:
            _settle(batch, await self._scorer.score_later(*_inputs(batch)))
        except Exception as error:  # noqa: BLE001 - each request is told
            _fail(batch, error)


def _inputs(batch: list[_Waiting]) -> tuple[Any, Any]:
    if len(batch) == 1:
        return batch[0].row.ids[None], batch[0].row.values[None]
    return np.stack([one.row.ids for one in batch]), np.stack([one.row.values for one in batch])


def _settle(batch: list[_Waiting], scores: Any) -> None:
    for one, score in zip(batch, scores.tolist(), strict=True):
        if not one.answer.done():
            one.answer.set_result(score)


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for one in batch:
        if not one.answer.done():
            one.answer.set_exception(error)
