"""The first lines that run on a worker. They travel by value, because this package may not be installed there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

ARCHIVE = "mlfeat_package"


def worker_function(entry: str, *arguments: Any) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """A function for ``mapInArrow`` that calls `entry` of the tasks' module with `arguments` and the batches.

    An argument that is the text ``partition`` becomes the number of Spark's partition.
    """

    def run(batches: Iterable[Any]) -> Iterator[Any]:
        import importlib
        import sys
        from pathlib import Path

        name = "airflow_provider_mlfeat.engine.spark_tasks"
        try:
            tasks = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("airflow_provider_mlfeat"):
                raise
            from pyspark import SparkFiles

            for folder in (Path.cwd(), Path(SparkFiles.getRootDirectory())):
                if (folder / ARCHIVE).is_dir():
                    sys.path.insert(0, str(folder / ARCHIVE))
                    break
            tasks = importlib.import_module(name)
        from pyspark import TaskContext

        context = TaskContext.get()
        place = context.partitionId() if context is not None else 0
        return getattr(tasks, entry)(*(place if item == "partition" else item for item in arguments), batches)  # type: ignore[no-any-return]

    return run
