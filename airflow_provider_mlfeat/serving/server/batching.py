"""Requests that arrive together are scored together, without waiting for more of them."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

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
            batch = [one for one in waiting[start : start + _MOST] if not one.answer.cancelled()]
            if not batch:
                continue
            task = asyncio.get_running_loop().create_task(self._ask(batch))
            # The loop itself holds tasks only weakly.
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, batch: list[_Waiting]) -> None:
        try:
            scores = await self._scorer.score_later(
                np.stack([one.row.ids for one in batch]), np.stack([one.row.values for one in batch])
            )
        except Exception as error:  # noqa: BLE001 - each request is told
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        for one, score in zip(batch, scores.tolist(), strict=True):
            if not one.answer.done():
                one.answer.set_result(score)
