"""Make the rivals' virtual environments, each with pinned packages; prints nothing and does nothing when they exist.

Run `python tests/bench/make_rivals.py`. A rival that cannot be installed ends the bench with the installer's message:
it is missing, not beaten.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".mlfeat" / "bench" / "rivals"
RIVALS = {
    "duckdb": "duckdb==2.0.0",
    "spark": "pyspark==4.3.0",
    "pandas": "pandas==2.3.3 pyarrow==25.0.1",
    "deepctr": "deepctr-torch==0.3.0 requests==2.34.2 torch==2.13.0",
    "fuxictr": "fuxictr==2.3.10 ray[data]==2.60.0 torch==2.13.0",
}


def rival_python(name: str) -> Path:
    """The interpreter of a rival's environment, which is made when it is not there."""
    requirement = RIVALS[name]
    folder = FOLDER / requirement.partition(" ")[0].replace("==", "-")
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.is_file():
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, *requirement.split()], check=True, stdout=sys.stderr)
        complete.touch()
    return python


if __name__ == "__main__":
    for name in RIVALS:
        rival_python(name)
