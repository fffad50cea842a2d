"""What a plan needs to have stored so that requests can be answered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from airflow_provider_mlfeat.engine.blocks import Block
from airflow_provider_mlfeat.engine.expressions import EvaluationContext
from airflow_provider_mlfeat.engine.history import Lookup, SeriesKey
from airflow_provider_mlfeat.engine.lineage import is_over, name_of, reads, sources_of
from airflow_provider_mlfeat.engine.pruning import prune
from airflow_provider_mlfeat.engine.reading import inputs_of
from airflow_provider_mlfeat.engine.request import RequestProgram
from airflow_provider_mlfeat.engine.request_long import long_frames
from airflow_provider_mlfeat.engine.request_relations import series_of
from airflow_provider_mlfeat.engine.request_windows import fast_stream
from airflow_provider_mlfeat.engine.requirements import Requirement, Use, requirements_of, table_schemas
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.online.series import EVERYTHING, Buckets, Need, Retention, TableName, union
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError

_MILLISECONDS = {"": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def needs_of(query: plan.Plan, options: Mapping[str, bool | int | str] | None = None) -> tuple[Need, ...]:
    """What has to be stored, one need per series.

    :param query: the plan.
    :param options: of DEPLOY; RANGE_BIAS and ROWS_BIAS keep more than the plan needs.
    """
    recorder = _Recorder()
    RequestProgram(query, recorder)
    schemas = table_schemas(query.root)
    asked = {_asked(series, schemas[series.table]) for series in recorder.prepared}
    found = []
    for requirement in requirements_of(query):
        need = _need(requirement)
        # A join whose keys no series can have, such as doubles, looks through the whole table.
        is_scan = requirement.use is Use.LAST and _series(need) not in {_series(one) for one in asked}
        found.append(Need(need.table) if is_scan else need)
    found += [Need(name) for name in _read_as_a_whole(query, recorder)]
    # A series that is asked for and that no requirement bounds is read in full.
    known = {_series(need) for need in found}
    found += [replace(need, retention=EVERYTHING) for need in asked if _series(need) not in known]
    found += _with_buckets(query)
    return tuple(_widened(need, options or {}) for need in union(found))


def _with_buckets(query: plan.Plan) -> Iterator[Need]:
    """What long windows need besides their rows."""
    for long in long_frames(query):
        parts = tuple(sorted(map(plan.expression_to_text, long.parts())))
        if parts:
            need = _asked(long.series, long.schema)
            yield replace(need, retention=Retention(), buckets=Buckets(long.bucket, parts))


def _asked(series: SeriesKey, schema: plan.Schema) -> Need:
    """A series that a program reads."""
    keys = tuple(schema[column].name for column in series.keys)
    return Need(series.table, keys, None if series.order is None else schema[series.order].name)


def _series(need: Need) -> tuple[TableName, tuple[str, ...], str | None]:
    return need.table, need.keys, need.order


def _need(requirement: Requirement) -> Need:
    if requirement.use is Use.FULL:
        return Need(requirement.table)
    if requirement.use is Use.LAST:
        # Such a series is read in order of arrival, whatever decides which of its rows is the last one.
        best = () if requirement.order is None else ((requirement.order, requirement.descending),)
        return Need(requirement.table, requirement.keys, None, Retention(rows=0 if best else 1, best=best))
    retention = EVERYTHING
    if requirement.rows is not None or requirement.time is not None:
        retention = Retention(rows=max(0, requirement.rows or 0), time=requirement.time)
    return Need(requirement.table, requirement.keys, requirement.order, retention)


def _widened(need: Need, options: Mapping[str, bool | int | str]) -> Need:
    retention = need.retention
    rows, time = (_bias(options.get(name, 0)) for name in ("rows_bias", "range_bias"))
    if (rows is None and retention.rows) or (time is None and retention.time is not None):
        return replace(need, retention=EVERYTHING)
    if rows and retention.rows:
        retention = replace(retention, rows=retention.rows + rows)
    if time and retention.time is not None:
        retention = replace(retention, time=retention.time + time)
    return replace(need, retention=retention)


def _bias(value: bool | int | str) -> int | None:
    """A bias in rows or milliseconds; None is without limit. The statement's parser has checked its form."""
    match = re.fullmatch(r"(\d+)([smhd]?)", str(value).lower())
    return None if match is None else int(match[1]) * _MILLISECONDS[match[2]]


def _read_as_a_whole(query: plan.Plan, recorder: _Recorder) -> Iterator[TableName]:
    """Tables behind windows that no series can cut by key."""
    request, context = query.request_source, EvaluationContext(query.time_zone)
    for windows in _windows_over(prune(query.root, range(len(query.schema))), request):
        for number, stream in enumerate(windows.streams):
            if fast_stream(windows, number, request, recorder, context) is not None:
                continue
            for union_source in stream.unions:
                if reads(union_source, request) or series_of(union_source, stream) is None:
                    yield from map(name_of, sources_of(union_source))
            if not stream.instance_not_in_window and series_of(windows.input, stream) is None:
                yield from map(name_of, sources_of(windows.input))


def _windows_over(relation: plan.Relation, request: TableName | None) -> Iterator[plan.Windows]:
    if isinstance(relation, plan.Windows) and is_over(relation.input, request):
        yield relation
    for below in inputs_of(relation):
        yield from _windows_over(below, request)


class _Recorder:
    """A store without rows that notes which series are asked for."""

    def __init__(self) -> None:
        self.strings = StringPool()
        self.prepared: list[SeriesKey] = []

    def prepare(
        self, series: SeriesKey, schema: plan.Schema, ordered: Iterable[int], columns: Iterable[int] | None = None
    ) -> None:
        if series not in self.prepared:
            self.prepared.append(series)

    def fetch(self, lookups: Sequence[Lookup]) -> list[Block | None]:
        raise DataRuleError("there are no rows to fetch while a plan is looked at")

    def rows(self, table: TableName, schema: plan.Schema) -> Rows:
        raise DataRuleError("there are no rows to read while a plan is looked at", table[1])

    def version(self, table: TableName) -> int:
        return 0
