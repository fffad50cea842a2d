"""Tables in a real S3 protocol: moto's server on this machine stands for the object store.

``pip install 'moto[server]'`` beside the project, or ``MLFEAT_MOTO_SERVER`` with the path of its ``moto_server``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.tables import definitions as d
from airflow_provider_mlfeat.tables.store import TableStore
from airflow_provider_mlfeat.tables.versions import history, read, restore, vacuum
from tests.tables.loading import create, load, rows, write

KEY = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request"
# Nothing listens there, and nobody tries again.
NOBODY = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "max_retries": "0"}


@pytest.fixture(scope="module")
def options() -> Iterator[dict[str, str]]:
    """Access to a server with an empty bucket ``bucket``."""
    command = os.environ.get("MLFEAT_MOTO_SERVER") or shutil.which("moto_server")
    if command is None:
        pytest.skip("no S3 server: pip install 'moto[server]', or set MLFEAT_MOTO_SERVER to its moto_server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [command, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        asked = urllib.request.Request(f"{place}/bucket", method="PUT", headers={"Authorization": KEY})
        for _ in range(150):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(asked, timeout=5).close()
                break
            time.sleep(0.2)
        yield {
            "AWS_ENDPOINT_URL": place,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def far(options: dict[str, str], tmp_path: Path) -> TableStore:
    return TableStore(f"s3://bucket/{tmp_path.name}", options)


def test_the_life_of_a_table(far: TableStore, tmp_path: Path) -> None:
    assert d.load_catalog(far).tables() == []
    d.create_database(far, "Feat")
    create(far, "CREATE TABLE t (a int, b string)")
    report = load(far, write(tmp_path / "1.csv", "a,b\n1,x\nz,y\n"), max_bad_rows=1, load_id="one")
    assert (report.rows_loaded, report.rows_rejected) == (1, 1)
    assert load(far, tmp_path / "1.csv", mode="append", load_id="one").already_loaded
    load(far, write(tmp_path / "2.csv", "a,b\n2,\n"), mode="append")
    assert rows(far) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    assert restore(far, "", "t", 1).rows == 1
    with pytest.raises(UserError, match="1 bad row of 1"):
        load(far, write(tmp_path / "3.csv", "a,b\nq,\n"), mode="append")
    assert [change.version for change in history(far, "", "t")] == [3, 2, 1, 0]
    assert len(vacuum(far, "", "t", retention_hours=0)) == 1
    assert read(far, "", "t").count_rows() == 1
    d.drop(far, "", "t")
    d.drop_database(far, "feat")
    assert d.load_catalog(far).tables() == []


def test_jobs(far: TableStore, tmp_path: Path) -> None:
    secrets = {f"storage.{name}": value for name, value in far.storage_options.items()}
    sql = "CREATE TABLE t (a int, b string)"
    run(parse_spec({"kind": "create_tables", "root": far.root, "sql": sql}), secrets=secrets)
    file = write(tmp_path / "1.csv", "a,b\n1,x\n2,y\n")
    spec = {"kind": "load_table", "root": far.root, "table": "t", "paths": [str(file)], "mode": "overwrite"}
    loaded: Any = run(parse_spec(spec), secrets=secrets)
    assert loaded.rows == 2
    spec = {"kind": "extract_features", "root": far.root, "feature_set": "f", "sql": "SELECT a + 1 AS c, b FROM t"}
    made: Any = run(parse_spec(spec), secrets=secrets)
    assert (made.rows, made.already_extracted) == (2, False)
    again: Any = run(parse_spec(spec), secrets=secrets)
    assert again.already_extracted
    out = str(tmp_path / "out")
    run(parse_spec({"kind": "export", "root": far.root, "table": "f", "output": out, "format": "csv"}), secrets=secrets)
    assert "".join(path.read_text() for path in sorted((tmp_path / "out").glob("*.csv"))).split()[1:] == ["2,x", "3,y"]


def test_files_are_loaded_from_it(far: TableStore, store: TableStore, tmp_path: Path) -> None:
    create(far, "CREATE TABLE t (a int)")
    load(far, write(tmp_path / "1.csv", "a\n1\n2\n"))
    create(store, "CREATE TABLE u (a int)")
    near = TableStore(store.root, far.storage_options)
    load(near, f"{far.uri('', 't')}/*.parquet", "u", format="parquet")
    assert [row["a"] for row in rows(near, "u")] == [1, 2]


def test_access_that_is_refused_is_one_sentence(far: TableStore) -> None:
    with pytest.raises(UserError, match=r"there is no table 't'"):
        read(far, "", "t")
    elsewhere = TableStore("s3://no-such-bucket/x", far.storage_options)
    for ask in (lambda: create(elsewhere, "CREATE TABLE t (a int)"), lambda: d.load_catalog(elsewhere)):
        with pytest.raises(UserError, match="the object store has no such bucket; create it, or correct the root"):
            ask()
    with pytest.raises(TransientError, match="Connection refused|error sending request"):
        d.load_catalog(TableStore(far.root, {**far.storage_options, **NOBODY}))
