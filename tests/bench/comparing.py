"""Proof that two engines gave the same answer."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

KEY = "request_1"


def assert_equal(ours: Path, theirs: Path, rival: str) -> None:
    """Fail when any cell of two answers differs; rows are paired by the request's id."""
    left, right = (pq.read_table(path).sort_by(KEY) for path in (ours, theirs))
    if left.column_names != right.column_names or left.num_rows != right.num_rows:
        raise SystemExit(f"{rival} gives {right.num_rows} rows of {right.column_names}, not {left.num_rows} of ours")
    for name in left.column_names:
        mine, other = _comparable(left.column(name)), _comparable(right.column(name))
        different = pc.not_equal(mine, other.cast(mine.type))
        unlike = pc.or_kleene(pc.fill_null(different, False), pc.xor(pc.is_null(mine), pc.is_null(other)))
        if pc.any(unlike).as_py():
            row = pc.index(unlike, True).as_py()
            raise SystemExit(f"{rival} differs in {name}, row {row}: {other[row]} where ours is {mine[row]}")


def _comparable(column: pa.ChunkedArray) -> pa.Array:
    """Timestamps as milliseconds, dictionaries as their values."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.timestamp("ms", array.type.tz), safe=False).view(pa.int64())
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
