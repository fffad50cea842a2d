"""Golden rows: inputs with the outputs that the trainer gave, so that every server of the model can prove itself.

They are real rows of an evaluation split, with their raw features beside them: a server can replay the whole way from
features to the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 128
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Golden:
    """Rows with known outputs.

    :param ids: int64, a row per row.
    :param values: float32, a row per row.
    :param outputs: float32 probabilities.
    """

    ids: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    outputs: npt.NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write the arrays to one file, in one step."""
        with files.staged_file(path) as staging, staging.open("wb") as file:
            np.savez(file, ids=self.ids, values=self.values, outputs=self.outputs)

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read the arrays; nothing in the file is run."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(arrays["ids"], arrays["values"], arrays["outputs"])
        except (OSError, KeyError, ValueError) as error:
            raise UserError(f"{path} holds no golden rows: {error}") from None

    def compare(self, outputs: npt.NDArray[np.float32], place: str) -> float:
        """The largest difference to `outputs`; raises UserError where it is more than the tolerance."""
        if outputs.shape != self.outputs.shape:
            raise UserError(f"{place} gives {outputs.shape} scores for {self.outputs.shape} golden rows")
        difference = np.abs(outputs.astype(np.float64) - self.outputs)
        worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
        largest = float(difference[worst])
        if not largest <= TOLERANCE:
            raise UserError(
                f"{place} gives {outputs[worst]:.7g} for golden row {worst}, where the trained model gave "
                f"{self.outputs[worst]:.7g}"
            )
        return largest


def choose_rows(labels: npt.NDArray[np.float32], seed: int = 0) -> npt.NDArray[np.int64]:
    """Rows of a split that stand for it: up to `MOST_ROWS`, in order, half of them positive where there are so many."""
    random = np.random.default_rng(seed)
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels != 1)
    half = MOST_ROWS // 2
    wanted = min(len(positives), max(half, MOST_ROWS - len(negatives)))
    chosen = [
        random.choice(positives, wanted, replace=False),
        random.choice(negatives, min(len(negatives), MOST_ROWS - wanted), replace=False),
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def write_features(path: Path, features: pa.Table, rows: npt.NDArray[np.int64]) -> None:
    """Write the raw features of golden rows."""
    import pyarrow.parquet as pq

    with files.staged_file(path) as staging:
        pq.write_table(features.take(rows), staging)
