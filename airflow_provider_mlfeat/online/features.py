"""The features of a request: what a server asks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.engine.request import RequestProgram
from airflow_provider_mlfeat.errors import MlfeatError
from airflow_provider_mlfeat.online import deployments as d
from airflow_provider_mlfeat.online.deployments import Deployment
from airflow_provider_mlfeat.online.documents import Draft
from airflow_provider_mlfeat.online.rows import RowReader

if TYPE_CHECKING:
    from airflow_provider_mlfeat.engine.blocks import Block
    from airflow_provider_mlfeat.engine.history import Lookup, SeriesKey
    from airflow_provider_mlfeat.engine.request_long import Summarized
    from airflow_provider_mlfeat.engine.rows import Rows
    from airflow_provider_mlfeat.online.store import OnlineStore, StoredHistory
    from airflow_provider_mlfeat.sql.plan import FrameCall, Plan, Schema

# How often a service looks whether its view of the store holds on to too much.
_ANSWERS_BETWEEN_LOOKS = 4096


@dataclass(frozen=True)
class Served:
    """A deployment that is ready to answer.

    :param deployment: which version.
    :param plan: its plan.
    :param program: its plan compiled.
    :param reader: makes request rows of what a caller sends.
    """

    deployment: Deployment
    plan: Plan
    program: RequestProgram
    reader: RowReader

    @property
    def input_schema(self) -> Schema:
        """The columns of a request row."""
        return self.program.request_schema

    @property
    def output_schema(self) -> Schema:
        """The columns of an answer."""
        return self.plan.schema


class FeatureService:
    """Answers requests from a store; sees a deployment, a switch and every row as soon as they are written.

    It is for one thread; a server makes one per thread or per process.

    :param store: where history and deployments are.
    """

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._history = store.history()
        self._answers = 0
        self._revision = -1
        self._draft = Draft({})
        self._series: dict[str, Any] = {}
        self._served: dict[str, Served] = {}
        self._programs: dict[str, Served] = {}

    def features(self, name: str, row: Sequence[Any]) -> tuple[Any, ...] | None:
        """The features of one request row; None where the query's WHERE leaves the row out.

        :param name: ``[database.]name[@version]``; without a version the live one answers.
        :param row: Python values in the order of the request table's columns, see ``Served.reader``.
        """
        return self.answer(name, row)[1]

    def answer(self, name: str, row: Sequence[Any]) -> tuple[Served, tuple[Any, ...] | None]:
        """The features of one request row, and the deployment that they are of."""
        self._answers += 1
        if self._answers % _ANSWERS_BETWEEN_LOOKS == 0 and self._history.is_worn:
            self._history, self._programs, self._served = self._store.history(), {}, {}
        while True:
            served = self._served.get(name) or self.served(name)
            try:
                answers = served.program.answer(row)
            except MlfeatError:
                if self._history.revision() == self._revision:
                    raise
            else:
                # What is deployed and where rows lie may have changed meanwhile: then the answer is of the past.
                if self._history.revision() == self._revision:
                    return served, answers[0] if answers else None
            self._look()

    def served(self, name: str) -> Served:
        """The deployment that a name means now, ready to answer."""
        if self._store.documents.revision() != self._revision:
            self._look()
        found = self._served.get(name)
        if found is None:
            deployment = d.find_deployment(self._draft, name)
            found = self._served[name] = self._open(deployment)
        return found

    def _look(self) -> None:
        """See what is deployed now."""
        # The revision first, so that a change between the two is seen next time; kept only when both were heard.
        revision, draft = self._store.documents.revision(), self._store.documents.read()
        self._revision, self._draft, self._served = revision, draft, {}
        series = {name: table["series"] for name, table in self._draft.list("table/").items()}
        if series != self._series:
            # Programs know where their series are.
            self._series, self._history, self._programs = series, self._store.history(), {}

    def names(self) -> list[Deployment]:
        """The deployments that are live."""
        draft = self._store.documents.read()
        return [one for one in d.all_deployments(draft) if d.live_version(draft, one.database, one.name) == one.version]

    def explain(self, name: str, row: Sequence[Any]) -> dict[str, Any]:
        """The answer to a request, and what it was computed from, as JSON.

        ``deployment``, ``plan_id``, ``features`` (column → value, None without an answer), ``history`` (per look-up:
        table, key, order, how many rows were read, the oldest and newest order value, of a long window how many
        ``buckets``) and ``milliseconds``.
        """
        served = self.served(name)
        watched = _WatchedHistory(self._history)
        program = RequestProgram(served.plan, watched)
        program.answer(row)
        watched.seen.clear()
        begin = time.perf_counter()
        answers = program.answer(row)
        spent = time.perf_counter() - begin
        names = [column.name for column in served.output_schema]
        return {
            "deployment": served.deployment.reference,
            "plan_id": served.deployment.plan_id,
            "features": dict(zip(names, answers[0], strict=True)) if answers else None,
            "history": watched.seen,
            "milliseconds": round(1000 * spent, 4),
        }

    def _open(self, deployment: Deployment) -> Served:
        known = self._programs.get(deployment.reference)
        if known is not None and known.deployment == deployment:
            return known
        plan = deployment.plan()
        program = RequestProgram(plan, self._history)
        reader = RowReader(program.request_schema, f"a request to '{deployment.full_name}'")
        served = self._programs[deployment.reference] = Served(deployment, plan, program, reader)
        return served


class _WatchedHistory:
    """A store that notes what is looked up.

    :param inner: the store.
    """

    def __init__(self, inner: StoredHistory) -> None:
        self._inner = inner
        self.strings = inner.strings
        self.seen: list[dict[str, Any]] = []
        self._schemas: dict[tuple[str, str], Schema] = {}

    def prepare(
        self, series: SeriesKey, schema: Schema, ordered: Iterable[int], columns: Iterable[int] | None = None
    ) -> None:
        self._schemas[series.table] = schema
        self._inner.prepare(series, schema, ordered, columns)

    def fetch(self, lookups: Sequence[Lookup]) -> list[Block | None]:
        blocks = self._inner.fetch(lookups)
        for lookup, block in zip(lookups, blocks, strict=True):
            self._note(lookup, block)
        return blocks

    def prepare_partials(self, series: SeriesKey, schema: Schema, parts: Sequence[FrameCall]) -> Sequence[int] | None:
        self._schemas[series.table] = schema
        return self._inner.prepare_partials(series, schema, parts)

    def fetch_partials(self, lookup: Lookup, first: int, last: int, places: Sequence[int]) -> Summarized:
        found = self._inner.fetch_partials(lookup, first, last, places)
        self._note(lookup, found.rows)
        self.seen[-1]["buckets"] = 0 if found.partials is None else found.partials.bits.shape[1]
        return found

    def _note(self, lookup: Lookup, block: Block | None) -> None:
        schema, series = self._schemas[lookup.series.table], lookup.series
        note: dict[str, Any] = {
            "table": ".".join(filter(None, series.table)),
            "key": {schema[column].name: _plain(value) for column, value in zip(series.keys, lookup.key, strict=True)},
            "order": None if series.order is None else schema[series.order].name,
            "rows": 0 if block is None else block.count,
        }
        if block is not None and block.count and series.order is not None:
            note |= {"oldest": int(block.order[0]), "newest": int(block.order[block.count - 1])}
        self.seen.append(note)

    def rows(self, table: tuple[str, str], schema: Schema) -> Rows:
        rows = self._inner.rows(table, schema)
        self.seen.append({"table": ".".join(filter(None, table)), "key": {}, "order": None, "rows": rows.length})
        return rows

    def version(self, table: tuple[str, str]) -> int:
        return self._inner.version(table)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
