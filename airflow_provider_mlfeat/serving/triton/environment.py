"""The Triton server that the nvidia-pytriton wheel carries, in a virtual environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_mlfeat.errors import UserError

ENVIRONMENT_VARIABLE = "MLFEAT_TRITON_ENVIRONMENT"
_FOLDER = ".venv-triton"
_PROJECT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class TritonEnvironment:
    """A virtual environment with the server's wheel and with what models import.

    :param folder: the environment.
    """

    folder: Path

    @classmethod
    def find(cls, folder: Path | None = None) -> TritonEnvironment:
        """The environment to use: the given one, ``$MLFEAT_TRITON_ENVIRONMENT``, or ``.venv-triton`` here.

        :param folder: the environment, when the caller knows it.
        :raises UserError: there is none, or it cannot run models.
        """
        named = folder or os.environ.get(ENVIRONMENT_VARIABLE)
        places = [Path(named)] if named else [Path.cwd() / _FOLDER, _PROJECT / _FOLDER]
        for place in places:
            environment = cls(place.absolute())
            if environment.binary.is_file():
                environment._require_numpy_one()
                return environment
        raise UserError(
            f"no Triton server in {' or '.join(map(str, places))}: 'make triton' installs one, and "
            f"{ENVIRONMENT_VARIABLE} names another place"
        )

    @property
    def packages(self) -> Path:
        """Where its packages are."""
        found = sorted(self.folder.glob("lib/python3.*/site-packages"))
        return found[0] if found else self.folder / "lib/python3/site-packages"

    @property
    def binary(self) -> Path:
        """The server."""
        return self._server / "bin" / "tritonserver"

    @property
    def caches(self) -> Path:
        """Where the response cache's implementation is."""
        return self._server / "caches"

    def lay_out_backends(self, target: Path) -> None:
        """Make a backend folder that the server can use: the wheel keeps the python backend's stub elsewhere.

        :param target: folder to make.
        """
        python = target / "python"
        python.mkdir(parents=True, exist_ok=True)
        version = self.packages.parent.name.removeprefix("python")
        stub = self._server / "python_backend_stubs" / version / "triton_python_backend_stub"
        if not stub.is_file():
            raise UserError(f"the Triton server in {self.folder} has no python backend for Python {version}")
        library = self._server / "backends" / "python" / "libtriton_python.so"
        # Links, not copies: a copied stub does not find its libraries.
        for source in (stub, library):
            link = python / source.name
            link.unlink(missing_ok=True)
            link.symlink_to(source)
        utilities = "triton_python_backend_utils.py"
        shutil.copyfile(self._server / "backends" / "python" / utilities, python / utilities)

    def variables(self) -> dict[str, str]:
        """The environment variables of the server's process."""
        python = self.folder / "bin" / "python"
        code = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
        libraries = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AIRFLOW"))}
        return {
            **kept,
            # The first libpython counts, and the stub takes its interpreter from the first python3 on PATH.
            "LD_LIBRARY_PATH": os.pathsep.join((libraries, str(self.packages / "nvidia_pytriton.libs"))),
            "PATH": os.pathsep.join((str(python.parent), kept.get("PATH", os.defpath))),
        }

    @property
    def _server(self) -> Path:
        return self.packages / "pytriton" / "tritonserver"

    def _require_numpy_one(self) -> None:
        """The server's python backend was built for numpy 1: with numpy 2 answers arrive empty, without any error."""
        versions = [path.name.split("-")[1] for path in self.packages.glob("numpy-*.dist-info")]
        if not versions:
            raise UserError(f"{self.folder} has no numpy, which models need: 'make triton' installs it")
        if any(not version.startswith("1.") for version in versions):
            raise UserError(
                f"{self.folder} has numpy {versions[0]}, with which this Triton returns empty answers: "
                "install numpy<2 there"
            )
