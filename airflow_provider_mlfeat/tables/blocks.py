"""Record batches of one size, whatever size they come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

ROWS = 65_536


def blocks(batches: Iterable[pa.RecordBatch], rows: int = ROWS) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `rows`, the last one perhaps smaller; empty batches vanish.

    :param batches: of one schema.
    :param rows: of each batch that comes out.
    """
    waiting: list[pa.RecordBatch] = []
    missing = rows
    for batch in batches:
        rest = batch
        while rest.num_rows >= missing:
            waiting.append(rest.slice(0, missing))
            yield _joined(waiting)
            rest, waiting, missing = rest.slice(missing), [], rows
        if rest.num_rows:
            waiting.append(rest)
            missing -= rest.num_rows
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
