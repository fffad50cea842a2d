"""Every example DAG is one that a user may copy."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

DAGS = sorted((Path(__file__).resolve().parent.parent.parent / "dags").glob("*.py"))


@pytest.fixture(scope="module")
def dagbag() -> object:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS[0].parent), load_op_links=False)


def test_all_files_import(dagbag: object) -> None:
    assert dagbag.import_errors == {}  # type: ignore[attr-defined]
    assert {Path(dag.fileloc).name for dag in dagbag.dags.values()} == {path.name for path in DAGS}  # type: ignore[attr-defined]


def test_every_dag_explains_itself(dagbag: object) -> None:
    for dag in dagbag.dags.values():  # type: ignore[attr-defined]
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


def test_the_form_of_every_dag_can_be_sent_as_it_opens(dagbag: object) -> None:
    """Airflow's form wants something in every text field that may not be null."""
    for dag in dagbag.dags.values():  # type: ignore[attr-defined]
        for name in dag.params:
            kinds = dag.params.get_param(name).schema["type"]
            if "null" not in kinds:
                assert dag.params[name] not in ("", None), (dag.dag_id, name)
