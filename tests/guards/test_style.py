"""House rules that no linter knows."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted((ROOT / "airflow_provider_mlfeat").rglob("*.py"))
LONGEST = 500


def public_classes(source: Path) -> list[ast.ClassDef]:
    nodes = ast.parse(source.read_text()).body
    return [node for node in nodes if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_public_class_says_what_it_is_and_takes(source: Path) -> None:
    for node in public_classes(source):
        doc = ast.get_docstring(node) or ""
        assert doc, f"{node.name} has no docstring"
        constructors = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        for argument in [a for c in constructors for a in (*c.args.args[1:], *c.args.kwonlyargs)]:
            assert f":param {argument.arg}:" in doc, f"{node.name} does not document '{argument.arg}'"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_read_in_one_sitting(source: Path) -> None:
    assert len(source.read_text().splitlines()) <= LONGEST


def operators() -> list[type]:
    """Every operator and sensor class."""
    found = []
    for room in ("operators", "sensors"):
        for source in sorted((ROOT / "airflow_provider_mlfeat" / room).glob("[a-z]*.py")):
            module = import_module(f"airflow_provider_mlfeat.{room}.{source.stem}")
            found += [
                value
                for value in vars(module).values()
                if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "execute")
            ]
    return found


@pytest.mark.parametrize("operator", operators(), ids=lambda operator: operator.__name__)
def test_templated_fields_are_arguments_and_marked(operator: type) -> None:
    documentation = "\n".join(inspect.getdoc(base) or "" for base in operator.__mro__)
    for field in operator.template_fields:  # type: ignore[attr-defined]
        pattern = rf":param {field}:(?:(?!:param).)*\(templated\)"
        assert re.search(pattern, documentation, re.DOTALL), f"{field} of {operator.__name__} is not marked (templated)"
