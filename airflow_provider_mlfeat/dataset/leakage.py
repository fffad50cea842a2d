"""What would make a model look better than it is: rows in two splits, columns that know the label or the future."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.encoder import SEED
from airflow_provider_mlfeat.dataset.encoder.columns import Column
from airflow_provider_mlfeat.dataset.encoder.hashing import NULL_BYTES, hash_bytes, hash_strings
from airflow_provider_mlfeat.dataset.mapping import new_scratch
from airflow_provider_mlfeat.dataset.splits import SPLITS, combined_keys, moments_of

# A column with more different values in a block than this is not suspected of being the label.
_FEW = 1_000
# Positives that one value must explain on average before it is no coincidence.
_ROWS_PER_VALUE = 10
_SPLIT_BITS = np.uint64(2)


@dataclass(frozen=True)
class Finding:
    """Something suspicious.

    :param is_error: whether a dataset with it is refused.
    :param text: one sentence.
    """

    is_error: bool
    text: str


class RepeatedKeys:
    """Finds keys that come twice, and groups that are in two splits, in files of eight bytes a row.

    :param roles: columns by their role: ``keys`` identify a row, ``groups`` must stay in one split.
    :param kinds: logical types of the columns, by name.
    :param rows: of the table.
    :param scratch: a folder for the files.
    """

    def __init__(self, roles: Mapping[str, Sequence[str]], kinds: Mapping[str, str], rows: int, scratch: Path) -> None:
        self._roles, self._kinds = dict(roles), dict(kinds)
        self._logs = {name: new_scratch(scratch / name, np.uint64, rows) for name in roles}
        self._place = 0

    def add(self, batch: pa.RecordBatch, splits: NDArray[np.int8]) -> None:
        """Look at rows."""
        for name, log in self._logs.items():
            marked = marked_keys(batch, self._roles[name], self._kinds, splits)
            log[self._place : self._place + len(marked)] = marked
        self._place += batch.num_rows

    def finish(self) -> list[Repeats]:
        """What was found."""
        found = []
        for name, log in self._logs.items():
            log.sort()
            same = (log[1:] >> _SPLIT_BITS) == (log[:-1] >> _SPLIT_BITS)
            apart = int(np.count_nonzero(same & (log[1:] != log[:-1])))
            found.append(Repeats(name, tuple(self._roles[name]), int(np.count_nonzero(same)), apart))
        return found


def marked_keys(
    batch: pa.RecordBatch, columns: Sequence[str], kinds: Mapping[str, str], splits: NDArray[np.int8]
) -> NDArray[np.uint64]:
    """One number for the key of each row, whose last two bits are the row's split."""
    keys = combined_keys(batch, columns, kinds, SEED)
    return (keys >> _SPLIT_BITS << _SPLIT_BITS) | splits.astype(np.uint64)


@dataclass(frozen=True)
class Repeats:
    """How often values of some columns come again.

    :param role: ``keys`` or ``groups``.
    :param columns: whose values together.
    :param twice: rows that repeat an earlier one's values.
    :param apart: how often such rows are in another split.
    """

    role: str
    columns: tuple[str, ...]
    twice: int
    apart: int

    def findings(self) -> list[Finding]:
        """What is wrong with that."""
        words = ", ".join(f"'{column}'" for column in self.columns)
        if self.role == "keys" and self.twice:
            where = f", {self.apart} of them in two splits" if self.apart else ""
            return [Finding(True, f"key {words} does not identify a row: {self.twice} rows repeat one{where}")]
        if self.apart:
            return [Finding(True, f"{self.apart} values of {words} are in more than one of {', '.join(SPLITS)}")]
        return []


class LeakageChecks:
    """Looks at what columns say of the label and of the future.

    :param columns: logical types of the columns that are learned from, by name.
    :param time: the row's time, or ''.
    """

    def __init__(self, columns: Mapping[str, str], time: str) -> None:
        self._time = time
        self._rows = 0
        self._suspects = {name: _Suspect(name, kind) for name, kind in columns.items()}
        self._moments = [name for name, kind in columns.items() if kind in ("timestamp", "date") and name != time]
        self._newer = dict.fromkeys(self._moments, 0)

    def add(self, batch: pa.RecordBatch, labels: NDArray[np.float32]) -> None:
        """Look at rows."""
        self._rows += batch.num_rows
        for suspect in list(self._suspects.values()):
            if not suspect.add(batch, labels):
                del self._suspects[suspect.name]
        if self._time and self._moments:
            now = moments_of(batch, self._time)
            for name in self._moments:
                values = batch.column(name)
                present = ~np.asarray(values.is_null())
                then = moments_of(batch.select([name]).filter(pa.array(present)), name)
                self._newer[name] += int(np.count_nonzero(then > now[present]))

    def merge(self, other: LeakageChecks) -> None:
        """Take in what other checks have seen of other rows."""
        self._rows += other._rows
        for suspect in list(self._suspects.values()):
            theirs = other._suspects.get(suspect.name)
            if theirs is None or not suspect.merge(theirs):
                del self._suspects[suspect.name]
        for name, rows in other._newer.items():
            self._newer[name] += rows

    def finish(self) -> list[Finding]:
        """What was found."""
        found = [finding for suspect in self._suspects.values() if (finding := suspect.finding()) is not None]
        for name, rows in self._newer.items():
            if rows:
                text = f"column '{name}' is later than '{self._time}' in {rows} of {self._rows} rows"
                found.append(Finding(False, text))
        return found


class _Suspect:
    """Whether each value of a column goes with one label only."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self._kind = kind
        self._labels: dict[int, list[int]] = {}

    def add(self, batch: pa.RecordBatch, labels: NDArray[np.float32]) -> bool:
        """Look at rows; false when the column is beyond suspicion."""
        column = Column(self.name, batch.column(self.name), self._kind, "null")
        # So many rows that hardly repeat a value have more than a few different ones for sure.
        if len(column.distinct) > (_FEW if column.codes is not None else 2 * _FEW):
            return False
        keys = np.append(hash_strings(column.texts(), SEED), np.uint64(hash_bytes(NULL_BYTES, SEED)))
        codes = column.codes
        if codes is None:
            codes = column.spread(np.arange(len(column.distinct)), len(column.distinct))
        rows = np.bincount(codes, minlength=len(keys))
        positives = np.bincount(codes, labels, len(keys)).astype(np.int64)
        found = zip(keys.tolist(), positives.tolist(), rows.tolist(), strict=True)
        return self._take((key, all_rows - positive, positive) for key, positive, all_rows in found if all_rows)

    def merge(self, other: _Suspect) -> bool:
        """Take in what another one has seen of the same column; false when it is beyond suspicion."""
        return self._take((key, rows[0], rows[1]) for key, rows in other._labels.items())

    def _take(self, found: Iterable[tuple[int, int, int]]) -> bool:
        """Rows of a value with label 0 and with label 1, for some values."""
        for key, negative, positive in found:
            seen = self._labels.setdefault(key, [0, 0])
            seen[0] += negative
            seen[1] += positive
            if seen[0] and seen[1]:
                return False
        return len(self._labels) <= _FEW

    def finding(self) -> Finding | None:
        """What the column is guilty of."""
        explained = [positives for _, positives in self._labels.values() if positives]
        if len(self._labels) == len(explained) or not explained:
            return None
        if len(self._labels) == 2:
            return Finding(True, f"column '{self.name}' is the label in other words: it must not be a feature")
        if sum(explained) >= _ROWS_PER_VALUE * len(explained):
            return Finding(
                False, f"each value of column '{self.name}' goes with one label only: does it know the future?"
            )
        return None
