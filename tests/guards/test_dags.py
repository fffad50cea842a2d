"""Every example DAG is one that a user may copy."""

from __future__ import annotations

import ast
import importlib
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parent.parent.parent
DAGS = sorted((ROOT / "dags").rglob("*.py"))
PAGES = sorted(path for path in (ROOT / "docs" / "operators").glob("*.md") if path.name != "index.md")


@pytest.fixture(scope="module")
def dagbag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return DagBag(str(ROOT / "dags"), load_op_links=False)


def test_all_files_import(dagbag: Any) -> None:
    assert dagbag.import_errors == {}
    assert {Path(dag.fileloc) for dag in dagbag.dags.values()} == set(DAGS)


def test_every_dag_explains_itself(dagbag: Any) -> None:
    for dag in dagbag.dags.values():
        assert dag.doc_md, dag.dag_id
        assert dag.description, dag.dag_id
        assert "mlfeat" in dag.tags, dag.dag_id
        assert all(task.retries >= 1 for task in dag.tasks), dag.dag_id
        assert all(task.owner == "mlfeat" for task in dag.tasks), dag.dag_id


@pytest.mark.parametrize("file", DAGS, ids=lambda path: path.name)
def test_a_dag_imports_what_is_public(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [name.name for name in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            assert not module.startswith(("airflow.models", "airflow.utils", "airflow.hooks")), module
            ours = module.partition(".")[2] if module.startswith("airflow_provider_mlfeat") else "operators"
            assert ours.partition(".")[0] in ("operators", "sensors", "triggers"), module


def test_the_form_of_every_dag_can_be_sent_as_it_opens(dagbag: Any) -> None:
    """Airflow's form wants something in every text field that may not be null."""
    for dag in dagbag.dags.values():
        for name in dag.params:
            kinds = dag.params.get_param(name).schema["type"]
            if "null" not in kinds:
                assert dag.params[name] not in ("", None), (dag.dag_id, name)


def public_classes() -> set[str]:
    """The operators and sensors that Airflow is told of, but for those that others are made from."""
    from airflow.sdk import BaseOperator

    info = get_provider_info()
    names = {name for kind in ("operators", "sensors") for group in info[kind] for name in group["python-modules"]}
    ours = {
        value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and issubclass(value, BaseOperator) and value.__module__ in names
    }
    return {one.__name__ for one in ours if not any(issubclass(other, one) for other in ours - {one})}


def test_every_operator_and_sensor_has_an_example(dagbag: Any) -> None:
    used = {task.task_type for dag in dagbag.dags.values() for task in dag.tasks}
    assert len(public_classes()) > 30
    assert public_classes() - used == set()


def test_an_example_is_short_and_says_what_it_shows() -> None:
    for file in DAGS:
        if file.parent.name == "examples":
            text = file.read_text()
            assert len(text.splitlines()) <= 60, file.name
            assert f'dag_id="example_{file.stem}"' in text
            assert (ROOT / "docs" / "operators" / f"{file.stem}.md") in PAGES, file.name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_code_of_a_page_is_that_of_an_example(page: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    snippet = re.search(r'^--8<-- "(dags/\S+\.py):(\w+)"$', blocks[0], re.MULTILINE)
    assert snippet, f"{page.name} shows no example of dags/"
    example = (ROOT / snippet[1]).read_text()
    assert f"# --8<-- [start:{snippet[2]}]" in example
    shown = example.partition(f"[start:{snippet[2]}]")[2].partition("# --8<-- [end:")[0]
    for name in re.findall(r"\w+(?:Operator|Sensor)\b", page.read_text().splitlines()[0]):
        assert f"{name}(" in shown or f"{name}.partial(" in shown, name
    for line in blocks[0].splitlines():
        assert line.startswith("--8<--") or line in example.splitlines(), line
