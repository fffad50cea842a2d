"""Which rows of a key a retention keeps.

That depends on the requests that are still to come. A series in order of arrival is read from its end, whenever a
request is for. One that is ordered by time is read back from the request's own time, so rows may go only with a
promise: no request will be for a time before `since`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.online.series import Retention


@dataclass(frozen=True, slots=True)
class Horizon:
    """What is promised about the requests to come.

    :param is_live: requests are for times from the newest row of their key on; a row that lies in the future of this
        machine's clock promises nothing beyond now.
    :param earliest: requests are for times from this order value on; None, where `is_live` is false, promises nothing.
    """

    is_live: bool = False
    earliest: int | None = None

    def since(self, newest: int, is_time: bool) -> int | None:
        """The order value of the earliest request to come; None when any may come.

        :param newest: the newest order value of the key.
        :param is_time: whether order values are milliseconds since 1970.
        """
        if not self.is_live:
            return self.earliest
        return min(newest, int(1000 * time.time())) if is_time else newest


ANY_REQUEST, LIVE_REQUESTS = Horizon(), Horizon(is_live=True)


def kept_places(
    retention: Retention, order: Bits, column: Any, wanted: Sequence[str], since: int | None
) -> NDArray[np.int64] | slice:
    """The places that stay, of rows in order.

    :param retention: the rule.
    :param order: the order values of the rows.
    :param column: gives the patterns and the mask of a column by its place.
    :param wanted: the table's columns.
    :param since: the order value of the earliest request to come; None where requests read from the end.
    """
    count = len(order)
    if retention.everything or count == 0:
        return slice(0, count)
    end = count if since is None else int(np.searchsorted(order, since, side="right"))
    start = end - min(end, retention.rows)
    if retention.time is not None and since is not None:
        start = min(start, int(np.searchsorted(order, since - retention.time)))
    if not retention.best:
        return slice(start, count)
    stay = np.zeros(count, np.bool_)
    stay[start:] = True
    for name, descending in retention.best:
        bits, valid = column(wanted.index(name))
        stay[_best(bits, valid, descending)] = True
    return np.flatnonzero(stay)


def _best(bits: Bits, valid: NDArray[np.uint8], descending: bool) -> int:
    """The last arrival among the rows with the best value, NULL being worse than any."""
    has_value = valid.astype(np.bool_)
    if not has_value.any():
        return len(bits) - 1
    values = bits[has_value]
    best = values.min() if descending else values.max()
    return int(np.flatnonzero(has_value & (bits == best))[-1])
