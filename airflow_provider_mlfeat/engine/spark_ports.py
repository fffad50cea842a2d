"""What a plan is cut into: fragments, and the ports through which rows come to them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_mlfeat.sql import plan

Table = tuple[str, str]

PORT = "#port"  # the database of a fragment's ports: no stored table can have it
SINGLE_ROW = (PORT, "single_row")  # a table of one row without columns


class Route(StrEnum):
    """How the rows of a port reach the partitions."""

    KEY = "key"
    COPY = "copy"
    SPREAD = "spread"


@dataclass(frozen=True, slots=True)
class Port:
    """An input of a fragment.

    :param producer: number of the fragment whose output comes in.
    :param route: how rows are spread over partitions.
    :param key: column numbers, for ``KEY``.
    :param order: the column that orders this port's rows in time, when a hot key may be split by it.
    :param halo: whether a split gives later partitions a halo of this port's rows as history.
    """

    producer: int
    route: Route
    key: tuple[int, ...] = ()
    order: int | None = None
    halo: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back windows look, over all frames of a fragment; the width of a halo.

    :param span: units of the order column; None when only row counts matter.
    :param span_rows: how many of the newest rows of that span are enough; None is all of them.
    :param rows: how many of the newest rows are seen whatever their time.
    """

    span: int | None
    span_rows: int | None
    rows: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a plan.

    :param relation: its sources are its ports (``PORT``, number), or one stored table for a map fragment.
    :param ports: the inputs; empty for a map fragment.
    :param table: the stored table of a map fragment.
    :param arrival: how many arrival columns end the output.
    :param level: 0 for map fragments, else one more than the highest producer.
    :param reach: what a split of a hot key has to repeat; None when the fragment cannot be split.
    """

    relation: plan.Relation
    ports: tuple[Port, ...]
    table: Table | None
    arrival: int
    level: int
    reach: Reach | None = None
