"""A registered model where nothing of this project is: a fresh environment made from the model's own requirements."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from airflow_provider_mlfeat.registry.tracking import Tracking

# What a program elsewhere does: load the model from the registry by its name, give it rows, write what it says.
_PROGRAM = """
import sys
import mlflow, numpy, pandas

uri, given, target = sys.argv[1:]
assert not {"airflow", "airflow_provider_mlfeat", "torch"} & set(sys.modules)
model = mlflow.pyfunc.load_model(uri)
if given.endswith(".npz"):
    with numpy.load(given) as file:
        said = model.predict(dict(file))["OUTPUT_0"][:, 0]
else:
    said = model.predict(pandas.read_parquet(given))["score"].to_numpy()
numpy.save(target, said)
assert not {"airflow", "airflow_provider_mlfeat", "torch"} & set(sys.modules)
"""
_PIP_SECONDS, _PREDICT_SECONDS = 600, 120


class Elsewhere:
    """A fresh virtual environment with what a model's ``requirements.txt`` says, and nothing else.

    :param folder: where it is made.
    :param registry: the MLflow that the model comes from.
    """

    def __init__(self, folder: Path, registry: Tracking) -> None:
        self.folder, self.registry = folder, registry
        self.python = folder / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=_PIP_SECONDS)

    def install(self, uri: str) -> None:
        """Install what a model requires."""
        from mlflow.artifacts import download_artifacts

        with self.registry.client():
            place = Path(download_artifacts(uri, dst_path=tempfile.mkdtemp(dir=self.folder)))
        command = [str(self.python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile"]
        done = self._run([*command, "-r", str(place / "requirements.txt")], _PIP_SECONDS)
        if done.returncode and "from versions: none" in done.stderr:
            pytest.skip("no package index can be reached")
        assert done.returncode == 0, done.stderr[-3000:]

    def predict(self, uri: str, rows: Path) -> np.ndarray:
        """What a model says to rows.

        :param uri: as MLflow takes it.
        :param rows: a Parquet file of raw features, or ids and values as ``.npz``.
        """
        program, target = self.folder / "program.py", self.folder / f"{rows.stem}-{rows.suffix[1:]}.npy"
        program.write_text(_PROGRAM)
        done = self._run([str(self.python), str(program), uri, str(rows), str(target)], _PREDICT_SECONDS)
        assert done.returncode == 0, done.stderr[-3000:]
        found: np.ndarray = np.load(target)
        return found

    def _run(self, command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
        """Run a program with the machine's own variables, without a way to this project or another MLflow."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "MLFLOW_", "MLFEAT_", "AIRFLOW_", "VIRTUAL_ENV"))
        }
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds, cwd=self.folder,
            env={**kept, **self.registry.environment},
        )  # fmt: skip
