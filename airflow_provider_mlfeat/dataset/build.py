"""From a table of features to a dataset: split, fit on the training rows, encode, shuffle, describe."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.dataset.encoder import ENCODER_FILE, Encoded, Encoder, Field
from airflow_provider_mlfeat.dataset.faithful import TableSizes, write_data_info
from airflow_provider_mlfeat.dataset.fitting import EncoderFitter
from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.dataset.leakage import Finding, LeakageChecks
from airflow_provider_mlfeat.dataset.manifest import VERSION, Manifest
from airflow_provider_mlfeat.dataset.profiles import Chosen, choose_fields
from airflow_provider_mlfeat.dataset.request import Request
from airflow_provider_mlfeat.dataset.source import Source, labels_of
from airflow_provider_mlfeat.dataset.splits import SPLITS, TRAIN, Assignment, Split, settle
from airflow_provider_mlfeat.dataset.writing import SHARD_ROWS, SplitWriter, shard_numbers
from airflow_provider_mlfeat.errors import UserError

log = logging.getLogger("mlfeat.job")


class BuildProgress(Protocol):
    """Where a build reports; it may raise to stop the work."""

    def stage(self, name: str, total: float | None = None, unit: str = "rows") -> None: ...

    def advance(self, amount: float = 1) -> None: ...


def identity_of(request: Request, source: Source) -> str:
    """Equal for equal requests of equal rows."""
    rows = {name: value for name, value in source.description.items() if name not in ("uri", "reference")}
    return files.digest_text(files.canonical_json([VERSION, request.to_document(), rows, source.rows, source.plan_id]))


def build_dataset(request: Request, source: Source, target: Path, scratch: Path, progress: BuildProgress) -> Manifest:
    """Make a dataset's folder, which appears whole or not at all.

    :param request: what it is to be.
    :param source: the rows.
    :param target: the folder, which must not exist.
    :param scratch: an empty folder for files that go away.
    :param progress: where to report.
    """
    with files.staged_directory(target) as folder:
        _Build(request, source, folder, scratch, progress).run()
    return Dataset.open(target).manifest


@dataclass
class _Counts:
    """What the fitting pass counts."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    positives: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    shards: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))


class _Build:
    """One build: three or four passes over the rows, each in constant memory."""

    def __init__(self, request: Request, source: Source, folder: Path, scratch: Path, progress: BuildProgress) -> None:
        self._request, self._source, self._folder = request, source, folder
        self._scratch, self._progress = scratch, progress
        self._shards = max(1, -(-source.rows // SHARD_ROWS)) if request.shuffle else 1

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
        split = settle(request.split, self._columns, source.rows, self._scratch)
        self._assignment = Assignment(split, source.rows, kinds)
        chosen = choose_fields(request, source, self._training_rows)
        for one in chosen.dropped:
            log.info("column '%s' is left out: it %s", one["column"], one["reason"])
        encoder, counts, sizes = self._fit(chosen.fields, kinds)
        shards = self._write(encoder, counts)
        encoder.save(self._folder / ENCODER_FILE)
        if sizes is not None:
            write_data_info(self._folder, counts.rows, sizes)
        self._describe(split, chosen, encoder, counts, shards)

    def _columns(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for batch in self._source.batches(names):
            yield batch
            self._progress.advance(batch.num_rows)

    def _rows(self) -> Iterator[tuple[pa.RecordBatch, int, NDArray[np.int8]]]:
        """All rows: blocks, the number of their first row, and the split of each row."""
        first = 0
        for batch in self._source.batches():
            yield batch, first, self._assignment.assign(batch, first)
            first += batch.num_rows
            self._progress.advance(batch.num_rows)
        if first != self._source.rows:
            raise UserError(f"the rows changed while the dataset was built: {self._source.rows} became {first}")

    def _training_rows(self, stage: str) -> Iterator[pa.RecordBatch]:
        self._progress.stage(stage, total=self._source.rows)
        for batch, _, splits in self._rows():
            yield _chosen(batch, splits == TRAIN)

    def _fit(self, fields: Sequence[Field], kinds: Mapping[str, str]) -> tuple[Encoder, _Counts, list[int] | None]:
        request = self._request
        self._progress.stage("fit", total=self._source.rows)
        fitter = EncoderFitter(fields, self._source.schema, self._source.plan_id, request.seed)
        sizes = TableSizes(fitter.fields, request.seed) if request.profile == "faithful" else None
        learned = {one.column: one.type for one in fitter.fields}
        leakage = LeakageChecks(
            learned, kinds, request.keys, request.groups, request.time, self._source.rows, self._scratch
        )
        counts = _Counts(shards=np.zeros(self._shards, np.int64))
        for batch, first, splits in self._rows():
            labels = labels_of(batch, request.label, first)
            for number, name in enumerate(SPLITS):
                there = splits == number
                counts.rows[name] += int(np.count_nonzero(there))
                counts.positives[name] += int(np.count_nonzero(labels[there]))
            training = splits == TRAIN
            leakage.add(batch, labels, splits)
            fitter.add(_chosen(batch, training))
            if sizes is not None:
                sizes.add(batch)
            places = shard_numbers(first, batch.num_rows, self._shards, request.seed)[training]
            counts.shards += np.bincount(places, minlength=self._shards)
        _check_counts(counts, request.label)
        self._warnings = _judged(leakage.finish(), request.strict)
        return fitter.finish(), counts, None if sizes is None else sizes.finish()

    def _write(self, encoder: Encoder, counts: _Counts) -> list[tuple[int, int]]:
        request = self._request
        widths = len(encoder.id_fields), len(encoder.value_fields)
        schema = self._source.schema
        writers = {
            name: SplitWriter(
                self._folder / name,
                counts.shards.tolist() if number == TRAIN else [counts.rows[name]],
                widths,
                None if number == TRAIN else schema,
            )
            for number, name in enumerate(SPLITS)
        }
        self._progress.stage("encode", total=self._source.rows)
        for batch, first, splits in self._rows():
            encoded, labels = encoder.encode(batch), labels_of(batch, request.label, first)
            shards = shard_numbers(first, batch.num_rows, self._shards, request.seed)
            for number, name in enumerate(SPLITS):
                places = np.flatnonzero(splits == number)
                if not len(places):
                    continue
                rows = Encoded(encoded.ids[places], encoded.values[places])
                writers[name].write(
                    rows, labels[places], shards[places] if number == TRAIN else np.zeros(len(places), np.int64)
                )
                if number != TRAIN:
                    writers[name].write_features(_chosen(batch, splits == number))
        if request.shuffle:
            self._progress.stage("shuffle", total=counts.rows["train"])
            writers["train"].shuffle(request.seed, self._progress.advance)
        for writer in writers.values():
            writer.close()
        return writers["train"].shards

    def _describe(
        self, split: Split, chosen: Chosen, encoder: Encoder, counts: _Counts, shards: list[tuple[int, int]]
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
            fields=[
                {"name": one.name, "column": one.column, "kind": one.kind, "size": one.size}
                for one in encoder.id_fields
            ],
            values=[{"name": one.name, "column": one.column, "kind": one.kind} for one in encoder.value_fields],
            dropped=chosen.dropped,
            label=request.label,
            keys=list(request.keys),
            rows=counts.rows,
            positives=counts.positives,
            split=split.to_document(),
            seed=request.seed if request.shuffle else None,
            shards=[list(shard) for shard in shards],
            warnings=self._warnings,
            files=found,
        )
        manifest.write(self._folder)


def _chosen(batch: pa.RecordBatch, mask: NDArray[np.bool_]) -> pa.RecordBatch:
    return batch if mask.all() else batch.filter(pa.array(mask))


def _judged(findings: Sequence[Finding], strict: bool) -> list[str]:
    """What is to be warned of; raises UserError for errors where they count."""
    if strict and (errors := [finding.text for finding in findings if finding.is_error]):
        raise UserError(f"the dataset leaks: {'; '.join(errors)}")
    for finding in findings:
        log.warning("%s", finding.text)
    return [finding.text for finding in findings]


def _check_counts(counts: _Counts, label: str) -> None:
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
