"""The DAG processor imports our face again for every DAG file: it has to be light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "airflow_provider_mlfeat"
DAGS = sorted((ROOT / "dags").glob("*.py"))
FACE = ("hooks", "operators", "sensors", "triggers", "links", "plugins")
HEAVY = ("docker", "feast", "mlflow", "numba", "onnxruntime", "pandas", "pyarrow", "pyspark", "redis", "sqlglot")
HEAVY += ("torch", "tritonclient", "deltalake", "numpy")
BUDGET_SECONDS = 0.1
DAG_BUDGET_SECONDS = 0.5
# Only the API server loads the pages, and it has its web framework by then.
PAGES = ["airflow_provider_mlfeat.plugins.job_pages"]

# One process loads what Airflow's own processes have loaded before they import a provider, and forks a child for each
# measurement: all start from the same state, and Airflow's cost is paid once.
PROGRAM = """
import json, os, runpy, sys, time
from importlib import import_module
from airflow.sdk import BaseOperator, BaseHook, BaseOperatorLink, ResumableJobMixin, Asset, DAG, Param
import airflow.triggers.base, airflow.exceptions, airflow.plugins_manager, pendulum

def fork_and_measure(work):
    receive, send = os.pipe()
    if os.fork() == 0:
        before, modules = time.process_time(), set(sys.modules)
        work()
        spent = time.process_time() - before
        new = sorted({name.partition(".")[0] for name in set(sys.modules) - modules})
        os.write(send, json.dumps([spent, new]).encode())
        os._exit(0)
    os.close(send)
    os.wait()
    with os.fdopen(receive) as answer:
        return json.loads(answer.read())

def best(work):
    return min(fork_and_measure(work) for _ in range(3))

asked = json.loads(sys.stdin.read())
results = {name: best(lambda: import_module(name)) for name in asked["modules"]}
results |= {path: best(lambda: runpy.run_path(path)) for path in asked["files"]}
import airflow.api_fastapi.core_api.security
results |= {name: best(lambda: import_module(name)) for name in asked["pages"]}
print(json.dumps(results))
"""

Measured = dict[str, tuple[float, list[str]]]


def face_modules() -> list[str]:
    """Every public module of the face."""
    files = [path for room in FACE for path in (PACKAGE / room).rglob("*.py")]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files}
    return sorted(names | {"airflow_provider_mlfeat", "airflow_provider_mlfeat.get_provider_info"})


@pytest.fixture(scope="module")
def measured() -> Measured:
    """CPU seconds and new top-level modules of each import and DAG file; the best of three."""
    asked = {
        "modules": [name for name in face_modules() if name not in PAGES],
        "files": [str(path) for path in DAGS],
        "pages": PAGES,
    }
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results: Measured = json.loads(done.stdout.splitlines()[-1])
    for name, (spent, _) in results.items():
        print(f"{spent:.3f} s  {name}")
    return results


@pytest.mark.parametrize("module", face_modules())
def test_a_module_of_the_face_is_light(measured: Measured, module: str) -> None:
    spent, modules = measured[module]
    assert not set(modules) & set(HEAVY)
    assert spent <= BUDGET_SECONDS, f"{module} took {spent:.3f} s of CPU"


@pytest.mark.parametrize("file", DAGS, ids=lambda path: path.name)
def test_a_dag_file_parses_fast(measured: Measured, file: Path) -> None:
    spent, modules = measured[str(file)]
    assert not set(modules) & set(HEAVY)
    assert spent <= DAG_BUDGET_SECONDS, f"{file.name} took {spent:.3f} s of CPU"
