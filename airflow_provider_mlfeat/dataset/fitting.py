"""Fitting declared fields on the rows of the training split."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.counting import KeyCounts
from airflow_provider_mlfeat.dataset.encoder import SEED, Encoder, Field, Vocabulary
from airflow_provider_mlfeat.dataset.encoder.canonical import type_name
from airflow_provider_mlfeat.dataset.encoder.columns import Column, as_doubles, counted_keys, logarithm
from airflow_provider_mlfeat.dataset.encoder.fields import fixed_size
from airflow_provider_mlfeat.dataset.encoder.hashing import NULL_BYTES, hash_bytes
from airflow_provider_mlfeat.dataset.exact import ExactMoments
from airflow_provider_mlfeat.dataset.sampling import RowSample, row_numbers
from airflow_provider_mlfeat.errors import UserError

# A vocabulary is held in memory wherever it is used; what has more keys than this is no vocabulary.
MOST_KEYS = 1 << 26
_SAMPLE_ROWS = 1_000_000


class EncoderFitter:
    """Learns what declared fields need, batch by batch.

    :param fields: the declared fields.
    :param schema: of the rows.
    :param plan_id: the feature query's, where the rows come from one.
    :param seed: of all hashes, and of samples.
    """

    def __init__(
        self, fields: Sequence[Field], schema: pa.Schema, plan_id: str | None = None, seed: int = SEED
    ) -> None:
        self.fields = [typed_field(field, schema) for field in fields]
        self._plan_id, self._seed = plan_id, seed
        self._rows = 0
        self.learners = [_learner(field, _seed_of(field, seed)) for field in self.fields]

    def add(self, batch: pa.RecordBatch | pa.Table, numbers: NDArray[np.uint64] | None = None) -> None:
        """Learn from rows.

        :param batch: the rows.
        :param numbers: their `row_numbers`, which decide what samples hold; None counts on from the rows before.
        """
        if numbers is None:
            numbers = row_numbers(self._rows, batch.num_rows, self._seed)
        self._rows += batch.num_rows
        seen: dict[tuple[str, str], Column] = {}
        for field, learner in zip(self.fields, self.learners, strict=True):
            if learner is None:
                continue
            key = (field.column, field.non_finite)
            if key not in seen:
                seen[key] = Column(field.column, batch.column(field.column), field.type, field.non_finite)
            learner.learn(seen[key], numbers)

    def finish(self, rows: int | None = None) -> Encoder:
        """The encoder; raises UserError when there were no rows.

        :param rows: how many there were, where learners were merged with those of other rows.
        """
        if not (self._rows if rows is None else rows):
            raise UserError("the training split is empty: nothing can be learned from no rows")
        fields, vocabularies = [], {}
        for field, learner in zip(self.fields, self.learners, strict=True):
            fitted = field if learner is None else learner.fitted()
            if isinstance(learner, _VocabularyLearner):
                vocabularies[field.name] = learner.vocabulary()
                size = vocabularies[field.name].size
            else:
                size = fixed_size(fitted)
            fields.append(dataclasses.replace(fitted, size=size))
        return Encoder(fields, vocabularies, self._plan_id, self._seed)


def typed_field(field: Field, schema: pa.Schema) -> Field:
    """A field with its column's type; raises UserError where there is no such column, or the type does not fit."""
    place = schema.get_field_index(field.column)
    if place < 0:
        raise UserError(f"field '{field.name}': there is no column '{field.column}'; there are {_listed(schema.names)}")
    try:
        kind = type_name(schema.field(place).type)
    except ValueError as error:
        raise UserError(f"column '{field.column}': {error}; CAST it in the query, or drop it") from None
    if field.type and field.type != kind:
        raise UserError(
            f"field '{field.name}': column '{field.column}' is {kind}, and the field was declared for {field.type}"
        )
    return field.with_type(kind)


class Learner(Protocol):
    """Learns one field; what learners of parts of the rows have learned adds up."""

    def learn(self, column: Column, numbers: NDArray[np.uint64]) -> None:
        """Look at rows."""

    def merge(self, other: Any) -> None:
        """Take in what another learner of the same field has learned."""

    def fitted(self) -> Field:
        """The field with what was learned."""


class _VocabularyLearner:
    def __init__(self, field: Field, seed: int) -> None:
        self._field, self._seed = field, seed
        self._counts = KeyCounts(MOST_KEYS)

    def learn(self, column: Column, numbers: NDArray[np.uint64]) -> None:
        self._counts.add(*counted_keys(self._field, column, self._seed))
        self._check()

    def merge(self, other: _VocabularyLearner) -> None:
        self._counts.merge(other._counts)
        self._check()

    def __getstate__(self) -> dict[str, Any]:
        self._counts.compact()
        return self.__dict__

    def _check(self) -> None:
        if self._counts.overflowed:
            raise UserError(
                f"field '{self._field.name}': column '{self._field.column}' has more than {MOST_KEYS:,} different "
                "values: drop it, or take kind 'hash'"
            )

    def fitted(self) -> Field:
        return self._field

    def vocabulary(self) -> Vocabulary:
        keys, counts = self._counts.finish()
        known = (counts >= self._field.min_frequency) & (keys != np.uint64(hash_bytes(NULL_BYTES, self._seed)))
        keys = keys[known]
        return Vocabulary(keys[: self._field.max_rows] if self._field.max_rows else keys)


class _BucketLearner:
    """Ranges of about equal frequency, from an even sample of the rows."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._sample = RowSample(_SAMPLE_ROWS)

    def learn(self, column: Column, numbers: NDArray[np.uint64]) -> None:
        values = column.spread(as_doubles(column), np.nan)
        present = ~np.isnan(values)
        self._sample.add(numbers[present], values[present])

    def merge(self, other: _BucketLearner) -> None:
        self._sample.merge(other._sample)

    def fitted(self) -> Field:
        values = self._sample.values
        if not len(values):
            raise UserError(f"field '{self._field.name}': column '{self._field.column}' is NULL in all training rows")
        places = np.arange(1, self._field.buckets) * len(values) // self._field.buckets
        # A range that begins at the smallest value would leave the one before it empty.
        boundaries = np.unique(values[places])
        boundaries = boundaries[boundaries > values[0]]
        if not len(boundaries) and values[-1] > values[0]:
            boundaries = values[-1:]
        return dataclasses.replace(self._field, boundaries=tuple(boundaries.tolist()))


class _ScaleLearner:
    """Mean and deviation, in one pass."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._moments = ExactMoments()

    def learn(self, column: Column, numbers: NDArray[np.uint64]) -> None:
        found = as_doubles(column)
        values = column.spread(logarithm(found) if self._field.transform == "log" else found, np.nan)
        self._moments.add(values[~np.isnan(values)])

    def merge(self, other: _ScaleLearner) -> None:
        self._moments.merge(other._moments)

    def fitted(self) -> Field:
        mean, deviation = self._moments.mean(), self._moments.deviation()
        if not 0 < deviation < np.inf:
            deviation = 1.0
        return dataclasses.replace(self._field, center=mean if np.isfinite(mean) else 0.0, scale=deviation)


def _learner(field: Field, seed: int) -> Learner | None:
    """What has to be learned for a field; None for one that needs no rows."""
    if field.kind == "vocabulary":
        return _VocabularyLearner(field, seed)
    if field.kind == "bucket" and not field.boundaries:
        return _BucketLearner(field)
    return _ScaleLearner(field) if field.kind == "value" and field.transform != "none" else None


def _seed_of(field: Field, seed: int) -> int:
    return hash_bytes(field.salt.encode(), seed) if field.salt else seed


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
