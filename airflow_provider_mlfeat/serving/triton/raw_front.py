"""A model beside the model that takes raw features: it encodes inside the server and asks the same version there.

Why not an ensemble of Triton's: loading one reads the configuration files of its parts anew, over what was loaded; and
where a part's version is missing, the ensemble that served before is gone as well. Here each version asks its own
version of the model, and goes live and comes back as every model does.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import MlfeatError, UserError
from airflow_provider_mlfeat.serving.triton.configuration import Tuning
from airflow_provider_mlfeat.serving.triton.model_folder import MANIFEST, RAW_FEATURES, ServedModel
from airflow_provider_mlfeat.serving.triton.rollout import Rollout

if TYPE_CHECKING:
    from airflow_provider_mlfeat.serving.triton.live_state import LiveState

log = logging.getLogger("mlfeat.job")
SUFFIX = "_raw"
_GOLDEN_FEATURES = "golden_features.parquet"


class RawFront:
    """The raw features' model of a model; it changes in step with it.

    :param rollout: of the model.
    :param scratch: a folder for what is made on the way.
    :param wanted: whether to bring one live; one that is live already goes on in step.
    """

    def __init__(self, rollout: Rollout, scratch: Path, wanted: bool = False) -> None:
        self.scratch = scratch
        self.rollout = Rollout(
            rollout.directory.repository.model(rollout.name + SUFFIX),
            rollout.fleet,
            rollout.watcher,
            rollout.check,
            rollout.patience,
        )
        self._asks, self._asked_for = rollout.name, wanted

    @cached_property
    def before(self) -> LiveState:
        """What was. Looked at when it is needed first, which is under the model's lock: before it another one works."""
        return self.rollout.directory.state()

    @property
    def wanted(self) -> bool:
        """Whether there is, or is to be, a front."""
        return self._asked_for or self.before.live is not None

    def deploy(self, model: ServedModel, version: int, tuning: Tuning, **options: Any) -> None:
        """Bring the front of a version live; the version itself is loaded, and proven.

        :param model: the trained model.
        :param version: its number, here and there.
        :param tuning: how servers run the model.
        :param options: ``keep``, ``keep_files``, ``tolerance`` and ``origin``, as for the model.
        """
        if not self.wanted:
            return
        made = write_front(model, self._asks, self.scratch / "raw_features")
        environment = tuning.environment if tuning.backend == "python" else None
        own = replace(tuning, backend="python", gpus=(), threads=1, environment=environment)
        self.rollout.deploy(made, version, tuning=own, **options)

    def roll_back(self, version: int, reason: str) -> None:
        """Go back in step with the model; a version that never had a front leaves none.

        :param version: the version to go back to.
        :param reason: why, for the record.
        """
        if not self.wanted:
            return
        if self.rollout.directory.manifest(version) is None:
            log.warning("version %d of '%s' takes no raw features: '%s' goes", version, self._asks, self.rollout.name)
            self.rollout.unload()
        else:
            self.rollout.roll_back(version, reason)

    def unload(self, version: int | None) -> None:
        """Go with the model, or let go a version with it.

        :param version: the version; None is the whole model.
        """
        if self.wanted and (version is None or version in self.before.loaded):
            self.rollout.unload(version)

    def settle(self) -> None:
        """Wait until the versions that were let go have answered their last request: they still ask the model."""
        if not self.wanted:
            return
        loaded = frozenset(self.rollout.directory.state().loaded)
        try:
            self.rollout.wait_gone(loaded, min(10.0, self.rollout.patience.load_seconds), reachable=True)
        except MlfeatError as error:
            log.warning("'%s': %s", self.rollout.name, error)

    def undo(self) -> None:
        """Bring back what was, after the model's own change failed."""
        if not self.wanted or self.rollout.directory.state().live == self.before.live:
            return
        try:
            if self.before.live is None:
                self.rollout.unload()
            else:
                self.rollout.roll_back(self.before.live, "the model's own change failed")
        except MlfeatError as error:
            log.warning("'%s' is not brought back: %s", self.rollout.name, error)


def write_front(model: ServedModel, asks: str, folder: Path) -> ServedModel:
    """Make a front as a model folder of its own, with golden rows of raw features.

    :param model: the trained model.
    :param asks: the model's name in Triton.
    :param folder: the folder to make.
    """
    import numpy as np
    import pyarrow.parquet as pq

    from airflow_provider_mlfeat.dataset.encoder import Encoder
    from airflow_provider_mlfeat.registry.portable_code import encoder_package

    encoder_file = model.folder / str(model.manifest.get("encoder") or "encoder.bin")
    for path in (encoder_file, model.folder / _GOLDEN_FEATURES):
        if not path.is_file():
            raise UserError(f"'{model.folder}' has no {path.name}, which a model on raw features needs")
    golden, encoder = model.golden_rows(), Encoder.load(encoder_file)
    table = pq.read_table(model.folder / _GOLDEN_FEATURES)
    if missing := [name for name in encoder.columns if name not in table.schema.names]:
        raise UserError(f"{model.folder / _GOLDEN_FEATURES} lacks column '{missing[0]}', which the encoder reads")
    rows = [row_text(row) for row in table.select(list(encoder.columns)).to_pylist()]
    if len(rows) != len(golden):
        raise UserError(f"'{model.folder}' has {len(rows)} rows of golden features for {len(golden)} golden rows")
    encoded = encoder.encode(table)
    files.remove(folder)
    folder.mkdir(parents=True)
    package = encoder_package(folder)
    _zip(package, folder / "encoder_code.zip")
    shutil.rmtree(package)
    shutil.copyfile(encoder_file, folder / "encoder.bin")
    np.savez(
        folder / "golden.npz",
        features=np.array(rows, dtype=bytes).reshape(-1, 1),
        ids=encoded.ids.astype(np.int64),
        values=encoded.values,
        outputs=golden.outputs,
    )
    described = {"asks": asks, "package": package.name, "inputs": [tensor.name for tensor in model.inputs]}
    (folder / "front.json").write_text(json.dumps(described), encoding="utf-8")
    manifest = {
        **model.manifest,
        "kind": RAW_FEATURES,
        "inputs": [{"name": "FEATURES", "dtype": "BYTES", "shape": [1]}],
        "files": {path.name: files.digest_file(path) for path in sorted(folder.iterdir())},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return ServedModel.open(str(folder))


def row_text(row: Mapping[str, Any]) -> bytes:
    """A row of features as a front takes it: JSON, with points in time as milliseconds since 1970.

    :param row: Python values by column.
    """
    return json.dumps({name: _plain(value) for name, value in row.items()}, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    from airflow_provider_mlfeat.dataset.encoder.canonical import as_milliseconds

    if isinstance(value, datetime):
        return as_milliseconds(value, "")
    if isinstance(value, date | Decimal):
        return str(value)
    # What is no number is NULL, or the encoder refuses it anyway.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _zip(package: Path, target: Path) -> None:
    """The package as a zip file, the same bytes each time."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*.py")):
            entry = zipfile.ZipInfo(str(path.relative_to(package.parent)), (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
