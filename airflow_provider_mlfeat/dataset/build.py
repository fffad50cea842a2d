"""From a table of features to a dataset: split, fit on the training rows, encode, shuffle, describe."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.dataset.encoder import ENCODER_FILE, Encoder, Field
from airflow_provider_mlfeat.dataset.faithful import write_data_info
from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.dataset.leakage import Finding
from airflow_provider_mlfeat.dataset.local import BuildProgress, LocalWalker, Walker
from airflow_provider_mlfeat.dataset.manifest import VERSION, Manifest
from airflow_provider_mlfeat.dataset.measuring import Measured
from airflow_provider_mlfeat.dataset.passes import FitPass, MeasurePass, Rows, SplitCounts
from airflow_provider_mlfeat.dataset.profiles import Chosen, choose_fields
from airflow_provider_mlfeat.dataset.report import MANY_UNKNOWN, REPORT_FILE, render_report
from airflow_provider_mlfeat.dataset.request import Request
from airflow_provider_mlfeat.dataset.sink import DatasetSink
from airflow_provider_mlfeat.dataset.source import Source
from airflow_provider_mlfeat.dataset.splits import SPLITS, Moments, Split, settle
from airflow_provider_mlfeat.dataset.writing import SHARD_ROWS
from airflow_provider_mlfeat.errors import UserError

log = logging.getLogger("mlfeat.job")
_LISTED = 8


def identity_of(request: Request, source: Source) -> str:
    """Equal for equal requests of equal rows."""
    rows = {name: value for name, value in source.description.items() if name not in ("uri", "reference")}
    return files.digest_text(files.canonical_json([VERSION, request.to_document(), rows, source.rows, source.plan_id]))


def build_dataset(
    request: Request,
    source: Source,
    target: Path,
    scratch: Path,
    progress: BuildProgress,
    walker: Callable[[Path], Walker] | None = None,
) -> Manifest:
    """Make a dataset's folder, which appears whole or not at all.

    :param request: what it is to be.
    :param source: the rows.
    :param target: the folder, which must not exist.
    :param scratch: an empty folder for files that go away.
    :param progress: where to report.
    :param walker: gives who goes over the rows, by the folder that is filled; None is this process. The dataset is the
        same whoever it is.
    """
    with files.staged_directory(target) as folder:
        chosen = LocalWalker(source, scratch, progress) if walker is None else walker(folder)
        _Build(request, source, folder, chosen, progress).run()
    return Dataset.open(target).manifest


class _Build:
    """One build: three or four passes over the rows."""

    def __init__(self, request: Request, source: Source, folder: Path, walker: Walker, progress: BuildProgress) -> None:
        self._request, self._source, self._folder = request, source, folder
        self._walker, self._progress = walker, progress

    def run(self) -> None:
        request, source = self._request, self._source
        if not source.rows:
            raise UserError("there are no rows to build a dataset of")
        roles = {
            "label column": (request.label,),
            "key column": request.keys,
            "group column": request.groups,
            "split column": request.split.columns,
            "time column": (request.time,) if request.time else (),
            "column to drop": request.drop,
        }
        kinds = {name: source.type_of(name, role) for role, names in roles.items() for name in names}
        self._progress.stage("split", total=source.rows)
        split = settle(request.split, self._moments, source.rows)
        shards = max(1, -(-source.rows // SHARD_ROWS)) if request.shuffle else 1
        rows = Rows(request, source.schema, source.rows, kinds, split, shards)
        chosen = choose_fields(request, source, lambda columns: self._measured(rows, columns))
        for one in chosen.dropped:
            log.info("column '%s' is left out: it %s", one["column"], one["reason"])
        fit = FitPass(rows, chosen.fields, source.plan_id)
        watched = {role: names for role, names in (("keys", request.keys), ("groups", request.groups)) if names}
        repeats = self._walker.fit(fit, rows, watched)
        _check_counts(fit.counts, request.label)
        findings = [*(finding for one in repeats for finding in one.findings()), *fit.leakage.finish()]
        warnings = _judged(findings, request.strict)
        encoder = fit.fitter.finish(fit.counts.rows["train"])
        sink = DatasetSink(self._folder, rows, encoder, fit.counts)
        self._walker.write(rows, encoder, sink, fit.counts.shards.tolist())
        parts = sink.close()
        encoder.save(self._folder / ENCODER_FILE)
        if fit.sizes is not None:
            write_data_info(self._folder, fit.counts.rows, fit.sizes.finish())
        fields = [_described(one, place, fit.counts, sink) for place, one in enumerate(encoder.id_fields)]
        self._describe(split, chosen, encoder, fit.counts, parts, fields, warnings)

    def _moments(self, places: Sequence[int]) -> Moments:
        return self._walker.moments(self._request.split.columns[0], places)

    def _measured(self, rows: Rows, columns: Mapping[str, str]) -> list[Measured]:
        measure = MeasurePass(rows, columns)
        self._walker.measure(measure)
        return measure.finish()

    def _describe(
        self,
        split: Split,
        chosen: Chosen,
        encoder: Encoder,
        counts: SplitCounts,
        shards: list[tuple[int, int]],
        fields: list[dict[str, Any]],
        warnings: list[str],
    ) -> None:
        request, source = self._request, self._source
        self._progress.stage("digest", unit="files")
        found = {}
        for path in sorted(path for path in self._folder.rglob("*") if path.is_file()):
            digest = files.digest_file(path)
            found[path.relative_to(self._folder).as_posix()] = {"size": path.stat().st_size, "sha256": digest}
            self._progress.advance()
        identity = identity_of(request, source)
        manifest = Manifest(
            fingerprint=files.digest_text(files.canonical_json([identity, encoder.fingerprint, found])),
            identity=identity,
            encoder_fingerprint=encoder.fingerprint,
            plan_id=source.plan_id,
            feature_set=source.description,
            profile=request.profile,
            fields=fields,
            values=[{"name": one.name, "column": one.column, "kind": one.kind} for one in encoder.value_fields],
            dropped=chosen.dropped,
            label=request.label,
            keys=list(request.keys),
            rows=counts.rows,
            positives=counts.positives,
            split=split.to_document(),
            seed=request.seed if request.shuffle else None,
            shards=[list(shard) for shard in shards],
            warnings=[*warnings, *_strangers(fields)],
            files=found,
        )
        (self._folder / REPORT_FILE).write_text(render_report(manifest), encoding="utf-8")
        manifest.write(self._folder)


def _described(one: Field, place: int, counts: SplitCounts, sink: DatasetSink) -> dict[str, Any]:
    """A field in the manifest: what it is, and which shares of each split are NULL and out of vocabulary."""
    shares = {
        what: {name: round(int(found[name][place]) / counts.rows[name], 6) for name in SPLITS}
        for what, found in (("null", sink.nulls), ("unknown", sink.unknown))
    }
    return {"name": one.name, "column": one.column, "kind": one.kind, "size": one.size, **shares}


def _strangers(fields: Sequence[Mapping[str, Any]]) -> list[str]:
    """A warning of fields whose values are mostly new later on: what a model learns of them is of little use."""
    strange = [one for one in fields if one["unknown"]["test"] >= MANY_UNKNOWN]
    if not strange:
        return []
    named = ", ".join(f"'{one['name']}' ({one['unknown']['test']:.0%})" for one in strange[:_LISTED])
    named += f" and {len(strange) - _LISTED} more" if len(strange) > _LISTED else ""
    text = f"many test rows have values that no training row has, so these fields say little about new rows: {named}"
    log.warning("%s", text)
    return [text]


def _judged(findings: Sequence[Finding], strict: bool) -> list[str]:
    """What is to be warned of; raises UserError for errors where they count."""
    if strict and (errors := [finding.text for finding in findings if finding.is_error]):
        raise UserError(f"the dataset leaks: {'; '.join(errors)}")
    for finding in findings:
        log.warning("%s", finding.text)
    return [finding.text for finding in findings]


def _check_counts(counts: SplitCounts, label: str) -> None:
    for name in SPLITS:
        rows, positives = counts.rows[name], counts.positives[name]
        if not rows:
            raise UserError(f"split '{name}' is empty: choose other shares or boundaries")
    rows, positives = sum(counts.rows.values()), sum(counts.positives.values())
    if positives in (0, rows):
        raise UserError(f"label column '{label}' is {int(positives > 0)} in all {rows} rows; a model needs both")
    for name in SPLITS:
        rows, positives = counts.rows[name], counts.positives[name]
        if positives in (0, rows):
            raise UserError(
                f"label column '{label}' is {int(positives > 0)} in all {rows} rows of split '{name}'; a model needs "
                "both: choose other shares or boundaries"
            )
