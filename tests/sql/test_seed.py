"""Every statement of the published JD example, when its text lies beside the project."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_mlfeat.sql import statements as s
from airflow_provider_mlfeat.sql.commands import bind_script, check
from airflow_provider_mlfeat.sql.format import format_sql
from airflow_provider_mlfeat.sql.plan import Windows
from airflow_provider_mlfeat.sql.syntax import parse_script
from tests.sql.planning import relations

_SEEDS = sorted((Path(__file__).resolve().parents[3] / "shared" / "seeds").glob("000_*.txt"))
pytestmark = pytest.mark.skipif(not _SEEDS, reason="the published example is not here (../shared/seeds)")


@pytest.fixture(scope="module")
def script() -> str:
    """The SQL blocks of the example, with the query put in place of <SQL> in DEPLOY."""
    blocks = re.findall(r"```sql\n(.*?)```", _SEEDS[0].read_text(encoding="utf-8"), re.DOTALL)
    text = "\n".join(blocks)
    query = next(
        statement
        for statement in parse_script("\n".join(b for b in blocks if "<SQL>" not in b))
        if isinstance(statement, s.SelectInto)
    ).query.text
    return text.replace("<SQL>", query)


def test_statements(script: str) -> None:
    kinds = [type(statement).__name__ for statement in parse_script(script)]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "CreateDatabase": 1,
        "UseDatabase": 5,
        "CreateTable": 6,
        "SetVariable": 2,
        "LoadData": 12,
        "SelectInto": 1,
        "Deploy": 1,
        "ShowDeployment": 1,
    }


def test_extraction_and_deployment_have_one_plan(script: str) -> None:
    plans = [query.plan for query in bind_script(script)]
    assert len(plans) == 2
    assert plans[0] is not None
    assert plans[0] == plans[1]
    assert len(plans[0].schema) == 42
    assert plans[0].request_source == ("JD_db", "flattenRequest")
    windows = [relation for relation in relations(plans[0].root) if isinstance(relation, Windows)]
    assert sum(len(w.streams) for w in windows) == 3
    assert sum(len(stream.frames) for w in windows for stream in w.streams) == 7
    assert sum(len(w.features) for w in windows) == 21


def test_formatting_keeps_the_plan(script: str) -> None:
    formatted = format_sql(script)
    assert format_sql(formatted) == formatted
    assert [query.plan for query in bind_script(formatted)] == [query.plan for query in bind_script(script)]


def test_check_of_a_file(script: str, tmp_path: Path) -> None:
    path = tmp_path / "jd.sql"
    path.write_text(script, encoding="utf-8")
    outcome = check(path)
    assert outcome.code == 0
    assert outcome.text.endswith(": 2 queries bound, 0 errors\n")


def test_checking_needs_no_engine(script: str, tmp_path: Path) -> None:
    path = tmp_path / "jd.sql"
    path.write_text(script, encoding="utf-8")
    program = (
        "import sys; from airflow_provider_mlfeat.sql.commands import check; outcome = check(sys.argv[1]); "
        "heavy = {'numba', 'numpy', 'pyarrow', 'pandas', 'pyspark', 'airflow'} & set(sys.modules); "
        "print(outcome.code, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 []"
