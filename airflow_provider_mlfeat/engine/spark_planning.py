"""Deciding how a query is spread out: how many partitions each fragment has, and which keys are too hot for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from airflow_provider_mlfeat.engine.column import arrow_type
from airflow_provider_mlfeat.engine.reading import needed_columns
from airflow_provider_mlfeat.engine.spark_fragments import cut_plan, keep_whole
from airflow_provider_mlfeat.engine.spark_hot_keys import HotKeys, find_hot_keys
from airflow_provider_mlfeat.engine.spark_job import Job
from airflow_provider_mlfeat.engine.spark_ports import SINGLE_ROW, Fragment, Route, Table
from airflow_provider_mlfeat.sql import plan

WORKING_FACTOR = 4  # memory that a partition takes while it is computed, per byte of its rows
WIDE_BYTES = 24  # a guess at the size of a value that has no fixed one
SPLIT_PARTITIONS = 4  # with fewer partitions than this a hot key is no bottleneck worth looking for


@dataclass(frozen=True, slots=True)
class SparkOptions:
    """How a query is spread out; the defaults suit everything but tests.

    :param memory_per_partition: bytes that the work on one partition may take.
    :param tiny_rows: with fewer rows in all tables together everything is done in one partition.
    :param rows_per_partition: fewer rows than this are not worth another partition.
    :param split_hot_keys: whether to look for hot keys; None looks when there are partitions enough to profit.
    """

    memory_per_partition: int = 512 << 20
    tiny_rows: int = 20_000
    rows_per_partition: int = 50_000
    split_hot_keys: bool | None = None


def plan_job(
    query: plan.Plan,
    counts: Mapping[Table, int],
    files: Mapping[Table, Mapping[int, int]],
    parameters: tuple[Any, ...],
    slots: int,
    options: SparkOptions,
) -> Job:
    """The job of a query, still without hot keys.

    :param query: the plan, pruned and with narrowed tables.
    :param counts: rows of the stored tables, where they are known.
    :param files: see ``Job``.
    :param parameters: values of the query's parameters.
    :param slots: how many tasks can run at once.
    :param options: how to spread the work.
    """
    names = _table_names(query.root)
    tiny = names <= set(counts) and sum(counts.values()) < options.tiny_rows
    fragments = keep_whole(query) if tiny else cut_plan(query, dict(counts))
    partitions, fit = _partition_counts(fragments, counts, 1 if tiny else slots, options)
    stream_bytes = 0 if fit else max(1, options.memory_per_partition // WORKING_FACTOR)
    return Job(query, tuple(fragments), partitions, {}, files, parameters, stream_bytes)


def splittable_fragments(job: Job, options: SparkOptions) -> list[int]:
    """The fragments whose hot keys could be split and are worth looking for; their rows come from stored tables."""
    if options.split_hot_keys is False:
        return []
    enough = 2 if options.split_hot_keys else SPLIT_PARTITIONS
    return [
        number
        for number, fragment in enumerate(job.fragments)
        if fragment.reach is not None
        and job.partitions[number] >= enough
        and all(job.fragments[port.producer].table is not None for port in fragment.ports if port.route is Route.KEY)
    ]


def sampled_tables(job: Job, splittable: Sequence[int]) -> list[Table]:
    """The stored tables whose rows go to these fragments by key."""
    tables = (
        job.fragments[port.producer].table
        for number in splittable
        for port in job.fragments[number].ports
        if port.route is Route.KEY
    )
    return list(dict.fromkeys(table for table in tables if table is not None))


def with_hot_keys(job: Job, splittable: Sequence[int], sample: pa.Table) -> Job:
    """The job, splitting the keys that are hot in a sample of (fragment, hash of the key, time)."""
    fragment, hashes, times = (column.to_numpy() for column in sample.columns)
    hot: dict[int, HotKeys] = {}
    for number in splittable:
        chosen = fragment == number
        reach = job.fragments[number].reach
        if chosen.any() and reach is not None:
            keys = np.ascontiguousarray(hashes[chosen]).view(np.uint64)
            found = find_hot_keys(keys, times[chosen], job.partitions[number], reach)
            if found is not None:
                hot[number] = found
    return replace(job, hot_keys=hot)


def _table_names(relation: plan.Relation) -> set[Table]:
    return {(source.database, source.table) for source, _ in needed_columns(relation)}


def _partition_counts(
    fragments: Sequence[Fragment], counts: Mapping[Table, int], slots: int, options: SparkOptions
) -> tuple[tuple[int, ...], bool]:
    """How many partitions each fragment gets: enough for the memory budget, and for the slots where it pays.

    And whether the budget is enough for each of them, however the rows turn out to be spread.
    """
    rows: list[int | None] = []
    partitions: list[int] = []
    fit = True
    for fragment in fragments:
        if fragment.table is not None:
            rows.append(1 if fragment.table == SINGLE_ROW else counts.get(fragment.table))
            partitions.append(0)
            continue
        moved = [port for port in fragment.ports if port.route is not Route.COPY]
        known = [count for port in moved if (count := rows[port.producer]) is not None]
        rows.append(rows[fragment.ports[0].producer])
        if any(port.route is Route.KEY and not port.key for port in moved):
            partitions.append(1)
        elif len(known) < len(moved):
            partitions.append(slots)
            fit = False
        else:
            widths = [_row_bytes(fragments[port.producer].relation.schema) for port in moved]
            size = sum(count * width for count, width in zip(known, widths, strict=True))
            by_memory = -(-size * WORKING_FACTOR // options.memory_per_partition)
            by_work = min(slots, -(-sum(known) // options.rows_per_partition))
            partitions.append(max(1, by_memory, by_work))
            fit = fit and by_memory <= 1
    return tuple(partitions), fit


def _row_bytes(schema: plan.Schema) -> int:
    kinds = [arrow_type(column.type) for column in schema]
    return sum(-(-kind.bit_width // 8) if pa.types.is_primitive(kind) else WIDE_BYTES for kind in kinds)
