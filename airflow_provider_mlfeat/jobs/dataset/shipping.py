"""Bringing the code of datasets to Spark's workers, where this package may not be installed.

Not the archive that a feature query ships: that one holds compiled kernels, which have to lie in a folder and take a
compilation to make, and its first lines travel by value to find that folder. A task of a dataset travels as an object,
whose module Python has to find before any line of it runs: a zip file on the workers' path does that.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat import files

# What workers need of the package: the encoder and what counts and writes rows.
_SHIPPED = ("__init__.py", "errors.py", "files.py", "dataset")
# Set on a session that has it already.
_MARK = "_mlfeat_dataset_shipped"
_TIME = (1980, 1, 1, 0, 0, 0)


def ship_dataset_room(spark: Any) -> None:
    """Give the workers of a session the code, once; they need numpy, pyarrow and xxhash of their own."""
    if not getattr(spark, _MARK, False):
        spark.addArtifacts(str(dataset_room_archive()), pyfile=True)
        setattr(spark, _MARK, True)


def dataset_room_archive(folder: Path | None = None) -> Path:
    """The code as a zip file; made once per state of the source."""
    root = Path(files.__file__).parent
    parts = [root / name for name in _SHIPPED]
    sources = sorted(source for part in parts for source in ([part] if part.is_file() else part.rglob("*.py")))
    texts = {f"{root.name}/{source.relative_to(root).as_posix()}": source.read_text("utf-8") for source in sources}
    digest = files.digest_text(files.canonical_json(texts))[:16]
    target = (folder or Path(tempfile.gettempdir()) / f"mlfeat-{os.getuid()}") / f"mlfeat_dataset-{digest}.zip"
    if not target.is_file():
        with files.staged_file(target) as staging, zipfile.ZipFile(staging, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts.items():
                archive.writestr(zipfile.ZipInfo(name, _TIME), text)
    return target
