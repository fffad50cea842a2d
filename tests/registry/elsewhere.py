"""A registered model where nothing of this project is: a fresh environment made from the model's own requirements."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

# What a program elsewhere does: load the model from the registry by its name, give it rows, write what it says.
_PROGRAM = """
import json, sys
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
print(json.dumps({"mlflow": mlflow.__version__, "rows": len(said)}))
"""
_PIP_SECONDS, _PREDICT_SECONDS = 600, 120


class Elsewhere:
    """A fresh virtual environment with what a model's ``requirements.txt`` says, and nothing else.

    :param folder: where it is made.
    :param requirements: the model's file.
    """

    def __init__(self, folder: Path, requirements: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=_PIP_SECONDS)
        command = [str(self.python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        done = subprocess.run(
            [*command, "-r", str(requirements)],
            capture_output=True, text=True, check=False, timeout=_PIP_SECONDS, env=_plain_environment(),
        )  # fmt: skip
        if done.returncode and "Could not find a version" in done.stderr and "from versions: none" in done.stderr:
            pytest.skip("no package index can be reached")
        assert done.returncode == 0, done.stderr[-3000:]

    def predict(self, uri: str, given: Path, environment: Mapping[str, str]) -> Path:
        """What the model of a URI says to rows: a Parquet file of raw features, or ids and values as ``.npz``.

        :param uri: as MLflow takes it.
        :param given: the rows.
        :param environment: the variables that name the MLflow.
        """
        program, target = self.folder / "program.py", self.folder / f"{given.stem}-{given.suffix[1:]}.npy"
        program.write_text(_PROGRAM)
        done = subprocess.run(
            [str(self.python), str(program), uri, str(given), str(target)],
            capture_output=True, text=True, check=False, timeout=_PREDICT_SECONDS, cwd=self.folder,
            env={**_plain_environment(), **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert json.loads(done.stdout.splitlines()[-1])["rows"] > 0
        return target


def _plain_environment() -> dict[str, str]:
    """The machine's own, without a way to this project's packages or another MLflow."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "MLFLOW_", "MLFEAT_", "AIRFLOW_", "VIRTUAL_ENV"))
    }
