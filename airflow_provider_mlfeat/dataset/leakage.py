"""What would make a model look better than it is: rows in two splits, columns that know the label or the future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.encoder import SEED
from airflow_provider_mlfeat.dataset.encoder.columns import Column
from airflow_provider_mlfeat.dataset.encoder.hashing import NULL_BYTES, hash_bytes, hash_strings
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


class LeakageChecks:
    """Looks at all rows once, and says what it found.

    :param columns: logical types of the columns that are learned from, by name.
    :param kinds: logical types of the columns with a role, by name.
    :param keys: columns that identify a row.
    :param groups: columns whose values together must stay in one split.
    :param time: the row's time, or ''.
    :param rows: of the table.
    :param scratch: a folder for files of eight bytes a row.
    """

    def __init__(
        self,
        columns: Mapping[str, str],
        kinds: Mapping[str, str],
        keys: Sequence[str],
        groups: Sequence[str],
        time: str,
        rows: int,
        scratch: Path,
    ) -> None:
        self._kinds, self._time = dict(kinds), time
        self._logs = {
            name: (tuple(there), np.memmap(scratch / name, np.uint64, "w+", shape=(rows,)))
            for name, there in (("keys", keys), ("groups", groups))
            if there
        }
        self._place = 0
        self._suspects = {name: _Suspect(name, kind) for name, kind in columns.items()}
        self._moments = [name for name, kind in columns.items() if kind in ("timestamp", "date") and name != time]
        self._newer = dict.fromkeys(self._moments, 0)

    def add(self, batch: pa.RecordBatch, labels: NDArray[np.float32], splits: NDArray[np.int8]) -> None:
        """Look at rows."""
        for columns, log in self._logs.values():
            keys = combined_keys(batch, columns, self._kinds, SEED)
            log[self._place : self._place + len(keys)] = (keys >> _SPLIT_BITS << _SPLIT_BITS) | splits.astype(np.uint64)
        self._place += batch.num_rows
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

    def finish(self) -> list[Finding]:
        """What was found."""
        found = [finding for suspect in self._suspects.values() if (finding := suspect.finding()) is not None]
        for name, rows in self._newer.items():
            if rows:
                found.append(
                    Finding(False, f"column '{name}' is later than '{self._time}' in {rows} of {self._place} rows")
                )
        return [*self._repeated(), *found]

    def _repeated(self) -> list[Finding]:
        found = []
        for name, (columns, log) in self._logs.items():
            log.sort()
            same = (log[1:] >> _SPLIT_BITS) == (log[:-1] >> _SPLIT_BITS)
            apart = int(np.count_nonzero(same & (log[1:] != log[:-1])))
            words = ", ".join(f"'{column}'" for column in columns)
            if name == "keys" and (twice := int(np.count_nonzero(same))):
                where = f", {apart} of them in two splits" if apart else ""
                found.append(Finding(True, f"key {words} does not identify a row: {twice} rows repeat one{where}"))
            elif apart:
                found.append(Finding(True, f"{apart} values of {words} are in more than one of {', '.join(SPLITS)}"))
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
        if column.codes is None or len(column.distinct) > _FEW:
            return False
        keys = np.append(hash_strings(column.texts(), SEED), np.uint64(hash_bytes(NULL_BYTES, SEED)))
        rows = np.bincount(column.codes, minlength=len(keys))
        positives = np.bincount(column.codes, labels, len(keys)).astype(np.int64)
        for key, positive, all_rows in zip(keys.tolist(), positives.tolist(), rows.tolist(), strict=True):
            if not all_rows:
                continue
            seen = self._labels.setdefault(key, [0, 0])
            seen[0] += all_rows - positive
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
