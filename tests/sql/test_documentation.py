"""The SQL in the documentation is SQL."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_mlfeat.sql.commands import bind_script
from airflow_provider_mlfeat.sql.format import format_sql

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "sql" / "language.md"


def test_every_example_binds() -> None:
    script = "\n".join(re.findall(r"```sql\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL))
    queries = list(bind_script(script))
    assert [str(query.error) for query in queries if query.error is not None] == []
    assert [warning for query in queries if query.plan is not None for warning in query.plan.warnings] == []
    assert len(queries) == 6
    assert [query.plan for query in bind_script(format_sql(script))] == [query.plan for query in queries]
