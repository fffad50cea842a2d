"""A dataset from a feature set."""

from __future__ import annotations

import datetime
import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Artifact, Document, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobSpec
from airflow_provider_mlfeat.jobs.training.places import folder_of

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.folder import Dataset
    from airflow_provider_mlfeat.dataset.local import Walker
    from airflow_provider_mlfeat.dataset.request import Request
    from airflow_provider_mlfeat.dataset.source import Source
    from airflow_provider_mlfeat.dataset.splits import Split

log = logging.getLogger("mlfeat.job")


class SplitSpec(Document):
    """How rows are divided into train, valid and test.

    :param kind: ``time``, ``key``, ``random`` or ``positional``.
    :param columns: the key's columns, for ``key``.
    :param train: share of the training rows.
    :param test: share of the test rows.
    :param boundaries: the first moments of valid and test, for ``time``: ISO 8601 text, or milliseconds since 1970.
    """

    kind: Literal["time", "key", "random", "positional"]
    columns: tuple[str, ...] = ()
    train: float = 0.8
    test: float = 0.1
    boundaries: tuple[int | str, ...] = ()


class BuildDatasetSpec(TableJobSpec):
    """Spec of `BuildDatasetJob`.

    :param kind: ``build_dataset``.
    :param feature_set: the rows: ``name``, ``name@3`` or ``database.name@3``.
    :param path: the rows, in place of a feature set: a parquet file, or a folder of such files.
    :param label_column: the label's column, 0 or 1.
    :param profile: ``recommended``, ``numeric`` or ``faithful`` make the fields; ``declared`` takes those given here.
    :param fields: declared fields: documents with ``name``, ``column``, ``kind`` and options.
    :param split: how rows are divided; by default by time where there is a time column, as they lie for profile
        ``faithful``, else at random.
    :param key_columns: columns that identify a row.
    :param time_column: the column with the row's time.
    :param group_columns: columns whose values together must not be in two splits.
    :param drop_columns: columns that a profile leaves out.
    :param leakage: ``refuse`` a dataset that leaks, or only ``warn``.
    :param shuffle: whether the training rows are shuffled; None is yes, but for profile ``faithful``.
    :param seed: of hashes, splits and the shuffle.
    :param name: of the folder that the datasets are kept in; empty is the feature set's or the file's.
    :param output: folder of all datasets; empty is ``.datasets/`` below `root`.
    :param engine: ``batch`` goes over the rows in this process, ``spark`` on Spark; the dataset is the same.
    :param master: Spark's master; empty is this machine.
    """

    kind: Literal["build_dataset"] = "build_dataset"
    feature_set: str = ""
    path: str = ""
    label_column: str = Field(min_length=1)
    profile: Literal["recommended", "numeric", "faithful", "declared"] = "recommended"
    fields: tuple[dict[str, Any], ...] = ()
    split: SplitSpec | None = None
    key_columns: tuple[str, ...] = ()
    time_column: str = ""
    group_columns: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    leakage: Literal["refuse", "warn"] = "refuse"
    shuffle: bool | None = None
    seed: int = Field(default=10, ge=0, lt=1 << 63)
    name: str = ""
    output: str = ""
    engine: Literal["batch", "spark"] = "batch"
    master: str = ""


class BuildDatasetResult(JobResult):
    """Result of `BuildDatasetJob`.

    :param kind: ``build_dataset``.
    :param dataset: the dataset's folder.
    :param dataset_fingerprint: identity of its contents.
    :param encoder_fingerprint: identity of its encoder.
    :param plan_id: what its features mean; None for rows that come from a file.
    :param feature_set: the feature set with its version, ``name@3``, or the file.
    :param profile: what made the fields.
    :param fields: how many columns of ids.
    :param values: how many columns of values.
    :param table_rows: rows of all id fields' tables together.
    :param rows: of all splits.
    :param train_rows: of the training split.
    :param valid_rows: of the validation split.
    :param test_rows: of the test split.
    :param positives: rows with label 1, of all splits.
    :param dropped: columns that were left out, with the reason.
    :param warnings: what may leak, and fields that say little about new rows.
    :param already_built: whether an earlier run had made it.
    """

    kind: Literal["build_dataset"] = "build_dataset"
    dataset: str
    dataset_fingerprint: str
    encoder_fingerprint: str
    plan_id: str | None
    feature_set: str
    profile: str
    fields: int
    values: int
    table_rows: int
    rows: int
    train_rows: int
    valid_rows: int
    test_rows: int
    positives: int
    dropped: dict[str, str]
    warnings: tuple[str, ...]
    already_built: bool


class BuildDatasetJob(Job[BuildDatasetSpec, BuildDatasetResult]):
    """Split a feature set, fit an encoder on its training rows, and write ids, values and labels."""

    kind: ClassVar[str] = "build_dataset"
    spec_type: ClassVar[type[JobSpec]] = BuildDatasetSpec
    result_type: ClassVar[type[JobResult]] = BuildDatasetResult

    def is_cacheable(self, spec: BuildDatasetSpec) -> bool:
        """No: the dataset's folder itself says what it was made of."""
        return False

    def run(self, spec: BuildDatasetSpec, context: JobContext) -> BuildDatasetResult:
        """Pin the rows, look for a dataset that was made of them, or make one."""
        from airflow_provider_mlfeat.dataset.build import build_dataset, identity_of
        from airflow_provider_mlfeat.dataset.folder import Dataset

        context.progress.stage("open", unit="files")
        request = request_of(spec)
        source = _source(spec, context)
        target = folder_of(spec.root, spec.output, "datasets", _name(spec), identity_of(request, source))
        already = target.exists()
        if already:
            log.info("a dataset of these rows and settings is there: %s", target)
        else:
            try:
                walker = _spark_walker(spec, source, context) if spec.engine == "spark" else None
                build_dataset(request, source, target, context.scratch, context.progress, walker)
            except OSError as error:
                # Another run of the same may have been first; anything else is an error.
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise UserError(f"{target.parent}: the disk is full; the dataset was not written") from None
                if not target.exists():
                    raise
                already = True
        dataset = Dataset.open(target)
        return _result(dataset, already)


def request_of(spec: BuildDatasetSpec) -> Request:
    """What the dataset is to be; raises UserError for a spec that contradicts itself."""
    from airflow_provider_mlfeat.dataset.encoder import Field as EncoderField
    from airflow_provider_mlfeat.dataset.request import Request

    if bool(spec.feature_set) == bool(spec.path):
        raise UserError("a dataset takes its rows from a feature_set or from a path: give one of them")
    if spec.fields and "profile" not in spec.model_fields_set:
        spec = spec.model_copy(update={"profile": "declared"})
    return Request(
        label=spec.label_column,
        split=_split(spec),
        profile=spec.profile,
        fields=tuple(EncoderField.from_document(one) for one in spec.fields),
        keys=spec.key_columns,
        time=spec.time_column,
        groups=spec.group_columns,
        drop=spec.drop_columns,
        strict=spec.leakage == "refuse",
        shuffle=spec.profile != "faithful" if spec.shuffle is None else spec.shuffle,
        seed=spec.seed,
    )


def _split(spec: BuildDatasetSpec) -> Split:
    from airflow_provider_mlfeat.dataset.splits import Split

    given = spec.split
    if given is None:
        usual: Any = "positional" if spec.profile == "faithful" else "time" if spec.time_column else "random"
        given = SplitSpec(kind=usual)
    columns = given.columns
    if given.kind == "time" and not columns:
        if not spec.time_column:
            raise UserError("split 'time' needs the column with the row's time: give time_column")
        columns = (spec.time_column,)
    boundaries = tuple(_milliseconds(one) for one in given.boundaries)
    return Split(given.kind, columns, given.train, given.test, spec.seed, boundaries)


def _milliseconds(moment: int | str) -> int:
    if isinstance(moment, int):
        return moment
    try:
        found = datetime.datetime.fromisoformat(moment)
    except ValueError:
        raise UserError(f"boundary '{moment}' is no time: write it like 2016-04-10T16:00:00+00:00") from None
    aware = found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)
    return round(aware.timestamp() * 1000)


def _source(spec: BuildDatasetSpec, context: JobContext) -> Source:
    from airflow_provider_mlfeat.dataset.source import Source

    if spec.path:
        return _file_source(spec.path)
    from airflow_provider_mlfeat.tables.feature_sets import read_feature_set, read_rows
    from airflow_provider_mlfeat.tables.versions import describe

    store = spec.store(context.secrets)
    made = read_feature_set(store, spec.feature_set)
    description = {
        "reference": made.reference,
        "name": made.name,
        "version": made.version,
        "uri": made.uri,
        "fingerprint": describe(store, made.database, made.table, made.version).fingerprint,
    }
    return Source(made.rows, read_rows(store, made), description, made.metadata.plan_id)


def _file_source(path: str) -> Source:
    import pyarrow as pa
    import pyarrow.dataset as ds

    from airflow_provider_mlfeat.dataset.source import Source

    place = Path(path).expanduser().absolute()
    if not place.exists():
        raise UserError(f"there is no file or folder {place}")
    try:
        table = ds.dataset(str(place), format="parquet")
        rows = table.count_rows()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{place} cannot be read as parquet: {str(error).splitlines()[0]}") from None
    name = place.stem
    description = {
        "reference": str(place),
        "name": name,
        "version": None,
        "uri": str(place),
        "fingerprint": files.digest_path(place),
    }
    return Source(rows, table, description)


def _spark_walker(spec: BuildDatasetSpec, source: Source, context: JobContext) -> Callable[[Path], Walker]:
    """Gives who goes over the rows on Spark. Its workers read the rows' files and write below the dataset's folder."""
    from airflow_provider_mlfeat.jobs.tables.engines import spark_session

    # Moments are whole numbers to a dataset, in whatever zone the session shows them.
    session = spark_session(spec.master, "UTC", context)
    from airflow_provider_mlfeat.jobs.dataset.spark import SparkWalker

    paths = _paths(spec, source, context)
    return lambda folder: SparkWalker(session, source, paths, folder, context.progress)


def _paths(spec: BuildDatasetSpec, source: Source, context: JobContext) -> list[str]:
    """The parquet files of a source in their order, as Spark reaches them."""
    if spec.path:
        return [fragment.path for fragment in source.table.get_fragments()]
    from airflow_provider_mlfeat.tables.feature_sets import read_feature_set
    from airflow_provider_mlfeat.tables.versions import paths

    store = spec.store(context.secrets)
    made = read_feature_set(store, source.description["reference"])
    found = paths(store, made.database, made.table, made.version)
    return [path.replace("s3://", "s3a://", 1) for path in found]


def _name(spec: BuildDatasetSpec) -> str:
    if spec.name:
        return spec.name
    if spec.path:
        return Path(spec.path).expanduser().absolute().stem
    from airflow_provider_mlfeat.tables.feature_sets import parse_reference

    return parse_reference(spec.feature_set)[0].lower()


def _result(dataset: Dataset, already: bool) -> BuildDatasetResult:
    from airflow_provider_mlfeat.dataset.manifest import MANIFEST_FILE
    from airflow_provider_mlfeat.dataset.report import REPORT_FILE

    manifest = dataset.manifest
    rows, positives = manifest.rows, manifest.positives
    for name, count in rows.items():
        log.info("split '%s': %d rows, %d of them positive", name, count, positives[name])
    log.info(
        "dataset %s: %d fields and %d values, encoder %s",
        dataset.folder,
        len(manifest.fields),
        len(manifest.values),
        manifest.encoder_fingerprint[:12],
    )
    return BuildDatasetResult(
        dataset=str(dataset.folder),
        dataset_fingerprint=manifest.fingerprint,
        encoder_fingerprint=manifest.encoder_fingerprint,
        plan_id=manifest.plan_id,
        feature_set=manifest.feature_set["reference"],
        profile=manifest.profile,
        fields=len(manifest.fields),
        values=len(manifest.values),
        table_rows=sum(one["size"] for one in manifest.fields),
        rows=sum(rows.values()),
        train_rows=rows["train"],
        valid_rows=rows["valid"],
        test_rows=rows["test"],
        positives=sum(positives.values()),
        dropped={one["column"]: one["reason"] for one in manifest.dropped},
        warnings=tuple(manifest.warnings),
        already_built=already,
        artifacts=tuple(
            Artifact.of(name, dataset.folder / file)
            for name, file in (("manifest", MANIFEST_FILE), ("report", REPORT_FILE))
            if (dataset.folder / file).exists()
        ),
    )
