"""Spark: settings, the real Java and PySpark of this machine, and real ports."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.hooks import spark as spark_hook
from airflow_provider_mlfeat.hooks.spark import SparkHook

Connect = Callable[..., str]

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no Java on this machine")


@pytest.fixture(autouse=True)
def no_spark_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own Spark and Java variables do not reach the tests."""
    for name in ("SPARK_HOME", "JAVA_HOME", "HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)


def java_that_says(folder: Path, text: str, code: int = 0) -> None:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit {code}\n")
    java.chmod(0o755)


def test_settings_are_the_same_in_all_forms(connect: Connect, form: str) -> None:
    extra = {
        "driver_memory": "4g", "executor_memory": "8G", "executor_cores": 2, "executors": 16, "python": "/opt/python",
        "conf": {"spark.sql.shuffle.partitions": 64, "spark.sql.ansi.enabled": True, "spark.executor.memory": "1g"},
    }  # fmt: skip
    hook = SparkHook(connect("mlfeat_spark", form, extra, host="spark://master", port=7077))
    assert hook.settings.session_options() == {
        "spark.master": "spark://master:7077",
        "spark.driver.memory": "4g",
        "spark.executor.memory": "8G",
        "spark.executor.cores": "2",
        "spark.executor.instances": "16",
        "spark.pyspark.python": "/opt/python",
        "spark.sql.shuffle.partitions": "64",
        "spark.sql.ansi.enabled": "true",
    }
    assert (hook.settings.is_connect, hook.settings.is_local) == (False, False)


def test_an_empty_connection_is_this_machine(connect: Connect, form: str) -> None:
    settings = SparkHook(connect("mlfeat_spark", form)).settings
    assert (settings.session_options(), settings.is_local) == ({"spark.master": "local[*]"}, True)


@pytest.mark.parametrize(
    "master", ["local", "local[2]", "local[*,3]", "local-cluster[2,1,1024]", "yarn", "k8s://https://k:6443"]
)
def test_masters(connect: Connect, form: str, master: str) -> None:
    assert SparkHook(connect("mlfeat_spark", form, host=master)).settings.master == master


@pytest.mark.parametrize(
    ("host", "remote"),
    [
        ("sc://spark", "sc://spark:15002/;token=s3cr3t-Pa55/w@rd"),
        ("sc://spark/;use_ssl=true", "sc://spark:15002/;use_ssl=true;token=s3cr3t-Pa55/w@rd"),
        ("sc://spark/;token=other-token;user_id=ann", "sc://spark:15002/;user_id=ann;token=s3cr3t-Pa55/w@rd"),
    ],
)
def test_spark_connect(connect: Connect, form: str, secret: str, host: str, remote: str) -> None:
    extra = {"conf": {"spark.sql.session.timeZone": "UTC"}}
    settings = SparkHook(connect("mlfeat_spark", form, extra, host=host, port=15002, password=secret)).settings
    assert settings.session_options() == {"spark.remote": remote, "spark.sql.session.timeZone": "UTC"}
    assert "token" not in settings.master


def test_a_token_in_the_address_is_taken_out(connect: Connect) -> None:
    settings = SparkHook(connect("mlfeat_spark", host="sc://spark:1/;token=in-the-address")).settings
    assert (settings.master, settings.token) == ("sc://spark:1", "in-the-address")
    assert "in-the-address" not in repr(settings)


@pytest.mark.parametrize(
    ("standard", "extra", "sentence"),
    [
        ({"host": "http://spark"}, {}, "'http://spark' is no Spark master"),
        ({"host": "master"}, {}, "'master' is no Spark master"),
        ({"password": "x"}, {}, "a token is for Spark Connect (sc://) only"),
        ({}, {"driver_memory": "4 gigabytes"}, "field 'driver_memory' must be a size such as 4g, not '4 gigabytes'"),
        ({}, {"executor_cores": 0}, "field 'executor_cores' must be from 1 to 1024, not 0"),
        ({}, {"conf": {"sql.x": 1}}, "field 'conf': 'sql.x' does not start with 'spark.'"),
        ({"host": "sc://s"}, {"driver_memory": "1g"}, "spark.driver.memory is the Spark Connect server's own setting"),
    ],
)
def test_mistakes(connect: Connect, standard: dict[str, Any], extra: dict[str, Any], sentence: str) -> None:
    hook = SparkHook(connect("mlfeat_spark", extra=extra, **standard))
    with pytest.raises(UserError) as caught:
        _ = hook.settings
    assert str(caught.value).startswith(f"connection 'mlfeat_spark_under_test': {sentence}")
    assert hook.test_connection() == (False, str(caught.value))


def test_secrets_stay_secret(
    connect: Connect, form: str, secret: str, caplog: pytest.LogCaptureFixture, closed_port: int
) -> None:
    caplog.set_level(logging.DEBUG)
    extra = {"conf": {"spark.hadoop.fs.s3a.secret.key": "bucket-secret-key"}}
    hook = SparkHook(connect("mlfeat_spark", form, extra, host="sc://127.0.0.1", port=closed_port, password=secret))
    works, message = hook.test_connection()
    assert not works
    assert set(hook.settings.secrets) == {secret, "bucket-secret-key"}
    for text in (repr(hook.settings), str(hook.settings), message, caplog.text):
        assert secret not in text
        assert "bucket-secret-key" not in text


@needs_java
def test_this_machine_can_run_a_driver(connect: Connect) -> None:
    pytest.importorskip("pyspark", reason="the spark extra is not installed")
    works, message = SparkHook(connect("mlfeat_spark", host="local[1]")).test_connection()
    assert works, message
    assert message.startswith("PySpark 4.")
    assert message.endswith(" are installed: local[1] runs in the task's process")


@needs_java
def test_a_real_session_takes_the_options(connect: Connect) -> None:
    """A JVM of its own, so that the driver's memory is seen to arrive where only a new one can take it."""
    pytest.importorskip("pyspark", reason="the spark extra is not installed")
    import json
    import subprocess
    import sys

    extra = {"driver_memory": "700m", "conf": {"spark.ui.enabled": False}}
    options = SparkHook(connect("mlfeat_spark", host="local[1]", extra=extra)).settings.session_options()
    program = """
import json, sys
from pyspark.sql import SparkSession
builder = SparkSession.builder
for key, value in json.loads(sys.argv[1]).items():
    builder = builder.config(key, value)
with builder.getOrCreate() as session:
    heap = session._jvm.java.lang.Runtime.getRuntime().maxMemory() >> 20
    print(session.sparkContext.master, session.conf.get("spark.driver.memory"), heap, session.range(3).count())
"""
    command = [sys.executable, "-c", program, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    master, memory, heap, rows = done.stdout.split()
    assert (master, memory, rows) == ("local[1]", "700m", "3")
    assert 600 < int(heap) <= 700


@needs_java
def test_a_master_that_listens_and_one_that_does_not(
    connect: Connect, answer: Callable[[bytes], int], closed_port: int
) -> None:
    pytest.importorskip("pyspark", reason="the spark extra is not installed")
    port = answer(b"")
    hook = SparkHook(connect("mlfeat_spark", host=f"spark://127.0.0.1:{closed_port},127.0.0.1:{port}"))
    works, message = hook.test_connection()
    assert works, message
    assert message.endswith(f"and 127.0.0.1:{port} accepts connections")
    for host in (f"spark://127.0.0.1:{closed_port}", f"k8s://https://127.0.0.1:{closed_port}"):
        hook = SparkHook(connect("mlfeat_spark", host=host))
        assert hook.test_connection() == (False, f"nothing listens at 127.0.0.1:{closed_port}")


@needs_java
def test_yarn_needs_the_cluster_s_configuration(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="the spark extra is not installed")
    hook = SparkHook(connect("mlfeat_spark", host="yarn"))
    expected = "yarn needs HADOOP_CONF_DIR or YARN_CONF_DIR in the environment of the workers"
    assert hook.test_connection() == (False, expected)
    monkeypatch.setenv("HADOOP_CONF_DIR", "/etc/hadoop")
    assert hook.test_connection()[0]


def test_spark_connect_speaks_grpc(connect: Connect) -> None:
    pytest.importorskip("pyspark", reason="the spark extra is not installed")
    grpc = pytest.importorskip("grpc", reason="the spark extra is not installed")
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        works, message = SparkHook(connect("mlfeat_spark", host=f"sc://127.0.0.1:{port}")).test_connection()
    finally:
        server.stop(None)
    assert works, message
    assert message.endswith(f" is installed, and 127.0.0.1:{port} speaks gRPC")


def test_another_service_at_the_port_of_spark_connect(
    connect: Connect, answer: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("grpc", reason="the spark extra is not installed")
    monkeypatch.setattr(spark_hook, "TEST_SECONDS", 1.0)
    port = answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    works, message = SparkHook(connect("mlfeat_spark", host=f"sc://127.0.0.1:{port}")).test_connection()
    expected = f"127.0.0.1:{port} listens, but does not speak gRPC: check the port and use_ssl"
    assert (works, message) == (False, expected)


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ('openjdk version "11.0.2" 2019-01-15', 0, "is Java 11.0.2, but Spark 4 needs 17 or newer"),
        ('java version "1.8.0_392"', 0, "is Java 1.8.0_392, but Spark 4 needs 17 or newer"),
        ("something else", 0, "is Java ?, but Spark 4 needs 17 or newer"),
        ("broken", 1, "-version' fails: "),
    ],
)
def test_a_java_that_will_not_do(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, code: int, sentence: str
) -> None:
    pytest.importorskip("pyspark", reason="the spark extra is not installed")
    java_that_says(tmp_path, text, code)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    works, message = SparkHook(connect("mlfeat_spark")).test_connection()
    assert not works
    assert sentence in message


@pytest.mark.parametrize("variable", ["JAVA_HOME", "PATH"])
def test_no_java(connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    pytest.importorskip("pyspark", reason="the spark extra is not installed")
    monkeypatch.setenv(variable, str(tmp_path))
    works, message = SparkHook(connect("mlfeat_spark")).test_connection()
    where = f"JAVA_HOME '{tmp_path}'" if variable == "JAVA_HOME" else "PATH"
    assert (works, message) == (False, f"no Java in {where}: install Java 17 or newer")


def test_the_small_client_package_is_not_enough(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("pyspark", reason="the spark extra is not installed")
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    works, message = SparkHook(connect("mlfeat_spark")).test_connection()
    assert not works
    assert message.startswith(f"'{tmp_path}' has no Spark jars")


def test_without_its_extra(connect: Connect, absent: Callable[[str], None]) -> None:
    absent("pyspark")
    for host in ("local[1]", "sc://127.0.0.1:1"):
        works, message = SparkHook(connect("mlfeat_spark", host=host)).test_connection()
        assert not works
        assert message.endswith("pip install 'airflow-provider-mlfeat[spark]'")
