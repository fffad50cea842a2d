"""Spark without Spark: the driver's planning and the workers' tasks, with a shuffle that is a dictionary.

Rows reach the tasks in slices and chunks reach partitions in random order, as they do on a cluster.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from airflow_provider_mlfeat.engine.pruning import prune
from airflow_provider_mlfeat.engine.spark_job import Job
from airflow_provider_mlfeat.engine.spark_planning import SparkOptions, plan_job, splittable_fragments, with_hot_keys
from airflow_provider_mlfeat.engine.spark_ports import SINGLE_ROW, Table
from airflow_provider_mlfeat.engine.spark_relations import narrowed
from airflow_provider_mlfeat.engine.spark_tasks import (
    CHUNK_SCHEMA,
    ROW_COLUMN,
    answer_columns,
    chunks_in_memory,
    level_task,
    map_task,
    sample_in_memory,
)
from airflow_provider_mlfeat.sql.plan import Plan

SPREAD = SparkOptions(tiny_rows=0, rows_per_partition=1, split_hot_keys=True)
SLICE_ROWS = 7


def make_job(
    query: Plan,
    tables: Mapping[Table, pa.Table],
    slots: int,
    options: SparkOptions = SPREAD,
    parameters: tuple[Any, ...] = (),
    counted: bool = True,
) -> Job:
    """The job of a query over tables in memory; with `counted` their sizes are known to the planner."""
    root = narrowed(prune(query.root, range(len(query.root.schema))))
    narrow = Plan(root, query.time_zone, query.null_join_keys, query.request_source, query.parameters)
    counts = {name: table.num_rows for name, table in tables.items()} if counted else {}
    job = plan_job(narrow, counts, {}, parameters, slots, options)
    splittable = splittable_fragments(job, options)
    if not splittable:
        return job
    read = {fragment.table for fragment in job.fragments if fragment.table is not None and fragment.table != SINGLE_ROW}
    samples = [sample_in_memory(job, name, tables[name], splittable) for name in sorted(read)]
    return with_hot_keys(job, splittable, pa.concat_tables(samples))


def run_job(job: Job, tables: Mapping[Table, pa.Table], seed: int = 0) -> list[dict[str, Any]]:
    """The answer's rows, in no particular order, by the numbers of their columns."""
    text = job.to_json()
    draw = random.Random(seed)
    chunks: list[pa.RecordBatch] = []
    for table in dict.fromkeys(fragment.table for fragment in job.fragments if fragment.table is not None):
        if table == SINGLE_ROW:
            chunks += chunks_in_memory(job, table, pa.table([pa.nulls(1)], names=["nothing"])).to_batches()
            continue
        stored = tables[table].append_column(ROW_COLUMN, pa.array(np.arange(tables[table].num_rows)))
        for start in range(0, max(1, stored.num_rows), SLICE_ROWS):
            chunks += map_task(text, table, stored.slice(start, SLICE_ROWS).to_batches())
    for level in range(1, job.levels + 1):
        arrived: dict[int, list[pa.RecordBatch]] = defaultdict(list)
        draw.shuffle(chunks)
        for chunk in chunks:
            arrived[chunk.column(0)[0].as_py()].append(chunk)
        assert set(arrived) <= set(range(job.width(level)))
        places = range(job.width(level))
        if job.stream_bytes:
            for batches in arrived.values():
                batches.sort(key=_mark)
        chunks = [batch for place in places for batch in level_task(text, level, place, arrived[place])]
    assert all(batch.schema != CHUNK_SCHEMA for batch in chunks)
    names = [str(place) for place in range(len(answer_columns(job)))]
    return [row for batch in chunks for row in batch.rename_columns(names).to_pylist()]


def _mark(chunk: pa.RecordBatch) -> tuple[bool, int, int]:
    key, time = chunk.column("key")[0].as_py(), chunk.column("time")[0].as_py()
    return key is not None, key or 0, time or 0
