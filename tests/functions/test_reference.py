"""The function reference is what the catalogue says, and every built-in function can be loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_mlfeat.sql.functions import CATALOGUE
from airflow_provider_mlfeat.sql.functions.reference import PAGE, main, page
from airflow_provider_mlfeat.sql.functions.registry import load_implementation

REPOSITORY = Path(__file__).parents[2]


def test_the_committed_page_is_the_generated_one() -> None:
    committed = (REPOSITORY / PAGE).read_text(encoding="utf-8")
    assert committed == page(), "run: python -m airflow_provider_mlfeat.sql.functions.reference"


def test_the_page_is_written_below_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["reference", str(tmp_path)])
    main()
    assert (tmp_path / PAGE).read_text(encoding="utf-8") == page()


def test_every_function_has_a_line_of_documentation_and_a_usage() -> None:
    for function in (*CATALOGUE.scalars.values(), *CATALOGUE.aggregates.values()):
        assert function.doc.endswith("."), function.name
        assert function.usage, function.name
        assert function.group, function.name


@pytest.mark.parametrize("name", sorted({function.name for function in CATALOGUE.scalars.values()}))
def test_scalar_implementations_load(name: str) -> None:
    assert load_implementation(CATALOGUE.scalars[name].implementation)


@pytest.mark.parametrize("name", sorted({function.name for function in CATALOGUE.aggregates.values()}))
def test_aggregate_implementations_load(name: str) -> None:
    assert load_implementation(CATALOGUE.aggregates[name].implementation)


def test_the_catalogue_is_cheap_to_import() -> None:
    code = (
        "import sys; from airflow_provider_mlfeat.sql.functions import CATALOGUE; assert CATALOGUE.names();"
        "print([name for name in ('numpy', 'numba', 'pyarrow', 'sqlglot') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert run.stdout.strip() == "[]"
