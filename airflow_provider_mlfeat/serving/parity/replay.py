"""Replaying past requests as they came, each with the history of its moment.

A store of its own, of the kind that serves and with the deployment's needs alone, starts empty. Rows of all tables are
put into it in the order of their time, requests ask it in the order of theirs, and a request's own row comes into the
store only after it was answered. What the store trims, misses or orders wrongly shows, as it would when serving.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.deployments import Deployment, add_version, switch_live
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.series import Need, TableName
from airflow_provider_mlfeat.online.store import Load

if TYPE_CHECKING:
    from airflow_provider_mlfeat.engine.history import Lookup
    from airflow_provider_mlfeat.engine.request import RequestProgram
    from airflow_provider_mlfeat.online.store import OnlineStore
    from airflow_provider_mlfeat.online.tables import StoredTable
    from airflow_provider_mlfeat.sql.catalog import TableDefinition

# Rows of one put at the start, when tables without a time are loaded as a whole.
_BLOCK = 50_000
# Requests of one step share a put of what is read by time.
_STEP = 1_000
_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - a file system in memory, used through private folders
_MEMORY_BYTES = 2 << 30

Answer = tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Answers:
    """What replayed requests got.

    :param rows: positions of the replayed requests in the request table.
    :param answers: the features of each; None where the query leaves a request out.
    """

    rows: np.ndarray
    answers: list[Answer]


class _Feed:
    """The rows of a table in the order of their time, put into the store as far as a moment goes.

    :param table: where they go.
    :param data: the rows in the order of arrival.
    :param needs: what the deployment needs of the table.
    """

    def __init__(self, table: StoredTable, data: pa.Table, needs: Sequence[Need]) -> None:
        self.table = table
        self._next = 0
        self._times: np.ndarray | None = None
        # What is read by time shows a request nothing later than itself, so rows may come some requests early. What
        # is read in order of arrival shows all that is there.
        self.may_come_early = all(need.order is not None for need in needs)
        time_column = next((need.order for need in needs if need.order is not None), None)
        if time_column is not None:
            times = milliseconds(data.column(time_column), f"{table.qualified_name}.{time_column}")
            order = np.argsort(times, kind="stable")
            self._times, data = times[order], data.take(pa.array(order))
        self._data = data.select([column.name for column in table.schema]).combine_chunks()

    def advance(self, store: OnlineStore, moment: int, earliest: int) -> None:
        """Put the rows up to a moment, that moment included; a table without a time is put as a whole.

        The store keeps what requests from `earliest` on can see.
        """
        end = self._data.num_rows if self._times is None else int(np.searchsorted(self._times, moment, side="right"))
        while self._next < end:
            count = min(end - self._next, _BLOCK)
            load = Load("parity", self._next, last=False, earliest=earliest)
            store.put(self.table, self._data.slice(self._next, count), load=load)
            self._next += count


class _Requests:
    """The request table as it grows: a request's row comes into the store after its answer.

    Rows wait, and are put together, as long as no request reads what waits.

    :param store: where they go.
    :param table: the request table.
    :param data: its rows in the order of their time.
    :param keeps: whether the deployment reads the request table's history at all.
    """

    def __init__(self, store: OnlineStore, table: StoredTable, data: pa.Table, keeps: bool) -> None:
        self._store, self._table, self._keeps = store, table, keeps
        self._data = data.select([column.name for column in table.schema]).combine_chunks()
        self._done = self._seen = 0
        self._waiting: dict[tuple[int, ...], set[tuple[Any, ...]]] = {}
        self._rows: list[tuple[Any, ...]] = []

    def before(self, row: tuple[Any, ...], program: RequestProgram) -> None:
        """Put what an answer to this row would read."""
        if not self._keeps or not self._rows:
            return
        lookups = program.lookups(row)
        if lookups is None or any(self._holds(one) for one in lookups if one.series.table == self._table.name):
            self._put()

    def after(self, row: tuple[Any, ...]) -> None:
        """Have a row wait, whether it was answered or only is part of the history."""
        if self._keeps:
            self._rows.append(row)
            for columns, keys in self._waiting.items():
                keys.add(tuple(row[column] for column in columns))
            if len(self._rows) == _BLOCK:
                self._put()

    def _holds(self, lookup: Lookup) -> bool:
        columns = lookup.series.keys
        if columns not in self._waiting:
            self._waiting[columns] = {tuple(row[column] for column in columns) for row in self._rows}
        return lookup.key in self._waiting[columns]

    def _put(self) -> None:
        self._store.put(self._table, self._data.slice(self._done, len(self._rows)))
        self._done += len(self._rows)
        self._rows.clear()
        for keys in self._waiting.values():
            keys.clear()


def replay(
    deployment: Deployment,
    definitions: Mapping[TableName, TableDefinition],
    tables: Mapping[TableName, pa.Table],
    *,
    open_store: Callable[[Path], OnlineStore],
    time_column: str = "",
    chosen: np.ndarray | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> Answers:
    """Answer past requests.

    :param deployment: whose features are asked for.
    :param definitions: of the tables that it reads.
    :param tables: their rows in the order of arrival.
    :param open_store: opens an empty store in a folder.
    :param time_column: of the request table; empty takes the one that its windows are ordered by.
    :param chosen: positions of the requests to answer; None is all. The others are still part of the history.
    :param progress: told how many requests were answered; raises to stop.
    """
    query = deployment.plan()
    request_table = query.request_source
    assert request_table is not None, "a deployment has a request table"
    requests = tables[request_table]
    with tempfile.TemporaryDirectory(prefix="mlfeat-parity-", dir=_fast_folder()) as folder:
        with open_store(Path(folder)) as store:
            service = _deploy(store, deployment, definitions)
            reference = deployment.reference
            time_column = time_column or request_time_column(deployment, requests)
            moments = milliseconds(requests.column(time_column), f"{request_table[1]}.{time_column}")
            needs = {name: [need for need in deployment.needs if need.table == name] for name in tables}
            feeds = [
                _Feed(store.tables()[name], data, needs[name])
                for name, data in tables.items()
                if name != request_table and needs[name]
            ]
            order = np.argsort(moments, kind="stable")
            stored = store.tables()[request_table]
            history = _Requests(store, stored, requests.take(pa.array(order)), bool(needs[request_table]))
            wanted = np.ones(requests.num_rows, bool) if chosen is None else _mask(chosen, requests.num_rows)
            program = service.served(reference).program
            found: dict[int, Answer] = {}
            rows = _python_rows(stored, requests, order)
            for start in range(0, len(order), _STEP):
                step = order[start : start + _STEP]
                first, last = int(moments[step[0]]), int(moments[step[-1]])
                for feed in feeds:
                    if feed.may_come_early:
                        feed.advance(store, last, first)
                for position in step.tolist():
                    row = next(rows)
                    if wanted[position]:
                        for feed in feeds:
                            if not feed.may_come_early:
                                feed.advance(store, int(moments[position]), first)
                        history.before(row, program)
                        found[position] = service.features(reference, row)
                    history.after(row)
                progress(int(wanted[step].sum()))
    positions = np.array(sorted(found), np.int64)
    return Answers(positions, [found[position] for position in positions.tolist()])


def _deploy(
    store: OnlineStore, deployment: Deployment, definitions: Mapping[TableName, TableDefinition]
) -> FeatureService:
    for name in deployment.tables():
        store.create_table(definitions[name])
        store.keep(name, [need for need in deployment.needs if need.table == name])
    request_table = deployment.plan().request_source
    assert request_table is not None
    if request_table not in deployment.tables():
        store.create_table(definitions[request_table])

    def edit(draft: Any) -> None:
        add_version(draft, deployment)
        switch_live(draft, deployment)

    store.documents.change(edit)
    return FeatureService(store)


def _time_of(needs: Sequence[Need], table: TableName) -> str | None:
    """The column that says when a row was there; a table that is only looked up by key is there from the start."""
    return next((need.order for need in needs if need.table == table and need.order is not None), None)


def request_time_column(deployment: Deployment, requests: pa.Table) -> str:
    """The request table's time: what its windows are ordered by, else its first point in time."""
    table = deployment.plan().request_source
    assert table is not None
    found = _time_of(deployment.needs, table)
    if found is not None:
        return found
    moments = [field.name for field in requests.schema if pa.types.is_timestamp(field.type)]
    if not moments:
        raise UserError(
            f"table '{table[1]}' has no column of type timestamp: name the one that says when a request came"
        )
    return str(moments[0])


def milliseconds(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """Points in time as numbers; NULL has no place in time."""
    if column.null_count:
        row = int(np.flatnonzero(pc.is_null(column).to_numpy())[0])
        raise UserError(f"'{name}' says when a row came and is NULL in row {row}")
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms"))
    return np.asarray(column.cast(pa.int64()).to_numpy())


def _python_rows(table: StoredTable, data: pa.Table, order: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """The rows as a request carries them, in the given order."""
    ordered = data.take(pa.array(order))
    for start in range(0, ordered.num_rows, _BLOCK):
        part = ordered.slice(start, _BLOCK)
        columns = [Column.from_arrow(part.column(one.name), one.type).to_values() for one in table.schema]
        yield from zip(*columns, strict=True)


def _mask(positions: np.ndarray, size: int) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[positions] = True
    return mask


def _fast_folder() -> str | None:
    """Memory, where there is enough of it: the store is thrown away afterwards."""
    import shutil

    try:
        free = shutil.disk_usage(_MEMORY_FOLDER).free
    except OSError:
        return None
    return str(_MEMORY_FOLDER) if free > _MEMORY_BYTES else None
