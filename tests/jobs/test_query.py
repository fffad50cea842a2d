"""Feature SQL over files: as a job, and from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.command import main
from airflow_provider_mlfeat.jobs.query.job import QueryResult, QuerySpec, parse_size
from airflow_provider_mlfeat.jobs.run import run
from airflow_provider_mlfeat.sql.functions.user import remove_function

DAGS = Path(__file__).resolve().parent.parent.parent / "dags"
SCRIPT = DAGS / "sql" / "shopping_features.sql"
TABLES = {name: str(DAGS / "data" / f"{name}.csv") for name in ("checkout", "click", "shop")}
TABLE_OPTIONS = [word for name, path in TABLES.items() for word in ("--table", f"{name}={path}")]


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"k": ["a", "a", "b"], "t": pa.array([1, 2, 3], pa.int64()), "v": [1.0, 2.0, 4.0]}), path)
    return path


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "query.sql"
    path.write_text(text)
    return str(path)


def query(sql: str, orders: Path, tmp_path: Path) -> QueryResult:
    spec = QuerySpec(sql=sql, tables={"orders": str(orders)}, output=str(tmp_path / "out.parquet"))
    result = run(spec)
    assert isinstance(result, QueryResult)
    return result


SUMS = "SELECT k, sum(v) OVER w AS total FROM orders WINDOW w AS (PARTITION BY k ORDER BY t ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"  # noqa: E501


def test_a_query_writes_its_rows_and_its_plans_identity(tmp_path: Path, orders: Path) -> None:
    result = query(SUMS, orders, tmp_path)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.to_pydict() == {"k": ["a", "a", "b"], "total": [1.0, 3.0, 4.0]}
    assert (result.rows, result.columns, result.engine) == (3, 2, "batch")
    assert table.schema.metadata[b"plan_id"].decode() == result.plan_id
    assert {"read", "walk", "write"} <= set(result.stages)


def test_changed_data_runs_again_and_unchanged_does_not(tmp_path: Path, orders: Path) -> None:
    first, second = query(SUMS, orders, tmp_path), query(SUMS, orders, tmp_path)
    pq.write_table(pq.read_table(orders).slice(0, 2), orders)
    third = query(SUMS, orders, tmp_path)
    assert [first.cached, second.cached, third.cached] == [False, True, False]
    assert (first.rows, third.rows) == (3, 2)
    assert first.plan_id == third.plan_id


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nope FROM orders", "unknown column 'nope'"),
        ("SELECT v FROM ordes", "Did you mean 'orders'?"),
        ("SELECT v FROM", "SQL:1:"),
        ("CREATE TABLE a (b int)", "holds no query"),
        ("SELECT v FROM orders; SELECT k FROM orders", "holds 2 queries: say which with --query N"),
        ("CREATE TABLE other (v int); SELECT v FROM other", "no data for table 'other': give --table other=PATH"),
    ],
)
def test_a_wrong_query_gets_one_sentence_and_writes_nothing(
    tmp_path: Path, orders: Path, sql: str, message: str
) -> None:
    with pytest.raises(UserError) as error:
        query(sql, orders, tmp_path)
    assert message in str(error.value)
    assert not (tmp_path / "out.parquet").exists()


def test_a_column_that_the_language_cannot_hold_is_named(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"v": pa.array([1], pa.time32("s"))}), path)
    with pytest.raises(UserError, match="column 'v' is of type time32"):
        query("SELECT v FROM orders", path, tmp_path)


def test_csv_points_in_time_are_text_of_the_session_or_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("t,v\n2026-01-01 08:00:00,1\n1767225600000,2\n,3\n")
    result = query("CREATE TABLE orders (t timestamp, v int); SELECT bigint(t) AS ms FROM orders", path, tmp_path)
    assert result.rows == 3
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {"ms": [1767225600000, 1767225600000, None]}


def test_a_csv_text_that_is_no_point_in_time_is_named_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("t\n2026-01-01 08:00:00\nyesterday\n")
    with pytest.raises(UserError, match=r"orders.csv: column 't', row 2: 'yesterday' is no point in time"):
        query("CREATE TABLE orders (t timestamp); SELECT t FROM orders", path, tmp_path)


def test_the_command_checks_explains_and_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", "check", str(SCRIPT)]) == 0
    assert "1 query bound, 0 errors" in capsys.readouterr().out
    assert main(["sql", "explain", str(SCRIPT)]) == 0
    assert "click by customer" in capsys.readouterr().out
    path = script(tmp_path, "select  1   as one")
    assert main(["sql", "format", path, "--check"]) == 2
    assert main(["sql", "format", path, "--write"]) == 0
    assert main(["sql", "format", path, "--check"]) == 0


def test_the_command_shows_place_and_caret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = script(tmp_path, "CREATE TABLE t (amount int);\nSELECT amont FROM t;\n")
    assert main(["sql", "check", path]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path}:2:8: ")
    assert lines[1:3] == ["  SELECT amont FROM t;", "         ^^^^^"]
    assert "Did you mean 'amount'?" in lines[3]


def test_the_command_runs_over_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", "run", str(SCRIPT), *TABLE_OPTIONS]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split("\t")[:3] == ["id", "amount", "hour_of_day"]
    assert shown[-1] == "… 400 rows; --out PATH writes them all"
    out = tmp_path / "features.parquet"
    assert main(["sql", "run", str(SCRIPT), *TABLE_OPTIONS, "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == pq.read_table(out).num_rows == 400


def test_a_request_gets_what_history_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Answering a stored row's own values over the rows before it gives the row that the batch driver gave."""
    out = tmp_path / "features.parquet"
    assert main(["sql", "run", str(SCRIPT), *TABLE_OPTIONS, "--out", str(out)]) == 0
    capsys.readouterr()
    expected = pq.read_table(out).to_pylist()[-1]
    lines = Path(TABLES["checkout"]).read_text().splitlines()
    (tmp_path / "before.csv").write_text("\n".join(lines[:-1]) + "\n")
    names, values = lines[0].split(","), lines[-1].split(",")
    row: dict[str, Any] = dict(zip(names, values, strict=True))
    row["amount"] = float(row["amount"])
    row["at"] = local_milliseconds(row["at"])
    (tmp_path / "row.json").write_text(json.dumps(row))
    options = ["--table", f"checkout={tmp_path / 'before.csv'}", *TABLE_OPTIONS[2:]]
    assert main(["sql", "request", str(SCRIPT), *options, "--request", str(tmp_path / "row.json")]) == 0
    assert json.loads(capsys.readouterr().out) == [expected]


def local_milliseconds(text: str) -> int:
    """A text in the language's default zone as milliseconds."""
    from datetime import datetime

    return int(datetime.fromisoformat(f"{text}+08:00").timestamp() * 1000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "checkout"], "--table takes NAME=PATH, not 'checkout'"),
        (["--table", "checkout=/nowhere.parquet"], "no file at '/nowhere.parquet'"),
        (["--query", "3"], "has queries 1 to 1, not 3"),
    ],
)
def test_wrong_arguments_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["sql", "run", str(SCRIPT), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "airflow_provider_mlfeat.sql.commands", None)
    assert main(["sql", "check", str(SCRIPT)]) == 2
    assert "pip install 'airflow-provider-mlfeat[engine]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"), [("4g", 4 << 30), ("1.5k", 1536), ("700", 700), (None, None), ("2MB", 2 << 20)]
)
def test_sizes(text: str | None, size: int | None) -> None:
    assert parse_size(text) == size


def test_a_text_that_is_no_size() -> None:
    with pytest.raises(UserError, match="'much' is no size: write a number with k, m, g or t, such as 4g"):
        parse_size("much")


def test_a_memory_limit_changes_nothing_in_the_answer(tmp_path: Path) -> None:
    answers = []
    for memory in (None, "20k"):
        spec = QuerySpec(
            sql=SCRIPT.read_text(), tables=TABLES, output=str(tmp_path / f"{memory}.parquet"), memory=memory
        )
        run(spec)
        answers.append(sorted(map(str, pq.read_table(spec.output).to_pylist())))
    assert answers[0] == answers[1]


def test_functions_of_ones_own(tmp_path: Path, orders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_functions.py").write_text(
        "from airflow_provider_mlfeat.sql.functions.user import aggregate_function, scalar_function\n\n\n"
        '@scalar_function("string", returns="string")\ndef shout(text):\n    return text.upper() + "!"\n\n\n'
        '@aggregate_function("double", returns="double")\ndef spread(values):\n    return max(values) - min(values)\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    sql = SUMS.replace("k, sum(v)", "shout(k) AS k, spread(v)")
    spec = QuerySpec(
        sql=sql, tables={"orders": str(orders)}, output=str(tmp_path / "out.parquet"), functions=("own_functions",)
    )
    try:
        run(spec)
    finally:
        for name in ("shout", "spread"):
            remove_function(name)
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {"k": ["A!", "A!", "B!"], "total": [0.0, 1.0, 0.0]}


def test_a_module_without_functions_is_named(tmp_path: Path, orders: Path) -> None:
    spec = QuerySpec(sql=SUMS, tables={"orders": str(orders)}, output=str(tmp_path / "out"), functions=("nowhere",))
    with pytest.raises(UserError, match="no module 'nowhere' with functions"):
        run(spec)


def test_a_table_like_a_file(tmp_path: Path, orders: Path) -> None:
    names = pq.read_schema(orders).names
    sql = f"CREATE TABLE orders LIKE PARQUET '{orders}'; SELECT {names[0]} FROM orders;"
    out = tmp_path / "like.parquet"
    run(QuerySpec(sql=sql, tables={"orders": str(orders)}, output=str(out)))
    assert pq.read_table(out).num_rows == pq.read_table(orders).num_rows
    with pytest.raises(UserError, match="takes parquet files here, not hive"):
        run(QuerySpec(sql=sql.replace("PARQUET", "HIVE"), tables={"orders": str(orders)}, output=str(out)))
