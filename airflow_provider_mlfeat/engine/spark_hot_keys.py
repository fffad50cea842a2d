"""Keys that hold too many rows for one partition: splitting them by time, with the history that each part needs.

A key is hot when it holds more than half a partition's fair share of the rows. Its rows are cut at boundary times into
parts that go to different partitions; rows of one time stay together. Every part after the first also gets a *halo*,
the earlier rows that its windows can see: those inside the longest span (of which a MAXSIZE needs only the newest), and
the newest rows as far as ROWS frames reach. Halo rows are history only: what they give is thrown away. The result is
exact whatever the boundaries are, so these may come from a sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airflow_provider_mlfeat.engine.kernels.ordering import group_rows
from airflow_provider_mlfeat.engine.spark_ports import Reach

# Halo rows keep their order among themselves but have a negative arrival, by which they are known.
HALO_SHIFT = 1 << 62


@dataclass(frozen=True, slots=True)
class HotKeys:
    """Where hot keys are cut.

    :param boundaries: per hash of a hot key the first times of its parts after the first one, ascending.
    :param reach: how far back the windows look.
    """

    boundaries: Mapping[int, tuple[int, ...]]
    reach: Reach


def find_hot_keys(
    hashes: NDArray[np.uint64], times: NDArray[np.int64], partitions: int, reach: Reach
) -> HotKeys | None:
    """The hot keys in a sample of rows and where to cut them; None when there are none.

    :param hashes: hash of the key, per sampled row.
    :param times: order value, per sampled row.
    :param partitions: how many partitions the rows are going to.
    :param reach: how far back the windows look.
    """
    limit = len(hashes) / (2 * partitions)
    values, counts = np.unique(hashes, return_counts=True)
    found: dict[int, tuple[int, ...]] = {}
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        parts = min(partitions, int(np.ceil(count / limit))) if count > limit else 1
        if parts > 1:
            ordered = np.sort(times[hashes == value])
            cuts = ordered[[len(ordered) * part // parts for part in range(1, parts)]]
            cuts = np.unique(cuts[cuts > ordered[0]])
            if len(cuts):
                found[value] = tuple(cuts.tolist())
    return HotKeys(found, reach) if found else None


def parts_of_rows(
    hot: HotKeys, hashes: NDArray[np.uint64], times: NDArray[np.int64], homes: NDArray[np.int64], partitions: int
) -> NDArray[np.int64]:
    """The partition of every row: `homes`, or for a hot key as many further as the row's part says."""
    targets = homes.copy()
    for value, cuts in hot.boundaries.items():
        rows = np.flatnonzero(hashes == np.uint64(value))
        part = np.searchsorted(np.array(cuts), times[rows], side="right")
        targets[rows] = (homes[rows] + part) % partitions
    return targets


def halos(
    hot: HotKeys, hashes: NDArray[np.uint64], times: NDArray[np.int64], homes: NDArray[np.int64], partitions: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(partition, rows in their order) of every halo that some of these rows belong to."""
    reach = hot.reach
    for value, cuts in hot.boundaries.items():
        rows = np.flatnonzero(hashes == np.uint64(value))
        if not len(rows):
            continue
        rows = rows[np.argsort(times[rows], kind="stable")]
        ordered = times[rows]
        for part, cut in enumerate(cuts, start=1):
            stop = int(np.searchsorted(ordered, cut, side="left"))
            start = first_visible(ordered, cut, stop, reach)
            if start < stop:
                yield int((homes[rows[0]] + part) % partitions), np.sort(rows[start:stop])


def first_visible(times: NDArray[np.int64], cut: int, stop: int, reach: Reach) -> int:
    """The first of one key's ordered rows before `stop` that windows of rows from time `cut` on can see."""
    start = max(0, stop - reach.rows)
    if reach.span is None:
        return start
    inside = int(np.searchsorted(times[:stop], cut - reach.span, side="left"))
    if reach.span_rows is not None:
        inside = max(inside, stop - reach.span_rows)
    return min(start, inside)


def split(partitions: NDArray[np.int64], count: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(partition, rows in their order) of every partition that has rows."""
    starts, rows = group_rows(partitions, count, 0)
    for partition in range(count):
        if starts[partition] < starts[partition + 1]:
            yield partition, rows[starts[partition] : starts[partition + 1]]
