"""``mlfeat online``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_mlfeat.jobs.command import main

SCRIPT = """
CREATE TABLE visit (who string, at timestamp);
CREATE TABLE purchase (who string, at timestamp, price double);
INSERT INTO purchase VALUES ('ann', 1000, 1.0), ('ann', 2000, 2.0);
"""
QUERY = """
SELECT who, at, sum(price) OVER w AS spent FROM (SELECT who, at, 0.0 AS price FROM visit)
WINDOW w AS (UNION purchase PARTITION BY who ORDER BY at
    ROWS_RANGE BETWEEN 10s PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW)
"""


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.setenv("MLFEAT_TABLES", str(tmp_path / "tables"))
    monkeypatch.setenv("MLFEAT_ONLINE", str(tmp_path / "online"))
    (tmp_path / "script.sql").write_text(SCRIPT)
    (tmp_path / "query.sql").write_text(QUERY)
    assert main(["script", str(tmp_path / "script.sql")]) == 0
    capsys.readouterr()
    return tmp_path


def test_from_a_query_to_features(online: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = str(online / "query.sql")
    assert main(["online", "deployments"]) == 0
    assert main(["online", "tables"]) == 0
    assert capsys.readouterr().out.startswith("no deployments\nno tables\n")
    assert main(["online", "deploy", query, "--name", "spent"]) == 0
    assert json.loads(capsys.readouterr().out)["deployment"] == "spent@1"
    assert main(["online", "load", "--deployment", "spent"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 2
    assert main(["online", "features", "spent", '["ann", 3000]']) == 0
    explained = json.loads(capsys.readouterr().out)
    assert explained["features"] == {"who": "ann", "at": 3000, "spent": 3.0}
    assert explained["history"] == [
        {"table": "purchase", "key": {"who": "ann"}, "order": "at", "rows": 2, "oldest": 1000, "newest": 2000}
    ]
    assert main(["online", "tables"]) == 0
    assert "who by at" in capsys.readouterr().out
    assert main(["online", "show", "spent"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["input"], shown["output"][2]) == ({"who": "string", "at": "timestamp"}, ["spent", "double"])


def test_switching_and_dropping(online: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = online / "query.sql"
    main(["online", "deploy", str(query), "--name", "spent"])
    query.write_text(QUERY.replace("10s", "20s"))
    assert main(["online", "deploy", str(query), "--name", "spent"]) == 2
    assert "write OPTIONS(REPLACE='true')" in capsys.readouterr().err
    assert main(["online", "deploy", str(query), "--name", "spent", "--no-switch"]) == 0
    capsys.readouterr()
    assert main(["online", "switch", "spent@2"]) == 0
    assert main(["online", "rollback", "spent"]) == 0
    assert main(["online", "drop", "spent@1"]) == 2
    assert main(["online", "drop", "spent@2"]) == 0
    assert main(["online", "drop", "spent"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "spent@2 is live (version 1 was)", "spent@1 is live", "dropped spent@2", "dropped spent@1",
    ]  # fmt: skip
    assert "'spent@1' is live: switch to another version first" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["deploy", "nowhere.sql"], "nowhere.sql: No such file or directory"),
        (["features", "nothing", "[]"], "there is no deployment 'nothing'"),
        (["features", "spent", "["], "the request row is no JSON"),
        (["features", "spent", "[1, 2]"], "row 0 of a request to 'spent': column 'who' takes a string, not 1"),
        (["load", "--table", "visit@x"], "--table takes TABLE or TABLE@VERSION, not 'visit@x'"),
        (["switch", "spent@9"], "deployment 'spent' has no version 9; there are 1"),
        (["rollback", "spent"], "no other version of deployment 'spent' was live before"),
        (["show", "a b"], "'a b' names no deployment"),
        (["tables", "--store", "ftp://x"], "is no online store"),
    ],
)
def test_mistakes(online: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    main(["online", "deploy", str(online / "query.sql"), "--name", "spent"])
    assert main(["online", *arguments]) == 2
    assert sentence in capsys.readouterr().err
