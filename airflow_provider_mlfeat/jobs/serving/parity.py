"""Past requests go through the path that serves, and must give the numbers that training used."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.online.place import OnlinePlace
from airflow_provider_mlfeat.jobs.serving.server import triton_headers
from airflow_provider_mlfeat.jobs.spec import Artifact, Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobSpec, join_name

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_provider_mlfeat.online.deployments import Deployment
    from airflow_provider_mlfeat.serving.parity.compare import Parity
    from airflow_provider_mlfeat.serving.parity.replay import Answers
    from airflow_provider_mlfeat.serving.scoring import ServedModel
    from airflow_provider_mlfeat.sql.catalog import TableDefinition
    from airflow_provider_mlfeat.tables.feature_sets import FeatureSet
    from airflow_provider_mlfeat.tables.store import TableStore

log = logging.getLogger("mlfeat.job")

_PAGE, _DOCUMENT = "report.html", "parity.json"
TableName = tuple[str, str]


class CheckParitySpec(TableJobSpec):
    """Spec of `CheckParityJob`.

    :param kind: ``check_parity``.
    :param feature_set: what training used, with its version: ``name@3``.
    :param deployment: what answers requests, ``name@version``; without a version, the live one.
    :param online: the online store.
    :param model: folder of the model; empty compares features alone.
    :param backend: where predictions come from: ``onnx`` or ``triton``.
    :param endpoint: of the Triton server: ``address``, ``protocol``, ``model``, ``version``.
    :param tables: what tables are bound to, as in the extraction, where they are not tables of the store.
    :param label: the column that is no feature.
    :param key: a column that tells rows apart; empty finds one.
    :param time_column: of the request table; empty takes the one that windows are ordered by.
    :param requests: how many requests to replay, spread over all; 0 is every one.
    :param report: folder for the report.
    :param blocking: whether a difference fails the job.
    """

    kind: Literal["check_parity"] = "check_parity"
    feature_set: str = Field(min_length=1)
    deployment: str = Field(min_length=1)
    online: OnlinePlace = OnlinePlace()
    model: str = ""
    backend: Literal["onnx", "triton"] = "onnx"
    endpoint: dict[str, Any] = Field(default_factory=dict)
    tables: dict[str, str] = Field(default_factory=dict)
    label: str = ""
    key: str = ""
    time_column: str = ""
    requests: int = Field(default=0, ge=0)
    report: str = Field(min_length=1)
    blocking: bool = True


class CheckParityResult(JobResult):
    """Result of `CheckParityJob`.

    :param kind: ``check_parity``.
    :param feature_set: what was compared with, with its version.
    :param deployment: what was asked, with its version.
    :param requests: how many requests were replayed.
    :param cells: how many cells of features were compared.
    :param mismatches: how many cells, keys, predictions and rows differ.
    :param cell_mismatches: of them, cells of features.
    :param key_mismatches: of them, keys of the encoder.
    :param prediction_mismatches: of them, predictions.
    :param largest_difference: of two predictions.
    :param report: the page that shows it.
    :param already_checked: whether an equal check had found no difference, so that nothing was replayed again.
    """

    kind: Literal["check_parity"] = "check_parity"
    feature_set: str
    deployment: str
    requests: int
    cells: int
    mismatches: int
    cell_mismatches: int
    key_mismatches: int
    prediction_mismatches: int
    largest_difference: float
    report: str
    already_checked: bool


class CheckParityJob(Job[CheckParitySpec, CheckParityResult]):
    """Replay past requests through the serving path, and compare every cell with what training used."""

    kind: ClassVar[str] = "check_parity"
    spec_type: ClassVar[type[JobSpec]] = CheckParitySpec
    result_type: ClassVar[type[JobResult]] = CheckParityResult

    def is_cacheable(self, spec: CheckParitySpec) -> bool:
        """No: it is the check before something goes live."""
        return False

    def run(self, spec: CheckParitySpec, context: JobContext) -> CheckParityResult:
        """Replay, compare, report; fail when something differs."""
        from airflow_provider_mlfeat.online.deployments import find_deployment
        from airflow_provider_mlfeat.serving.parity.compare import compare
        from airflow_provider_mlfeat.tables.feature_sets import read_feature_set, read_rows

        context.progress.stage("read", unit="tables")
        store = spec.store(context.secrets)
        features = read_feature_set(store, spec.feature_set)
        with spec.online.open(context.secrets) as online:
            deployment = find_deployment(online.documents.read(), spec.deployment)
        if features.metadata.plan_id != deployment.plan_id:
            raise UserError(
                f"feature set '{features.reference}' was made by plan {features.metadata.plan_id[:12]}, and deployment "
                f"'{deployment.reference}' has plan {deployment.plan_id[:12]}: training and serving do not ask the same"
            )
        # Opening the model replays its golden rows where it runs, whatever was found before.
        model = _model(spec, context.secrets)
        identity = _identity(spec, features, deployment, model)
        earlier = _earlier(spec, identity)
        if earlier is not None:
            log.info("nothing has changed since %d requests were replayed without a difference", earlier["requests"])
            return _result(spec, features, deployment, earlier, already_checked=True)
        definitions, tables = _tables(spec, store, features, deployment, context)
        request_table = deployment.plan().request_source
        assert request_table is not None
        answers = _replay(spec, deployment, definitions, tables, context)
        context.progress.stage("compare", unit="cells")
        found = compare(
            deployment.plan().schema,
            answers,
            read_rows(store, features).to_table(),
            tables[request_table].num_rows,
            label=spec.label,
            key=spec.key,
            model=model,
        )
        context.progress.metric(mismatches=found.mismatches)
        document = _report(spec, features, deployment, found, identity)
        page = Path(spec.report) / _PAGE
        if found.mismatches and spec.blocking:
            raise UserError(f"{found.sentence()}; the report is {page}")
        if not found.requests:
            raise UserError("there was no request to replay: parity is not shown")
        log.info("%d requests, %d cells: %d differences", found.requests, found.cells, found.mismatches)
        return _result(spec, features, deployment, document, already_checked=False)


def _result(
    spec: CheckParitySpec,
    features: FeatureSet,
    deployment: Deployment,
    found: dict[str, Any],
    *,
    already_checked: bool,
) -> CheckParityResult:
    folder = Path(spec.report)
    return CheckParityResult(
        feature_set=features.reference,
        deployment=deployment.reference,
        requests=found["requests"],
        cells=found["cells"],
        mismatches=found["mismatches"],
        cell_mismatches=sum(found["columns"].values()),
        key_mismatches=sum(found["keys"].values()),
        prediction_mismatches=found["predictions"],
        largest_difference=found["largest_difference"],
        report=str(folder / _PAGE),
        already_checked=already_checked,
        artifacts=(Artifact.of("report", folder / _PAGE), Artifact.of("parity", folder / _DOCUMENT)),
    )


def _identity(spec: CheckParitySpec, features: FeatureSet, deployment: Deployment, model: ServedModel | None) -> str:
    """Equal where a replay would compare the same numbers, made by the same code."""
    from airflow_provider_mlfeat.jobs.fingerprint import code_version

    asked = spec.model_dump(
        mode="json", include={"backend", "endpoint", "tables", "label", "key", "time_column", "requests"}
    )
    served = "" if model is None else model.reference.fingerprint
    made = [features.reference, features.metadata.identity, deployment.reference, deployment.plan_id, served]
    return files.digest_text(files.canonical_json([made, asked, code_version()]))


def _earlier(spec: CheckParitySpec, identity: str) -> dict[str, Any] | None:
    """What an equal check found, if it found no difference."""
    folder = Path(spec.report)
    try:
        found: dict[str, Any] = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_same = found.get("identity") == identity and found.get("mismatches") == 0
    return found if is_same and (folder / _PAGE).exists() else None


def _model(spec: CheckParitySpec, secrets: Mapping[str, str]) -> ServedModel | None:
    if not spec.model:
        return None
    from airflow_provider_mlfeat.serving.releases import ModelReference
    from airflow_provider_mlfeat.serving.scoring import ServedModel
    from airflow_provider_mlfeat.training.model_folder import read_manifest
    from airflow_provider_mlfeat.training.trained_model import local_folder

    folder = local_folder(spec.model, "model")
    fingerprint = read_manifest(folder).fingerprint
    reference = ModelReference(folder.name, "", str(folder), fingerprint, spec.backend, spec.endpoint)
    return ServedModel(reference, triton_headers(secrets))


def _tables(
    spec: CheckParitySpec, store: TableStore, features: FeatureSet, deployment: Deployment, context: JobContext
) -> tuple[dict[TableName, TableDefinition], dict[TableName, pa.Table]]:
    """The tables at the versions that the feature set was made of."""
    from airflow_provider_mlfeat.jobs.tables.inputs import QueryInputs
    from airflow_provider_mlfeat.tables.definitions import load_catalog

    bindings = dict(spec.tables)
    for name, identity in features.metadata.inputs.items():
        version, _, fingerprint = identity.partition(" ")
        if fingerprint and name not in bindings:
            bindings[name] = f"table:{name}@{version}"
    inputs = QueryInputs(store, load_catalog(store), bindings, context=context)
    plan = deployment.plan()
    found = {name: one.dataset.to_table() for name, one in inputs.tables(plan).items()}
    definitions = {}
    for table in found:
        definition = inputs.catalog.find_table(*table)
        assert definition is not None, f"{join_name(*table)} was just read"
        definitions[table] = definition
        context.progress.advance()
    changed = [name for name, identity in features.metadata.inputs.items() if inputs.identities.get(name) != identity]
    if changed:
        raise UserError(f"table '{changed[0]}' is not what feature set '{features.reference}' was made of")
    return definitions, found


def _replay(
    spec: CheckParitySpec,
    deployment: Deployment,
    definitions: dict[TableName, TableDefinition],
    tables: dict[TableName, pa.Table],
    context: JobContext,
) -> Answers:
    from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
    from airflow_provider_mlfeat.serving.parity.replay import replay

    request_table = deployment.plan().request_source
    assert request_table is not None
    total = tables[request_table].num_rows
    chosen = _chosen(total, spec.requests)
    context.progress.stage("replay", total=total if chosen is None else len(chosen), unit="requests")
    return replay(
        deployment,
        definitions,
        tables,
        open_store=EmbeddedStore,
        time_column=spec.time_column,
        chosen=chosen,
        progress=context.progress.advance,
    )


def _chosen(total: int, wanted: int) -> np.ndarray | None:
    """Positions spread evenly over all requests; None is all of them."""
    import numpy as np

    if wanted == 0 or wanted >= total:
        return None
    return np.unique(np.linspace(0, total - 1, wanted).round().astype(np.int64))


def _report(
    spec: CheckParitySpec, features: FeatureSet, deployment: Deployment, found: Parity, identity: str
) -> dict[str, Any]:
    from airflow_provider_mlfeat.serving.parity.report import write_page

    folder = Path(spec.report)
    facts = {
        "Feature set": features.reference,
        "Deployment": deployment.reference,
        "Plan": deployment.plan_id,
        "Model": spec.model or "none",
        "Engine of the feature set": features.metadata.engine,
    }
    document = {"identity": identity, "facts": facts, **found.to_document()}
    write_page(folder / _PAGE, found, facts)
    files.write_json(folder / _DOCUMENT, document)
    return document
