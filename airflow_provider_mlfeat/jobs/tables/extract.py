"""A feature query over tables, and its rows as a version of a feature set."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.engines import Choice, run_spark_text
from airflow_provider_mlfeat.jobs.tables.store import TableJobResult, TableJobSpec
from airflow_provider_mlfeat.sql.errors import SqlError, SqlUnsupportedError

if TYPE_CHECKING:
    from airflow_provider_mlfeat.jobs.tables.inputs import QueryInputs
    from airflow_provider_mlfeat.sql.plan import Plan
    from airflow_provider_mlfeat.tables.feature_sets import FeatureSet
    from airflow_provider_mlfeat.tables.store import TableStore

log = logging.getLogger("mlfeat.job")


class ExtractFeaturesSpec(TableJobSpec):
    """Spec of `ExtractFeaturesJob`.

    :param kind: ``extract_features``.
    :param sql: a script with one query; CREATE TABLE statements before it give types to bound files.
    :param feature_set: ``name`` or ``database.name``.
    :param tables: what tables of the query are bound to, by name: a parquet or csv path, ``delta:PATH@VERSION``,
        ``table:NAME@VERSION`` or ``spark:NAME``; others are those of the store at their current version.
    :param database: the current database.
    :param engine: ``auto``, ``batch`` or ``spark``.
    :param dialect: ``feature``, or ``spark`` for plain Spark SQL.
    :param master: Spark's master; empty is this machine.
    :param time_zone: the session's zone; empty is the language's default.
    :param functions: modules that register functions of your own.
    """

    kind: Literal["extract_features"] = "extract_features"
    sql: str = Field(min_length=1)
    feature_set: str = Field(min_length=1)
    tables: dict[str, str] = Field(default_factory=dict)
    database: str = ""
    engine: Literal["auto", "batch", "spark"] = "auto"
    dialect: Literal["feature", "spark"] = "feature"
    master: str = ""
    time_zone: str = ""
    functions: tuple[str, ...] = ()


class ExtractFeaturesResult(TableJobResult):
    """Result of `ExtractFeaturesJob`.

    :param kind: ``extract_features``.
    :param feature_set: the feature set with its version, ``name@3``.
    :param columns: how many.
    :param plan_id: what the query means, as a number that training and serving compare.
    :param engine: what computed the rows.
    :param engine_reason: why that engine.
    :param inputs: version and fingerprint of each table that was read, digest of each bound file.
    :param already_extracted: whether an earlier run had made this version.
    """

    kind: Literal["extract_features"] = "extract_features"
    feature_set: str
    columns: int
    plan_id: str
    engine: str
    engine_reason: str
    inputs: dict[str, str]
    already_extracted: bool


class ExtractFeaturesJob(Job[ExtractFeaturesSpec, ExtractFeaturesResult]):
    """Run a feature query over versioned tables and keep the rows as a version of a feature set."""

    kind: ClassVar[str] = "extract_features"
    spec_type: ClassVar[type[JobSpec]] = ExtractFeaturesSpec
    result_type: ClassVar[type[JobResult]] = ExtractFeaturesResult

    def is_cacheable(self, spec: ExtractFeaturesSpec) -> bool:
        """No: the feature set itself knows which versions it was made of."""
        return False

    def run(self, spec: ExtractFeaturesSpec, context: JobContext) -> ExtractFeaturesResult:
        """Pin the inputs, look for a version that was made of them, or make one."""
        from airflow_provider_mlfeat.jobs.query.job import import_functions

        context.progress.stage("bind", unit="queries")
        import_functions(spec.functions)
        store = spec.store(context.secrets)
        if spec.dialect == "spark":
            made, choice = _extract_spark_text(spec, store, context)
        else:
            made, choice = _extract(spec, store, context)
        return _result(store, made, choice)


def _extract(spec: ExtractFeaturesSpec, store: TableStore, context: JobContext) -> tuple[FeatureSet, Choice]:
    from airflow_provider_mlfeat.jobs.tables.answers import answer_plan
    from airflow_provider_mlfeat.tables.feature_sets import FeatureSetMetadata, find_feature_set, write_feature_set

    inputs, plan = _bind(spec, store, context)
    inputs.tables(plan)
    metadata = FeatureSetMetadata(spec.sql, plan.plan_id, inputs.identities)
    reuse = not inputs.needs_spark
    if reuse and (found := find_feature_set(store, spec.feature_set, metadata)) is not None:
        return found, _unchanged(found)
    answer = answer_plan(
        plan, inputs, context, engine=spec.engine, master=spec.master, target=context.scratch / "answer"
    )
    metadata = FeatureSetMetadata(spec.sql, plan.plan_id, inputs.identities, engine=answer.choice.engine)
    context.progress.stage("write", total=answer.rows)
    made = write_feature_set(
        store, spec.feature_set, answer.batches(), answer.schema, metadata, progress=context.progress, reuse=reuse
    )
    return made, answer.choice


def _bind(spec: ExtractFeaturesSpec, store: TableStore, context: JobContext) -> tuple[QueryInputs, Plan]:
    """The tables of a script with one query, and the query's plan."""
    from airflow_provider_mlfeat.sql import statements as s
    from airflow_provider_mlfeat.sql.syntax import parse_script

    statements = tuple(parse_script(spec.sql))
    queries = [statement for statement in statements if isinstance(statement, s.Select)]
    if len(queries) != 1:
        raise UserError(f"a feature set takes a script with one query, and this one holds {len(queries)}")
    inputs = _inputs(spec, store, context, statements)
    null_join_keys = "match"
    for statement in statements:
        try:
            match statement:
                case s.UseDatabase():
                    inputs.database = inputs.catalog.resolve_database(statement.name)
                case s.CreateTable():
                    inputs.define(statement.table)
                case s.SetVariable(name="time_zone"):
                    inputs.time_zone = str(statement.value)
                case s.SetVariable(name="null_join_keys"):
                    null_join_keys = str(statement.value)
                case s.SetVariable() | s.Select():
                    pass
                case _:
                    raise SqlUnsupportedError("beside its query, this script may only CREATE TABLE, USE and SET")
        except SqlError as error:
            error.position = error.position or statement.position
            raise error.with_source(spec.sql) from None
    return inputs, inputs.plan(queries[0].query, null_join_keys)


def _extract_spark_text(spec: ExtractFeaturesSpec, store: TableStore, context: JobContext) -> tuple[FeatureSet, Choice]:
    """The user's own Spark SQL over the bound tables. What it means is its text."""
    import pyarrow.parquet as pq

    from airflow_provider_mlfeat.jobs.tables.answers import count_rows, stored_batches
    from airflow_provider_mlfeat.sql.planner import DEFAULT_TIME_ZONE
    from airflow_provider_mlfeat.tables.feature_sets import FeatureSetMetadata, find_feature_set, write_feature_set

    if spec.engine == "batch":
        raise UserError("dialect 'spark' is plain Spark SQL, which engine 'batch' does not run: use 'spark' or 'auto'")
    zone = spec.time_zone or DEFAULT_TIME_ZONE
    inputs = _inputs(spec, store, context, ())
    tables = inputs.views()
    text = spec.sql.strip().rstrip(";")
    plan_id = files.digest_text(files.canonical_json(["spark", text, zone]))
    metadata = FeatureSetMetadata(spec.sql, plan_id, inputs.identities, engine="spark", dialect="spark")
    # Whether a table of Spark's is what it was, nobody can tell.
    reuse = not inputs.needs_spark
    if reuse and (found := find_feature_set(store, spec.feature_set, metadata)) is not None:
        return found, _unchanged(found)
    choice = Choice("spark", "the query is plain Spark SQL")
    log.info("engine %s: %s", choice.engine, choice.reason)
    stored = {name: given.for_spark(context.scratch / "inputs" / name) for name, given in tables.items()}
    parts = run_spark_text(text, stored, spec.master, zone, context.scratch / "answer", context)
    context.progress.stage("write", total=count_rows(parts))
    schema = pq.read_schema(parts[0]).remove_metadata()
    made = write_feature_set(
        store, spec.feature_set, stored_batches(parts), schema, metadata, progress=context.progress, reuse=reuse
    )
    return made, choice


def _inputs(
    spec: ExtractFeaturesSpec, store: TableStore, context: JobContext, statements: tuple[Any, ...]
) -> QueryInputs:
    from airflow_provider_mlfeat.jobs.tables.inputs import QueryInputs
    from airflow_provider_mlfeat.tables.definitions import load_catalog

    return QueryInputs(
        store,
        load_catalog(store),
        spec.tables,
        spec.database,
        spec.time_zone,
        statements=statements,
        context=context,
        master=spec.master,
    )


def _unchanged(found: FeatureSet) -> Choice:
    log.info("the query and its inputs are those of '%s': nothing to do", found.reference)
    return Choice("spark" if found.metadata.engine == "spark" else "batch", "as when this version was made")


def _result(store: TableStore, made: FeatureSet, choice: Choice) -> ExtractFeaturesResult:
    from airflow_provider_mlfeat.tables.versions import describe

    version = describe(store, made.database, made.table, made.version)
    report = _write_report(store, made)
    log.info("feature set '%s': %d rows, %d columns", made.reference, made.rows, len(made.columns))
    return ExtractFeaturesResult(
        table=made.name,
        table_version=made.version,
        rows=made.rows,
        table_fingerprint=version.fingerprint,
        feature_set=made.reference,
        columns=len(made.columns),
        plan_id=made.metadata.plan_id,
        engine=choice.engine,
        engine_reason=choice.reason,
        inputs=dict(made.metadata.inputs),
        already_extracted=made.already_there,
        artifacts=(Artifact.of("report", report),),
    )


def _write_report(store: TableStore, made: FeatureSet) -> Path:
    """The page with the version's statistics, in the state directory, where the page of the job finds it."""
    from airflow_provider_mlfeat.tables.report import render_report

    folder = files.digest_text(store.uri(made.database, made.table))[:16]
    target = files.state_directory() / "reports" / folder / f"{made.table.lower()}-{made.version}.html"
    with files.staged_file(target) as staging:
        staging.write_text(render_report(made), encoding="utf-8")
    return target
