"""A dataset on disk, opened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.dataset.encoder import ENCODER_FILE, Encoder
from airflow_provider_mlfeat.dataset.manifest import Manifest
from airflow_provider_mlfeat.errors import UserError

IDS_FILE, VALUES_FILE, LABELS_FILE, FEATURES_FILE = "ids.npy", "values.npy", "labels.npy", "features.parquet"


@dataclass(frozen=True)
class SplitData:
    """The rows of one split, mapped into memory; nothing is read before it is touched.

    :param ids: int32 [rows, id fields], dense for each field.
    :param values: float32 [rows, value fields].
    :param labels: float32 [rows], 0 or 1.
    """

    ids: NDArray[np.int32]
    values: NDArray[np.float32]
    labels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A dataset's folder.

    :param folder: where it is.
    :param manifest: what it holds.
    """

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: str | Path) -> Dataset:
        """Look at a folder; raises UserError when it is no whole dataset, or its encoder is another one."""
        path = Path(str(folder).removeprefix("file://"))
        if "://" in str(folder) and not str(folder).startswith("file://"):
            raise UserError(f"'{folder}' is in an object store; datasets are read from local or mounted folders")
        dataset = cls(path, Manifest.read(path))
        for name, file in dataset.manifest.files.items():
            if not (path / name).is_file():
                raise UserError(f"dataset {path} is damaged: {name} is missing")
            if (path / name).stat().st_size != file["size"]:
                raise UserError(f"dataset {path} is damaged: {name} is not of the size that it was written with")
        if dataset.encoder.fingerprint != dataset.manifest.encoder_fingerprint:
            raise UserError(
                f"dataset {path} was made by encoder {dataset.manifest.encoder_fingerprint[:12]}, and the encoder "
                f"beside it is {dataset.encoder.fingerprint[:12]}: build the dataset again"
            )
        return dataset

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder that made its numbers."""
        return Encoder.load(self.folder / ENCODER_FILE)

    def split(self, name: str) -> SplitData:
        """The rows of ``train``, ``valid`` or ``test``."""
        self._check_name(name)
        folder = self.folder / name
        matrices = [np.load(folder / file, mmap_mode="r") for file in (IDS_FILE, VALUES_FILE, LABELS_FILE)]
        return SplitData(*matrices)

    def features(self, name: str) -> pa.Table:
        """The columns that the rows of ``valid`` or ``test`` were encoded from, in the order of the rows."""
        self._check_name(name)
        path = self.folder / name / FEATURES_FILE
        if not path.exists():
            raise UserError(f"split '{name}' keeps no features; valid and test do")
        return pq.read_table(path)

    def check(self) -> None:
        """Read every file again and compare it with the manifest; raises UserError for the first that differs."""
        for name, file in self.manifest.files.items():
            if files.digest_file(self.folder / name) != file["sha256"]:
                raise UserError(f"dataset {self.folder} is damaged: the contents of {name} were changed")

    def _check_name(self, name: str) -> None:
        if name not in self.manifest.rows:
            raise UserError(f"there is no split '{name}': there are {', '.join(self.manifest.rows)}")
