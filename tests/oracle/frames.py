"""Which rows a window function sees (reference 1.5), step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError
from tests.oracle.expressions import Row
from tests.oracle.values import identity_key


@dataclass(frozen=True, eq=False)
class StreamRow:
    """A row of a stream with its place in the total order.

    :param row: the values.
    :param rank: 0 for the main input, -1 - i for union source i.
    :param arrival: its number among the rows of its source.
    """

    row: Row
    rank: int
    arrival: int


def stream_rows(main: Sequence[Row], unions: Sequence[Sequence[Row]]) -> list[StreamRow]:
    """The rows of all sources, each with its rank and arrival."""
    ranked = [(0, main), *((-1 - number, rows) for number, rows in enumerate(unions))]
    return [StreamRow(row, rank, arrival) for rank, rows in ranked for arrival, row in enumerate(rows)]


def check_order(stream: plan.Stream, rows: Sequence[StreamRow], schema: plan.Schema) -> None:
    """An order key must be there and must not be negative (D13)."""
    if stream.order is None:
        return
    for number, item in enumerate(rows):
        value = item.row[stream.order]
        if value is None or value < 0:
            name = schema[stream.order].name
            raise DataRuleError(f"the window's order column holds {value}", column=name, row=number)


def candidates(stream: plan.Stream, current: StreamRow, rows: Sequence[StreamRow]) -> list[StreamRow]:
    """The current row, then the rows before it in the total order, newest first (steps 1 to 4)."""

    def partition(item: StreamRow) -> Any:
        return tuple(identity_key(item.row[column]) for column in stream.partition)

    def place(item: StreamRow) -> tuple[Any, int, int]:
        return (0 if stream.order is None else item.row[stream.order], item.rank, item.arrival)

    own, here = partition(current), place(current)
    earlier = [item for item in rows if place(item) < here and partition(item) == own]
    if stream.instance_not_in_window:
        earlier = [item for item in earlier if item.rank < 0]
    return [current, *sorted(earlier, key=place, reverse=True)]


def frame_rows(stream: plan.Stream, frame: plan.Frame, seen: list[StreamRow]) -> list[Row]:
    """The rows of the frame, newest first (steps 5 to 8); `seen` are the candidates."""
    current = seen[0]

    def time(item: StreamRow) -> Any:
        return 0 if stream.order is None else item.row[stream.order]

    if frame.exclude_current_time:
        seen = [item for item in seen if item is current or time(item) != time(current)]
    if frame.unit == "rows":
        farthest = len(seen) if frame.start is None else frame.start
        kept = [item for position, item in enumerate(seen) if frame.end <= position <= farthest]
    else:
        ages = [(time(current) - time(item), item) for item in seen]
        kept = [item for age, item in ages if frame.end <= age and (frame.start is None or age <= frame.start)]
    if frame.exclude_current_row:
        kept = [item for item in kept if item is not current]
    if frame.maxsize is not None:
        kept = kept[: frame.maxsize]
    return [item.row for item in kept]
