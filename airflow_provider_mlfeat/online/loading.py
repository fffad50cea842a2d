"""Loading the online store: once per load, resumable, and a table that is replaced is replaced in one step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.sources import Source, TableVersionSource
from airflow_provider_mlfeat.online.store import Load, OnlineStore

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_mlfeat.online.tables import StoredTable

MODES = ("follow", "append", "replace")
# Rows that are put in one step. Larger parts touch fewer records twice, smaller ones lose less when a loader is killed.
PART_ROWS = 500_000
# The load by which a table follows an offline one; its rows are a place in that table.
_FOLLOWING = "follow"


class Reporting(Protocol):
    """Who is told, and who may stop the load."""

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None:
        """Begin a stage."""

    def advance(self, amount: float = 1) -> None:
        """Count rows."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load came to.

    :param rows: how many rows were put by this run.
    :param total: how many rows the load has in all, those of earlier runs included.
    :param mode: ``append`` or ``replace``.
    :param already_loaded: whether everything was there before.
    :param seconds: how long it took.
    """

    rows: int
    total: int
    mode: str
    already_loaded: bool
    seconds: float


def load_table(
    store: OnlineStore,
    table: StoredTable,
    source: Source,
    progress: Reporting,
    *,
    mode: str = "follow",
    load_id: str = "",
    earliest: int | None = None,
) -> Loaded:
    """Put a source's rows into a table.

    ``append`` adds them, once per load id. ``replace`` builds the table's rows anew beside it and lets them take the
    place of the old ones in one step. ``follow`` is for versions of an offline table: what was appended to that table
    since the last load is appended here too; where its older rows changed, or where deployments now need rows that
    were left out before, the table is replaced.

    :param store: the online store.
    :param table: where to.
    :param source: where from.
    :param progress: told rows.
    :param mode: see above.
    :param load_id: the load's name; empty is the identity of the source.
    :param earliest: no request will be for a time before this; rows that only such a request could see are left out.
    """
    if mode not in MODES:
        raise UserError(f"mode is one of {', '.join(MODES)}, not '{mode}'")
    begin = time.monotonic()
    if mode == "follow" and not isinstance(source, TableVersionSource):
        raise UserError("mode 'follow' is for versions of an offline table; files take 'append' or 'replace'")
    if mode == "append":
        name = load_id or source.identity
        state = store.load_state(table, name)
        rows = 0 if state.finished else _put(store, table, source, Load(name, state.rows, True, earliest), progress)
        return Loaded(rows, state.rows + rows, mode, state.finished, time.monotonic() - begin)
    state = store.load_state(table, _FOLLOWING)
    if mode == "follow" and _follows(table, source, earliest) and (table.source or not state.rows):
        rows = 0
        if state.rows < (source.rows or 0) or not table.source:
            rows = _put(store, table, source, Load(_FOLLOWING, state.rows, False, earliest), progress)
        return Loaded(rows, state.rows + rows, "append", rows == 0, time.monotonic() - begin)
    made = store.begin_replacement(table.name, f"{source.identity} {earliest}")
    state = store.load_state(made, _FOLLOWING)
    if state.rows == 0 or state.rows < (source.rows or 0):
        _put(store, made, source, Load(_FOLLOWING, state.rows, False, earliest), progress)
    store.finish_replacement(made, _note(source, made, earliest))
    total = store.load_state(made, _FOLLOWING).rows
    return Loaded(total, total, "replace", False, time.monotonic() - begin)


def _put(store: OnlineStore, table: StoredTable, source: Source, load: Load, progress: Reporting) -> int:
    """Put a source's rows in parts, beginning where the load stands → how many.

    :param load: its name, where it stands, and whether it ends with the source.
    """
    total = source.rows
    progress.stage(f"load {table.qualified_name}", total)
    progress.advance(load.start)
    note = None if load.last else _note(source, table, load.earliest)
    done = load.start
    for part, is_last in _parts(source.batches(done)):
        store.put(table, part, load=replace(load, start=done, last=load.last and is_last, note=note))
        done += part.num_rows
        progress.advance(part.num_rows)
    return done - load.start


def _parts(batches: Iterator[pa.Table]) -> Iterator[tuple[pa.Table, bool]]:
    """Batches put together to parts, and whether a part is the last; there is at least one."""
    import pyarrow as pa

    held: list[pa.Table] = []
    rows, schema = 0, None
    for batch in batches:
        schema = batch.schema
        if held and rows + batch.num_rows > PART_ROWS:
            yield pa.concat_tables(held), False
            held, rows = [], 0
        held.append(batch)
        rows += batch.num_rows
    if held:
        yield pa.concat_tables(held), True
    elif schema is None:
        yield pa.table({}), True


def _note(source: Source, table: StoredTable, earliest: int | None) -> dict[str, Any]:
    """What the table remembers of its source."""
    if not isinstance(source, TableVersionSource):
        return {}
    return {
        "version": source.version,
        "files": len(source.files),
        "identity": source.identity,
        "series": sorted(series.number for series in table.series),
        "earliest": earliest,
    }


def _follows(table: StoredTable, source: Source, earliest: int | None) -> bool:
    """Whether what the table has of its offline table is the beginning of this version, with all that is needed."""
    assert isinstance(source, TableVersionSource)
    known = table.source
    if not known:
        return True
    if known["files"] > len(source.files) or source.identity_of(known["files"]) != known["identity"]:
        return False
    if table.complete:
        return True
    if {series.number for series in table.series} - set(known["series"]):
        return False
    return known["earliest"] is None or (earliest is not None and earliest >= known["earliest"])
