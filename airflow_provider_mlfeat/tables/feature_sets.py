"""Feature sets: what an extraction made, as versions of a Delta table that know where they come from.

A version is one commit. The commit itself holds the SQL text, the plan's id, the versions of the tables that were read,
the engine, and statistics of every column, so data and description cannot part; the table keeps its log for good. The
plan and its inputs are a version's identity: writing the same again gives the version that is there, without a new one,
whichever engine ran it, because engines agree.

Timestamps are kept as microseconds in UTC, as in all tables. A feature set is an ordinary table of the store otherwise:
`versions` reads, restores and vacuums it, and queries can be bound to it.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.tables import versions
from airflow_provider_mlfeat.tables.blocks import blocks
from airflow_provider_mlfeat.tables.commits import METADATA, Commit, commits
from airflow_provider_mlfeat.tables.committing import UnknownCommitError, write_version
from airflow_provider_mlfeat.tables.definitions import create_database
from airflow_provider_mlfeat.tables.delta import open_table
from airflow_provider_mlfeat.tables.export import Counter
from airflow_provider_mlfeat.tables.statistics import ColumnStatistics, type_words
from airflow_provider_mlfeat.tables.store import TableStore, storage_errors
from airflow_provider_mlfeat.tables.version_files import VersionFiles, stored_schema

_NOTE = "feature_set"
_PROPERTIES = {
    "mlfeat.feature_set": "1",
    # A version's description is part of the log.
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
}
_ATTEMPTS = 20
_WRITING = ("WRITE", "MERGE", "DELETE", "UPDATE", "STREAMING UPDATE", "CREATE OR REPLACE TABLE")
_REFERENCE = re.compile(
    r"\s*(?P<name>[\w.-]+)\s*(?:(?:@|\s+VERSION\s+AS\s+OF\s+)\s*(?P<version>\d+))?\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class FeatureSetMetadata:
    """Where a feature set comes from.

    :param sql: the text that was run.
    :param plan_id: what it means, as a number that training and serving compare.
    :param inputs: the version of each table that was read, by table; whatever text tells two versions apart.
    :param engine: what ran it: ``batch`` or ``spark``.
    :param dialect: the language of `sql`: ``feature`` or ``spark``.
    :param details: more to remember, for instance the run that made it; no part of the identity.
    """

    sql: str
    plan_id: str
    inputs: Mapping[str, str]
    engine: str = "batch"
    dialect: str = "feature"
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Equal for runs of one plan over the same inputs."""
        return files.digest_text(files.canonical_json([self.dialect, self.plan_id, dict(self.inputs)]))


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """A version of a feature set.

    :param database: its database; '' is the default one.
    :param table: its name.
    :param uri: where its table is.
    :param version: the number.
    :param rows: how many.
    :param columns: name and type of each column.
    :param metadata: where it comes from.
    :param statistics: what its columns hold.
    :param committed_at: when it was written.
    :param already_there: whether an earlier run wrote it.
    :param rows_of: the version that wrote the rows, when this one wrote none: a restore, a vacuum.
    """

    database: str
    table: str
    uri: str
    version: int
    rows: int
    columns: tuple[tuple[str, str], ...]
    metadata: FeatureSetMetadata
    statistics: tuple[ColumnStatistics, ...]
    committed_at: datetime
    already_there: bool = False
    rows_of: int | None = None

    @property
    def name(self) -> str:
        """The name with its database."""
        return f"{self.database}.{self.table}" if self.database else self.table

    @property
    def reference(self) -> str:
        """Name and version, for instance ``features.jd@3``."""
        return f"{self.name}@{self.version}"


def parse_reference(text: str) -> tuple[str, int | None]:
    """Name and version of ``name``, ``name@3`` or ``name VERSION AS OF 3``; names may be qualified by a database."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise UserError(f"'{text}' names no feature set: write name, name@3 or name VERSION AS OF 3")
    return found["name"], None if found["version"] is None else int(found["version"])


def parquet_batches(path: str | Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Schema and rows of a parquet file, or of a folder of them in the order of their names."""
    try:
        dataset = ds.dataset(str(path), format="parquet")
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read as parquet: {error}") from None
    return dataset.schema, dataset.to_batches(batch_readahead=2, fragment_readahead=1)


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_feature_set(
    store: TableStore,
    name: str,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    metadata: FeatureSetMetadata,
    progress: Counter | None = None,
    reuse: bool = True,
) -> FeatureSet:
    """Write an extraction as a version, in one pass and in constant memory.

    :param store: where.
    :param name: the feature set, perhaps qualified by a database, which is created.
    :param batches: the rows; they are not looked at when the version is there already.
    :param schema: of the batches.
    :param metadata: where the rows come from.
    :param progress: counts rows.
    :param reuse: whether a version of the same plan and inputs stands for this one.
    """
    database, table = _split(name)
    if reuse and (found := find_feature_set(store, name, metadata)) is not None:
        return found
    stored = stored_schema(schema)
    uri = store.uri(database, table)
    with storage_errors(f"writing feature set '{name}'"):
        if database:
            create_database(store, database, if_not_exists=True)
        if store.is_local:
            Path(uri).mkdir(parents=True, exist_ok=True)
        writer = VersionFiles(store, uri, stored)
        try:
            for block in blocks(batches):
                writer.write(block)
                if progress is not None:
                    progress.advance(block.num_rows)
            actions = writer.finish()
            version, already_there = _commit(store, name, stored, actions, metadata, writer.statistics.finish(), reuse)
        except UnknownCommitError:
            raise
        except BaseException:
            writer.take_back()
            raise
    if already_there:
        writer.take_back()
    made = read_feature_set(store, name, version)
    if not _is_readable(store, made):
        raise TransientError(f"feature set '{made.reference}' was written and cannot be read back")
    return replace(made, already_there=already_there)


def find_feature_set(store: TableStore, name: str, metadata: FeatureSetMetadata) -> FeatureSet | None:
    """The version of the same plan and inputs, or None when there is none that can still be read."""
    for made in feature_set_versions(store, name):
        if made.rows_of is None and made.metadata.identity == metadata.identity and _is_readable(store, made):
            return replace(made, already_there=True)
    return None


def _commit(
    store: TableStore,
    name: str,
    schema: pa.Schema,
    actions: list[AddAction],
    metadata: FeatureSetMetadata,
    statistics: tuple[ColumnStatistics, ...],
    reuse: bool,
) -> tuple[int, bool]:
    """Make the version, against the newest one and for exactly the next number.

    Gives its number, and whether another run of the same was first.
    """
    database, table = _split(name)
    note = {
        "identity": metadata.identity,
        "metadata": asdict(metadata) | {"inputs": dict(metadata.inputs), "details": dict(metadata.details)},
        "columns": [[column.name, type_words(column.type)] for column in schema],
        "rows": statistics[0].rows,
        "statistics": [column.to_document() for column in statistics],
    }
    for attempt in range(_ATTEMPTS):
        delta = _ensure_table(store, store.uri(database, table), name, schema)
        if reuse and (found := find_feature_set(store, name, metadata)) is not None:
            return found.version, True
        version = int(delta.version()) + 1
        properties = CommitProperties(
            custom_metadata={METADATA: {_NOTE: files.canonical_json(note | {"version": version})}},
            max_commit_retries=0,
        )
        try:
            made = write_version(delta, actions, "overwrite", schema, properties, store.options())
        except CommitFailedError as error:
            raise TransientError(f"feature set '{name}' could not be committed: {error}") from error
        if made is not None:
            return made, False
        time.sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))  # noqa: S311 - it only spreads retries
    raise TransientError(f"feature set '{name}' is written by so many at once that this commit never fitted")


def _ensure_table(store: TableStore, uri: str, name: str, schema: pa.Schema) -> DeltaTable:
    if not DeltaTable.is_deltatable(uri, store.options()):
        try:
            DeltaTable.create(
                uri,
                schema,
                name=_split(name)[1],
                configuration=_PROPERTIES,
                storage_options=store.options(),
                raise_if_key_not_exists=False,
            )
        except DeltaError:
            # Somebody else may have been first.
            if not DeltaTable.is_deltatable(uri, store.options()):
                raise
    return _opened(store, name)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_feature_set(store: TableStore, name: str, version: int | None = None) -> FeatureSet:
    """A version's description; `versions.read` gives its rows.

    :param store: where.
    :param name: the feature set, or a reference such as ``name@3`` or ``name VERSION AS OF 3``.
    :param version: which; None is the newest, or that of the reference.
    """
    name, referred = parse_reference(name)
    wanted = referred if version is None else version
    newest = _opened(store, name).version()
    if wanted is not None and not 0 <= wanted <= newest:
        raise UserError(f"feature set '{name}' has no version {wanted}; its newest is {newest}")
    shown = newest if wanted is None else wanted
    made = {one.version: one for one in feature_set_versions(store, name)}
    if shown not in made:
        raise UserError(f"version {shown} of feature set '{name}' was not written by an extraction")
    return made[shown]


def feature_set_versions(store: TableStore, name: str) -> list[FeatureSet]:
    """All versions that were written, the newest first; none when there is no such feature set."""
    database, table = _split(name)
    uri = store.uri(database, table)
    with storage_errors(f"looking at feature set '{name}'"):
        if not DeltaTable.is_deltatable(uri, store.options()):
            return []
        entries = list(commits(_opened(store, name), store.storage_options))
    found: dict[int, FeatureSet] = {}
    for entry in reversed(entries):
        note = entry.notes.get(_NOTE)
        if note is not None:
            found[entry.version] = _feature_set(database, table, uri, entry.version, entry.timestamp, json.loads(note))
        elif (before := _unchanged(entry)) in found:
            original = found[before].rows_of or before
            found[entry.version] = replace(found[before], version=entry.version, rows_of=original)
    return [found[version] for version in sorted(found, reverse=True)]


def _unchanged(entry: Commit) -> int:
    """The version whose rows a commit without a note has; -1 when it wrote rows of its own."""
    if entry.operation == "RESTORE":
        restored = str(entry.parameters.get("version", ""))
        return int(restored) if restored.isdigit() else -1
    return -1 if entry.operation in _WRITING else entry.version - 1


def read_rows(store: TableStore, feature_set: FeatureSet) -> ds.Dataset:
    """The rows of a version, in the order in which they were written."""
    return versions.read(store, feature_set.database, feature_set.table, feature_set.version)


def _split(name: str) -> tuple[str, str]:
    database, _, table = name.rpartition(".")
    if not table or "." in database or (not database and "." in name):
        raise UserError(f"'{name}' names no feature set: write name or database.name")
    return database, table


def _opened(store: TableStore, name: str) -> DeltaTable:
    delta = open_table(store, *_split(name))
    if "mlfeat.feature_set" not in delta.metadata().configuration:
        raise UserError(f"'{name}' is a table and no feature set; give the feature set another name")
    return delta


def _feature_set(
    database: str, table: str, uri: str, version: int, committed: int, note: Mapping[str, Any]
) -> FeatureSet:
    return FeatureSet(
        database=database,
        table=table,
        uri=uri,
        version=version,
        rows=note["rows"],
        columns=tuple((name, type_) for name, type_ in note["columns"]),
        metadata=FeatureSetMetadata(**note["metadata"]),
        statistics=tuple(ColumnStatistics.from_document(column) for column in note["statistics"]),
        committed_at=datetime.fromtimestamp(committed / 1000, UTC),
    )


def _is_readable(store: TableStore, feature_set: FeatureSet) -> bool:
    """Whether the files of a version are still there: a vacuum may have taken an old version's away."""
    try:
        return int(read_rows(store, feature_set).count_rows()) == feature_set.rows
    except (UserError, OSError, DeltaError):
        return False
