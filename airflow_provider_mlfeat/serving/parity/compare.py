"""Comparing answers with a feature set, cell by cell, and what a model makes of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.plan import Schema

if TYPE_CHECKING:
    from airflow_provider_mlfeat.serving.parity.replay import Answers
    from airflow_provider_mlfeat.serving.scoring import ServedModel

EXAMPLES = 20
PREDICTION_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell that differs.

    :param row: which row of the feature set.
    :param key: the row's key column, or its number.
    :param column: which column.
    :param trained: the value that training saw.
    :param served: the value that a request gets.
    """

    row: int
    key: str
    column: str
    trained: str
    served: str


@dataclass(slots=True)
class Parity:
    """What a comparison found.

    :param requests: how many requests were replayed.
    :param cells: how many cells were compared.
    :param columns: per column, how many cells differ.
    :param keys: per field of the encoder, how many keys differ.
    :param predictions: how many predictions differ by more than the tolerance.
    :param largest_difference: of two predictions.
    :param unmatched: rows that only one side has.
    :param examples: some of the cells that differ.
    """

    requests: int = 0
    cells: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    predictions: int = 0
    largest_difference: float = 0.0
    unmatched: int = 0
    examples: list[Difference] = field(default_factory=list)

    @property
    def mismatches(self) -> int:
        """All that is not as it should be."""
        return sum(self.columns.values()) + sum(self.keys.values()) + self.predictions + self.unmatched

    def sentence(self) -> str:
        """What is wrong, in one sentence."""
        parts = [f"column '{name}' in {count}" for name, count in self.columns.items() if count][:5]
        parts += [f"key of '{name}' in {count}" for name, count in self.keys.items() if count][: 5 - len(parts)]
        if self.predictions:
            parts.append(f"the prediction in {self.predictions} (by up to {self.largest_difference:.3g})")
        if self.unmatched:
            parts.append(f"{self.unmatched} rows that only one side has")
        text = f"of {self.requests} replayed requests, served and trained numbers differ: {', '.join(parts)}"
        if self.examples:
            one = self.examples[0]
            text += f"; for instance row {one.key}, '{one.column}': trained {one.trained}, served {one.served}"
        return text

    def to_document(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "mismatches": self.mismatches}


def compare(
    schema: Schema,
    answers: Answers,
    features: pa.Table,
    requests: int,
    *,
    label: str = "",
    key: str = "",
    model: ServedModel | None = None,
) -> Parity:
    """Compare.

    :param schema: the columns of the answers.
    :param answers: what the replayed requests got.
    :param features: the rows of the feature set.
    :param requests: how many rows the request table has.
    :param label: the column that is no feature: it is known only afterwards.
    :param key: a column of both that tells rows apart; empty finds one, or goes by position.
    :param model: what makes predictions of features.
    """
    served = answers_table(schema, answers)
    trained, positions, unmatched = _aligned(served, answers, features, requests, key)
    served = served.take(pa.array(positions.served))
    found = Parity(requests=len(answers.rows), unmatched=unmatched)
    names = [column.name for column in schema if column.name != label]
    shown = _shown_keys(trained, key or _key_of(trained), positions.trained)
    for name in names:
        differ = differing(trained.column(name), served.column(name))
        found.cells += len(differ)
        found.columns[name] = int(differ.sum())
        for row in np.flatnonzero(differ)[: max(EXAMPLES - len(found.examples), 0)].tolist():
            values = (str(trained.column(name)[row].as_py()), str(served.column(name)[row].as_py()))
            found.examples.append(Difference(int(positions.trained[row]), shown(row), name, *values))
    if model is not None:
        _compare_model(found, model, trained, served)
    return found


def answers_table(schema: Schema, answers: Answers) -> pa.Table:
    """The answers as columns; a request without one has no row."""
    rows = [answer for answer in answers.answers if answer is not None]
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pa.table(
        {
            column.name: Column.from_values(list(values), column.type).to_arrow()
            for column, values in zip(schema, columns, strict=True)
        }
    )


def differing(trained: pa.ChunkedArray, served: pa.ChunkedArray) -> np.ndarray:
    """Which cells are not the same value: equal numbers with equal bits, NULL equal to NULL, NaN to NaN."""
    trained = _plain(trained, served.type)
    served = _plain(served, served.type)
    null = [pc.is_null(side).to_numpy(zero_copy_only=False) for side in (trained, served)]
    if pa.types.is_floating(served.type):
        bits = "int64" if served.type == pa.float64() else "int32"
        one, other = (
            column.fill_null(0).to_numpy(zero_copy_only=False).astype(served.type.to_pandas_dtype()).view(bits)
            for column in (trained, served)
        )
        nan = [np.isnan(side.view(served.type.to_pandas_dtype())) for side in (one, other)]
        unequal = (one != other) & ~(nan[0] & nan[1])
    else:
        unequal = pc.fill_null(pc.not_equal(trained, served), False).to_numpy(zero_copy_only=False)
    return np.asarray((null[0] != null[1]) | (~null[0] & ~null[1] & unequal))


def _plain(column: pa.ChunkedArray | pa.Array, kind: pa.DataType) -> pa.Array:
    """One array; points in time, which tables keep in microseconds, as milliseconds."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.timestamp("ms")) if pa.types.is_timestamp(array.type) else array.cast(kind)


@dataclass(frozen=True, slots=True)
class _Positions:
    trained: np.ndarray
    served: np.ndarray


def _aligned(
    served: pa.Table, answers: Answers, features: pa.Table, requests: int, key: str
) -> tuple[pa.Table, _Positions, int]:
    """The rows of the feature set that belong to the answers."""
    wanted = set(served.column_names)
    missing = sorted(wanted - set(features.column_names))
    if missing:
        raise UserError(f"the feature set lacks column '{missing[0]}', which the deployment answers")
    if key and key not in wanted:
        raise UserError(f"there is no column '{key}' in the answers")
    if key and not _tells_apart(features.column(key)):
        raise UserError(f"column '{key}' cannot tell rows apart: the feature set has a value of it more than once")
    key = key or _key_of(features)
    if key:
        found = pc.index_in(
            _plain(served.column(key), served.column(key).type),
            value_set=_plain(features.column(key), served.column(key).type),
        )
        matched = np.flatnonzero(pc.is_valid(found).to_numpy(zero_copy_only=False))
        trained = found.to_numpy(zero_copy_only=False)[matched].astype(np.int64)
        lost = served.num_rows - len(matched)
        everything = len(answers.rows) == requests
        # A key that was answered twice stands for no other row.
        lost += features.num_rows - len(np.unique(trained)) if everything else 0
    elif features.num_rows == requests:
        answered = np.array([answer is not None for answer in answers.answers], bool)
        trained, matched = answers.rows[answered], np.arange(served.num_rows)
        lost = int((~answered).sum())
    elif len(answers.rows) == requests and served.num_rows == features.num_rows:
        trained = matched = np.arange(served.num_rows)
        lost = 0
    else:
        raise UserError(
            f"the feature set has {features.num_rows} rows and no column that tells them apart, and the request table "
            f"has {requests}: name a key column"
        )
    return features.take(pa.array(trained)), _Positions(trained, matched), lost


def _key_of(features: pa.Table) -> str:
    """The first column whose values are all there and all different."""
    for field_ in features.schema:
        column = features.column(field_.name)
        can_tell = pa.types.is_string(field_.type) or pa.types.is_integer(field_.type)
        if can_tell and column.null_count == 0 and _tells_apart(column):
            return str(field_.name)
    return ""


def _tells_apart(column: pa.ChunkedArray) -> bool:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return bool(pc.count_distinct(column, mode="all").as_py() == len(column))


def _shown_keys(trained: pa.Table, key: str, positions: np.ndarray) -> Any:
    if key:
        return lambda row: str(trained.column(key)[row].as_py())
    return lambda row: str(int(positions[row]))


def _compare_model(found: Parity, model: ServedModel, trained: pa.Table, served: pa.Table) -> None:
    """Encode both sides, the served one row by row as the server does, and predict."""
    encoder = model.encoder
    if not served.num_rows:
        return
    names = [field_.name for field_ in encoder.id_fields]
    as_trained = _milliseconds(trained)
    rows = _python_rows(served)
    encoded = [encoder.encode_row(row) for row in rows]
    ids = np.stack([row.ids for row in encoded])
    values = np.stack([row.values for row in encoded])
    keys = np.stack([encoder.keys_row(row) for row in rows])
    expected = encoder.encode(as_trained)
    wrong = (keys != encoder.keys(as_trained)) | (ids != expected.ids)
    found.keys = {name: int(wrong[:, place].sum()) for place, name in enumerate(names)}
    for place, one in enumerate(encoder.value_fields):
        unequal = values[:, place].view(np.int32) != expected.values[:, place].view(np.int32)
        both_nan = np.isnan(values[:, place]) & np.isnan(expected.values[:, place])
        found.keys[one.name] = int((unequal & ~both_nan).sum())
    there = model.scorer.score(ids, values).astype(np.float64)
    trained_scores = model.local_scores(expected.ids.astype(np.int64), expected.values)
    apart = np.abs(there - trained_scores)
    found.largest_difference = float(apart.max())
    found.predictions = int((~(apart <= PREDICTION_TOLERANCE)).sum())


def _milliseconds(table: pa.Table) -> pa.Table:
    """Points in time as the language has them."""
    columns = {
        name: table.column(name).cast(pa.timestamp("ms"))
        if pa.types.is_timestamp(table.schema.field(name).type)
        else table.column(name)
        for name in table.column_names
    }
    return pa.table(columns)


def _python_rows(table: pa.Table) -> Sequence[dict[str, Any]]:
    """Rows as the request driver gives them: a point in time is a number."""
    columns = []
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms")).cast(pa.int64())
        columns.append(column.to_pylist())
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]
