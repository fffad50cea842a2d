"""Sessions of Spark: making one, its options, and bringing this package with its compiled kernels to the workers."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.engine.spark_bootstrap import ARCHIVE

PACKAGE = "airflow_provider_mlfeat"
# What workers need of the package: plans, functions and kernels, but neither parser nor operators.
SHIPPED = ("__init__.py", "errors.py", "sql", "engine")
WARM_UP = "import airflow_provider_mlfeat.engine.spark_tasks, airflow_provider_mlfeat.engine.batch"


def make_session(master: str | None, time_zone: str, options: dict[str, str] | None = None) -> Any:
    """A session on `master`: ``local[*]`` (the default), ``spark://…``, or Spark Connect at ``sc://…``.

    Python workers run the interpreter that runs now, unless PYSPARK_PYTHON says otherwise.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    master = master or "local[*]"
    builder = SparkSession.builder.appName("mlfeat")
    builder = builder.remote(master) if master.startswith("sc://") else builder.master(master)
    settings = {"spark.sql.session.timeZone": time_zone}
    if master.startswith("local"):
        settings |= {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
        }
    for name, value in {**settings, **(options or {})}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def is_connect(spark: Any) -> bool:
    """Whether a session is a Spark Connect client, which has no JVM of its own."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def parallelism(spark: Any) -> int:
    """How many tasks can run at once, as far as the session tells.

    A Spark Connect client is told nothing of the cluster, so the server is asked once into how many partitions it cuts
    a range of numbers. Guessing too many costs a tenth of a second for each Python task that has nothing to do.
    """
    if not is_connect(spark):
        return int(spark.sparkContext.defaultParallelism)
    known = getattr(spark, _SLOTS, None)
    if known is None:
        from pyspark.sql import functions

        places = spark.range(_ENOUGH_NUMBERS).select(functions.spark_partition_id().alias("place"))
        known = 1 + int(places.agg(functions.max("place")).collect()[0][0])
        setattr(spark, _SLOTS, known)
    return int(known)


# Set on a session that has the package already, and on one whose server has said how many tasks can run at once.
_SHIPPED, _SLOTS = "_mlfeat_shipped", "_mlfeat_slots"
# More numbers than any cluster has slots, so that each of them gets some.
_ENOUGH_NUMBERS = 100_000


def needs_package(spark: Any) -> bool:
    """Whether workers run on other machines, where this package may be absent."""
    return is_connect(spark) or not str(spark.sparkContext.master).startswith("local")


def ship_package(spark: Any) -> None:
    """Give the workers this package with its kernels' cache, once per session."""
    if getattr(spark, _SHIPPED, False):
        return
    archive = package_archive()
    spark.addArtifacts(f"{archive}#{ARCHIVE}", archive=True)
    setattr(spark, _SHIPPED, True)


def package_archive(folder: Path | None = None) -> Path:
    """An archive of the package and of its kernels as machine code; made once per state of the source.

    numba keeps its code beside the source and trusts it while the source has the time and size that it had. So the
    archive is made from a copy whose times are whole seconds, which every archive format keeps, and the code is made
    by importing that copy.
    """
    root = Path(__file__).resolve().parents[1]
    sources = sorted(path for part in SHIPPED for path in _python_files(root / part))
    digest = hashlib.sha256()
    for path in sources:
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    folder = folder or Path(tempfile.gettempdir()) / f"mlfeat-{os.getuid()}"
    target = folder / f"{ARCHIVE}-{digest.hexdigest()[:16]}.tar.gz"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        copy = Path(aside) / "package"
        for path in sources:
            place = copy / PACKAGE / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            os.utime(place, (1_000_000_000, 1_000_000_000))
        environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        environment["PYTHONPATH"] = str(copy)
        subprocess.run([sys.executable, "-c", WARM_UP], env=environment, cwd=aside, check=True)
        packed = Path(aside) / "packed.tar.gz"
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(copy, arcname=".")
        packed.replace(target)
    return target


def _python_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("*.py"))
