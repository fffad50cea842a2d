"""The encoder: rows of features in, ids and values out. Training, Spark and the server use this same code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.dataset.encoder import storage
from airflow_provider_mlfeat.dataset.encoder.columns import Column, ids_of, keys_of, values_of
from airflow_provider_mlfeat.dataset.encoder.fields import Field, fixed_size
from airflow_provider_mlfeat.dataset.encoder.hashing import hash_bytes
from airflow_provider_mlfeat.dataset.encoder.rows import id_function, key_function, value_function
from airflow_provider_mlfeat.dataset.encoder.vocabulary import Vocabulary
from airflow_provider_mlfeat.errors import UserError

SEED = 10
# Rows whose ids are written together stay in the processor's cache.
_BLOCK = 8_192


class Encoded(NamedTuple):
    """Rows for a model: ids int32 [rows, id fields] in C order, values float32 [rows, value fields]."""

    ids: NDArray[np.int32]
    values: NDArray[np.float32]


class EncodedRow(NamedTuple):
    """One row for a model: ids int64 [id fields], values float32 [value fields]."""

    ids: NDArray[np.int64]
    values: NDArray[np.float32]


class Encoder:
    """What training learned about columns, applied to rows.

    :param fields: fitted fields; those of ids come first, in the order of the ids matrix, then those of values.
    :param vocabularies: the keys of each field of kind ``vocabulary``, by the field's name.
    :param plan_id: the feature query's, where the columns come from one.
    :param seed: of all hashes.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        vocabularies: Mapping[str, Vocabulary],
        plan_id: str | None = None,
        seed: int = SEED,
    ) -> None:
        self.fields = (*(one for one in fields if not one.is_value), *(one for one in fields if one.is_value))
        self.vocabularies = dict(vocabularies)
        self.plan_id = plan_id
        self.seed = seed
        if not self.fields:
            raise UserError("an encoder needs a field")
        names = [field.name for field in self.fields]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f"two fields are called '{double[0]}'")
        for field in self.fields:
            if field.kind == "vocabulary" and field.name not in self.vocabularies:
                raise UserError(f"field '{field.name}' has no vocabulary")
            wanted = self.vocabularies[field.name].size if field.kind == "vocabulary" else fixed_size(field)
            assert field.type, f"field '{field.name}' is not fitted"
            if field.size != wanted:
                raise UserError(f"field '{field.name}' says that it has {field.size} rows, and it has {wanted}")

    def __reduce__(self) -> tuple[Any, ...]:
        """What Spark sends to its workers: the contents, without the functions compiled of them."""
        return Encoder, (self.fields, self.vocabularies, self.plan_id, self.seed)

    @property
    def id_fields(self) -> tuple[Field, ...]:
        """The fields of the ids matrix, in its order."""
        return tuple(field for field in self.fields if not field.is_value)

    @property
    def value_fields(self) -> tuple[Field, ...]:
        """The fields of the values matrix, in its order."""
        return tuple(field for field in self.fields if field.is_value)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many rows a table for each id field needs; row 0 is 'out of vocabulary', row 1 is NULL."""
        return tuple(field.size for field in self.id_fields)

    @property
    def columns(self) -> dict[str, str]:
        """The columns that it reads, with their logical types."""
        return {field.column: field.type for field in self.fields}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides its numbers."""
        return files.digest_text(files.canonical_json(storage.document_of(self)))

    def seed_of(self, field: Field) -> int:
        """The seed of a field's hashes: its salt makes it another one."""
        return hash_bytes(field.salt.encode(), self.seed) if field.salt else self.seed

    # ── columns ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def encode(self, batch: pa.RecordBatch | pa.Table) -> Encoded:
        """The ids and values of rows in Arrow columns; further columns are ignored."""
        column = self._columns_of(batch)
        ids = [
            ids_of(field, column(field), self.seed_of(field), self.vocabularies.get(field.name))
            for field in self.id_fields
        ]
        values = [values_of(field, column(field)) for field in self.value_fields]
        return Encoded(_side_by_side(ids, batch.num_rows, np.int32), _side_by_side(values, batch.num_rows, np.float32))

    def keys(self, batch: pa.RecordBatch | pa.Table) -> NDArray[np.int64]:
        """The 64-bit keys behind the ids, before any vocabulary; of fields without keys, the ids.

        Two encoders of the same declaration give the same keys, whatever rows they were fitted on.
        """
        column = self._columns_of(batch)
        keys = [
            keys_of(field, column(field), self.seed_of(field)).view(np.int64)
            if field.has_keys
            else ids_of(field, column(field), self.seed_of(field), None)
            for field in self.id_fields
        ]
        return _side_by_side(keys, batch.num_rows, np.int64)

    def _columns_of(self, batch: pa.RecordBatch | pa.Table) -> Callable[[Field], Column]:
        """Columns of a batch, each looked through once for all its fields."""
        seen: dict[tuple[str, str], Column] = {}
        present = set(batch.schema.names)
        if missing := [name for name in self.columns if name not in present]:
            raise UserError(f"the rows lack column {_listed(missing)}, which the encoder reads")

        def column(field: Field) -> Column:
            key = (field.column, field.non_finite)
            if key not in seen:
                seen[key] = Column(field.column, batch.column(field.column), field.type, field.non_finite)
            return seen[key]

        return column

    # ── one row ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def encode_row(self, row: Mapping[str, object]) -> EncodedRow:
        """The ids and values of one row of Python values: the same numbers as `encode` gives."""
        ids, values = self._row_functions
        try:
            found = [function(row[name]) for name, function in ids]
            reals = [function(row[name]) for name, function in values]
        except KeyError:
            missing = [name for name in self.columns if name not in row]
            raise UserError(f"the row lacks column {_listed(missing)}, which the encoder reads") from None
        except ArithmeticError:
            raise UserError(f"column '{self._beyond(row)}': the value is beyond all numbers of its type") from None
        return EncodedRow(np.array(found, np.int64), np.array(reals, np.float32))

    def _beyond(self, row: Mapping[str, object]) -> str:
        """The column whose value no machine number or moment can hold."""
        for name, function in (pair for pairs in self._row_functions for pair in pairs):
            try:
                function(row[name])
            except ArithmeticError:
                return name
        raise AssertionError("every value of the row can be held")

    def keys_row(self, row: Mapping[str, object]) -> NDArray[np.int64]:
        """The 64-bit keys of one row: the same numbers as `keys` gives."""
        return np.array([function(row[name]) for name, function in self._key_functions], np.int64)

    @cached_property
    def _row_functions(self) -> tuple[list[tuple[str, Callable[[Any], int]]], list[tuple[str, Callable[[Any], Any]]]]:
        ids = [
            (field.column, id_function(field, self.seed_of(field), self.vocabularies.get(field.name)))
            for field in self.id_fields
        ]
        return ids, [(field.column, value_function(field)) for field in self.value_fields]

    @cached_property
    def _key_functions(self) -> list[tuple[str, Callable[[Any], int]]]:
        return [(field.column, key_function(field, self.seed_of(field), None)) for field in self.id_fields]

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def save(self, path: str | Path) -> None:
        """Write it to one file, which appears whole or not at all."""
        storage.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Encoder:
        """Read it from its file; raises UserError for a file that is none, or that was changed."""
        return storage.load(cls, Path(path))


def _side_by_side(columns: Sequence[NDArray[Any]], rows: int, kind: type[Any]) -> NDArray[Any]:
    """Columns as a matrix of rows, written block by block."""
    matrix = np.empty((rows, len(columns)), kind)
    for start in range(0, rows, _BLOCK):
        block = slice(start, start + _BLOCK)
        for place, column in enumerate(columns):
            matrix[block, place] = column[block]
    return matrix


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
