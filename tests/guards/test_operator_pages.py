"""The pages of operators and sensors say what their constructors take, all of it, and nothing else."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted((ROOT / "docs" / "operators").glob("*.md"))
PACKAGE = "airflow_provider_mlfeat"
# What all share is told once, on the pages' index and by Airflow.
SHARED = ("JobOperator", "WaitingSensor")


def public_classes() -> dict[str, type]:
    """Operators and sensors by name; a class that others build on is no operator of its own."""
    found: dict[str, type] = {}
    for room in ("operators", "sensors"):
        for source in sorted((ROOT / PACKAGE / room).glob("[a-z]*.py")):
            module = import_module(f"{PACKAGE}.{room}.{source.stem}")
            found |= {
                name: value
                for name, value in vars(module).items()
                if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "execute")
            }
    bases = {base for one in found.values() for base in one.__mro__[1:]}
    return {name: value for name, value in found.items() if value not in bases}


CLASSES = public_classes()


def sections() -> dict[str, str]:
    """The text about each class: from the heading with its name to the next one. Several classes may share one."""
    found: dict[str, str] = {}
    for page in PAGES:
        parts = re.split(r"^#+ ([\w, ]+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for heading, text in zip(parts[1::2], parts[2::2], strict=True):
            found |= {name: text for name in heading.split(", ") if name in CLASSES}
    return found


SECTIONS = sections()


def table_of(name: str) -> dict[str, bool]:
    """The arguments in the section's table, and whether each is marked as templated."""
    found: dict[str, bool] = {}
    _, _, rows = SECTIONS[name].partition("\n| argument |")
    for row in rows.split("\n\n")[0].splitlines()[2:]:
        cell = row.split("|")[1]
        found |= dict.fromkeys(re.findall(r"`(\w+)`", cell), "(templated)" in cell)
    return found


def arguments_of(operator: type, *, shared: bool) -> dict[str, inspect.Parameter]:
    """What the constructors of a class and of its bases in this package take."""
    found: dict[str, inspect.Parameter] = {}
    for one in operator.__mro__:
        if one.__module__.startswith(PACKAGE) and "__init__" in vars(one) and (shared or one.__name__ not in SHARED):
            parameters = inspect.signature(one.__init__).parameters.values()  # type: ignore[misc]
            found |= {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in found}
    return found


def sharing(name: str) -> list[str]:
    """The classes that the section is about."""
    return [one for one, text in SECTIONS.items() if text is SECTIONS[name]]


@pytest.mark.parametrize("name", CLASSES)
def test_every_operator_has_its_page(name: str) -> None:
    assert name in SECTIONS, f"no page below docs/operators has the heading {name}"


@pytest.mark.parametrize("name", SECTIONS)
def test_a_page_names_every_argument_and_no_other(name: str) -> None:
    said = set(table_of(name))
    known = {argument for one in sharing(name) for argument in arguments_of(CLASSES[one], shared=True)}
    own = set(arguments_of(CLASSES[name], shared=False))
    assert said - known == set(), f"{name} takes no such argument"
    assert own - said == set(), f"the page of {name} leaves these out"


@pytest.mark.parametrize("name", SECTIONS)
def test_templated_arguments_are_marked_as_such(name: str) -> None:
    fields = set(CLASSES[name].template_fields)  # type: ignore[attr-defined]
    own = arguments_of(CLASSES[name], shared=True)
    for argument, marked in table_of(name).items():
        if argument not in own:
            continue  # of another class of the same page
        assert marked == (argument in fields), f"{argument} of {name}"
