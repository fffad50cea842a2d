"""Statements: what every one of them becomes, and what it refuses."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql import statements as s
from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, IndexDefinition, TableDefinition, TtlType
from airflow_provider_mlfeat.sql.deployments import long_windows
from airflow_provider_mlfeat.sql.errors import SqlError
from airflow_provider_mlfeat.sql.syntax import parse_script, parse_statement
from airflow_provider_mlfeat.sql.types import BIGINT, FLOAT, INT, STRING, TIMESTAMP

T = s.TableName("t")
DT = s.TableName("t", "d")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE DATABASE d", s.CreateDatabase("d")),
        ("create database if not exists `d`;", s.CreateDatabase("d", True)),
        ("DROP DATABASE d", s.DropDatabase("d")),
        ("DROP DATABASE IF EXISTS d", s.DropDatabase("d", True)),
        ("USE d", s.UseDatabase("d")),
        ("SHOW DATABASES", s.ShowDatabases()),
        ("SHOW TABLES", s.ShowTables()),
        ("SHOW TABLE STATUS", s.ShowTableStatus()),
        ("SHOW CREATE TABLE d.t", s.ShowCreateTable(DT)),
        ("DESC t", s.DescribeTable(T)),
        ("TRUNCATE TABLE d.t", s.TruncateTable(DT)),
        ("DROP TABLE t", s.DropTable(T)),
        ("DROP TABLE IF EXISTS d.t", s.DropTable(DT, True)),
        ("CREATE TABLE t LIKE PARQUET 'file:///x'", s.CreateTableLike(T, "parquet", "file:///x")),
        ("CREATE TABLE IF NOT EXISTS d.t LIKE HIVE 'hive://d.t'", s.CreateTableLike(DT, "hive", "hive://d.t", True)),
        (
            "CREATE INDEX i ON t (a, b) OPTIONS (ts=c, ttl=5, ttl_type='latest')",
            s.CreateIndex(T, IndexDefinition("i", ("a", "b"), "c", TtlType.LATEST, 0, 5)),
        ),
        ("CREATE INDEX i ON t(a)", s.CreateIndex(T, IndexDefinition("i", ("a",)))),
        ("DROP INDEX t.i", s.DropIndex(T, "i")),
        ("DROP INDEX d.t.i", s.DropIndex(DT, "i")),
        (
            "INSERT INTO t VALUES (1, 'a', NULL, -1.5, true), (2, \"b\", timestamp(3), 0L, false)",
            s.Insert(T, (), ((1, "a", None, -1.5, True), (2, "b", 3, 0, False))),
        ),
        ("INSERT OR IGNORE INTO t (a, b) VALUES (1, 2)", s.Insert(T, ("a", "b"), ((1, 2),), True)),
        ("INSERT IGNORE INTO t VALUES (1)", s.Insert(T, (), ((1,),), True)),
        ("DELETE FROM t WHERE a = 'x' AND ts <= 3", s.Delete(T, (("a", "=", "x"), ("ts", "<=", 3)))),
        (
            "LOAD DATA INFILE 'a/*.csv' INTO TABLE d.t OPTIONS (FORMAT='csv', header=false, thread=4, mode='append',)",
            s.LoadData("a/*.csv", DT, {"format": "csv", "header": False, "thread": 4, "mode": "append"}),
        ),
        ("LOAD DATA INFILE 'a' INTO TABLE t", s.LoadData("a", T, {})),
        ("SHOW DEPLOYMENTS", s.ShowDeployments()),
        ("SHOW DEPLOYMENT x", s.ShowDeployment("x")),
        ("SHOW DEPLOYMENT x VERSIONS", s.ShowDeployment("x", True)),
        ("DROP DEPLOYMENT x", s.DropDeployment("x")),
        ("ROLLBACK DEPLOYMENT x", s.RollbackDeployment("x")),
        ("ROLLBACK DEPLOYMENT x TO 3", s.RollbackDeployment("x", 3)),
        ("SHOW JOBS", s.ShowJobs()),
        ("SHOW JOBS FROM TASKMANAGER LIKE '12'", s.ShowJobs("taskmanager", "12")),
        ("SHOW JOB 12", s.ShowJob(12)),
        ("SHOW JOBLOG 12", s.ShowJobLog(12)),
        ("STOP JOB 12", s.StopJob(12)),
        ("SET @@execute_mode='offline'", s.SetVariable("execute_mode", "offline")),
        ("SET @@session.sync_job = true", s.SetVariable("sync_job", True)),
        ("SET @@global.job_timeout = 5", s.SetVariable("job_timeout", 5, True)),
        ("SET time_zone = 'Europe/Berlin'", s.SetVariable("time_zone", "Europe/Berlin")),
        ("SHOW VARIABLES", s.ShowVariables()),
        ("SHOW GLOBAL VARIABLES", s.ShowVariables(True)),
    ],
)
def test_statements(sql: str, expected: s.Statement) -> None:
    assert parse_statement(sql) == expected


def test_create_table() -> None:
    statement = parse_statement(
        "CREATE TABLE IF NOT EXISTS d.t (a string NOT NULL, b int DEFAULT -3, c timestamp DEFAULT NULL, "
        "e float, f int64, "
        "INDEX(KEY=(a, b), TS=c, TTL_TYPE=absorlat, TTL=(10h, 10)), INDEX(KEY=b, TTL=1d), INDEX(TS=`f`, KEY=a, "
        "TTL_TYPE=latest, TTL=3)) OPTIONS (PARTITIONNUM=4, STORAGE_MODE='HDD', DISTRIBUTION=[('x', ['y'])])"
    )
    assert statement == s.CreateTable(
        TableDefinition(
            "d",
            "t",
            (
                ColumnDefinition("a", STRING, not_null=True),
                ColumnDefinition("b", INT, default=-3, has_default=True),
                ColumnDefinition("c", TIMESTAMP, has_default=True),
                ColumnDefinition("e", FLOAT),
                ColumnDefinition("f", BIGINT),
            ),
            (
                IndexDefinition("index0", ("a", "b"), "c", TtlType.ABSORLAT, 36_000_000, 10),
                IndexDefinition("index1", ("b",), None, TtlType.ABSOLUTE, 86_400_000, 0),
                IndexDefinition("index2", ("a",), "f", TtlType.LATEST, 0, 3),
            ),
            {"partitionnum": 4, "storage_mode": "HDD", "distribution": "[('x', ['y'])]"},
        ),
        if_not_exists=True,
    )


def test_queries_keep_their_text() -> None:
    select = parse_statement(" SELECT a -- x\nFROM t ; ")
    assert isinstance(select, s.Select)
    assert select.query.text == "SELECT a -- x\nFROM t"
    into = parse_statement("SELECT a FROM t INTO OUTFILE 'd' OPTIONS (mode='overwrite', coalesce=1)")
    assert isinstance(into, s.SelectInto)
    assert (into.query.text, into.path, into.options) == ("SELECT a FROM t", "d", {"mode": "overwrite", "coalesce": 1})
    deploy = parse_statement(
        "DEPLOY IF NOT EXISTS x OPTIONS (RANGE_BIAS='inf', ROWS_BIAS=5, SYNC='false') SELECT a FROM t"
    )
    assert isinstance(deploy, s.Deploy)
    assert (deploy.name, deploy.if_not_exists, deploy.query.text) == ("x", True, "SELECT a FROM t")
    assert deploy.options == {"range_bias": "inf", "rows_bias": 5, "sync": False}


def test_a_script() -> None:
    statements = parse_script("-- first\nUSE d; ; SELECT ';' AS x;\nSELECT 1 -- last")
    assert [statement.text for statement in statements] == ["USE d", "SELECT ';' AS x", "SELECT 1"]
    assert [statement.position.line for statement in statements if statement.position] == [2, 2, 3]
    assert parse_script(" -- nothing\n") == []


@pytest.mark.parametrize(
    ("sql", "message", "suggestion"),
    [
        ("SELEC 1", "'SELEC' begins no statement", "Did you mean 'SELECT'?"),
        ("SHOW JOBBS", None, "Did you mean 'JOBS'?"),
        ("SELECT 1; SELECT 2", "expected one statement, found 2", None),
        ("CREATE TABLE t (a int, A string)", "column 'A' is defined twice", None),
        ("CREATE TABLE t (a in)", "unknown type 'in'", "Did you mean 'int'?"),
        ("CREATE TABLE t (a array<int>)", "column 'a' cannot have type array<int>", None),
        ("CREATE TABLE t (a int DEFAULT 'x')", "the default of 'a' must be a constant of type int", None),
        ("CREATE TABLE t (a smallint DEFAULT 40000)", "the default of 'a' must be a constant of type smallint", None),
        ("CREATE TABLE t (INDEX(KEY=a))", "a table needs a column", None),
        ("CREATE TABLE t (a int, INDEX(KEY=b))", "unknown column 'b' in INDEX", None),
        ("CREATE TABLE t (a double, INDEX(KEY=a))", "column 'a' of type double is no index key", None),
        (
            "CREATE TABLE t (a int, b string, INDEX(KEY=a, TS=b))",
            "column 'b' of type string cannot be the TS of an index",
            None,
        ),
        ("CREATE TABLE t (a int, INDEX(KEY=a, TLT=3))", "unknown index option 'tlt'", "Did you mean 'ttl'?"),
        ("CREATE TABLE t (a int, INDEX(KEY=a, TTL=3))", "TTL of type absolute takes a time like 12h", None),
        (
            "CREATE TABLE t (a int) OPTIONS (PARTITIONNUMBER=3)",
            "unknown table option 'PARTITIONNUMBER'",
            "Did you mean 'partitionnum'?",
        ),
        (
            "CREATE TABLE t (a int) OPTIONS (STORAGE_MODE=tape)",
            "table option 'storage_mode' takes 'Memory' or 'HDD' or 'SSD', not 'tape'",
            None,
        ),
        (
            "LOAD DATA INFILE 'a' INTO TABLE t OPTIONS (formt='csv')",
            "unknown option of LOAD DATA 'formt'",
            "Did you mean 'format'?",
        ),
        (
            "LOAD DATA INFILE 'a' INTO TABLE t OPTIONS (delimiter='')",
            "option of LOAD DATA 'delimiter' takes a string that is not empty, not ''",
            None,
        ),
        (
            "LOAD DATA INFILE 'a' INTO TABLE t OPTIONS (thread=51)",
            "option of LOAD DATA 'thread' takes a whole number from 1 to 50, not '51'",
            None,
        ),
        (
            "SELECT 1 INTO OUTFILE 'd' OPTIONS (mode='x')",
            "option of INTO OUTFILE 'mode' takes 'error_if_exists' or 'append' or 'overwrite', not 'x'",
            None,
        ),
        (
            "DEPLOY x OPTIONS (RANGE_BIASS=1) SELECT 1",
            "unknown option of DEPLOY 'RANGE_BIASS'",
            "Did you mean 'range_bias'?",
        ),
        ("DEPLOY x OPTIONS (SYNC=1) SELECT 1", "option of DEPLOY 'sync' takes true or false, not '1'", None),
        ("DEPLOY x OPTIONS (SYNC=true, SYNC=true) SELECT 1", "option of DEPLOY 'sync' stands here twice", None),
        ("SET @@excute_mode = 'online'", "unknown variable 'excute_mode'", "Did you mean 'execute_mode'?"),
        (
            "SET @@execute_mode = 'now'",
            "variable 'execute_mode' takes 'offline' or 'online' or 'request', not 'now'",
            None,
        ),
        (
            "SET insert_memory_usage_limit = 101",
            "variable 'insert_memory_usage_limit' takes a whole number from 0 to 100, not '101'",
            None,
        ),
        ("INSERT INTO t VALUES (1, 2), (3)", "expected 2 values, found 1", None),
        ("INSERT INTO t (a) VALUES (1, 2)", "expected 1 values, found 2", None),
        ("INSERT INTO t VALUES (a)", "expected a constant", None),
        ("DELETE FROM t", "expected WHERE, found the end of the statement", None),
        ("DELETE FROM t WHERE a <> 3", "expected =, <, <=, > or >=, found '<>'", None),
        ("STOP JOB x", "expected a job's number, found 'x'", None),
        ("DROP VIEW v", "expected TABLE, DATABASE, INDEX or DEPLOYMENT, found 'VIEW'", None),
        ("USE d d", "expected the end of the statement, found 'd'", None),
    ],
)
def test_refused_statements(sql: str, message: str | None, suggestion: str | None) -> None:
    with pytest.raises(SqlError) as caught:
        parse_statement(sql)
    if message is not None:
        assert caught.value.message == message
    if suggestion is not None:
        assert caught.value.suggestion == suggestion
    assert caught.value.position is not None


def test_long_windows() -> None:
    window = "WINDOW w1 AS (PARTITION BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    deploy = parse_statement(f"DEPLOY x OPTIONS (LONG_WINDOWS='W1:2h') SELECT sum(a) OVER w1 FROM t {window}")
    assert isinstance(deploy, s.Deploy)
    assert long_windows(deploy) == {"w1": 7_200_000}
    for value, message in (
        ("w2:1d", "LONG_WINDOWS names the unknown window 'w2'"),
        ("w1:soon", "the bucket 'soon'"),
        ("w1:0d", "the bucket '0d'"),
    ):
        wrong = parse_statement(f"DEPLOY x OPTIONS (LONG_WINDOWS='{value}') SELECT sum(a) OVER w1 FROM t {window}")
        assert isinstance(wrong, s.Deploy)
        with pytest.raises(SqlError, match=message):
            long_windows(wrong)
