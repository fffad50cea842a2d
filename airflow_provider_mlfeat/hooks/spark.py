"""Spark: in the task's own process, on a cluster, or behind Spark Connect."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_provider_mlfeat.errors import MissingExtraError, TransientError, UserError
from airflow_provider_mlfeat.hooks.endpoints import TEST_SECONDS, Endpoint, parse_endpoints, require_listener
from airflow_provider_mlfeat.hooks.fields import ConnectionFields
from airflow_provider_mlfeat.hooks.service import ServiceHook
from airflow_provider_mlfeat.hooks.settings.spark import SparkSettings

_OLDEST_JAVA = 17


class SparkHook(ServiceHook[SparkSettings]):
    """Reaches the Spark of a connection. The driver is the process that runs the job.

    :param spark_conn_id: a connection of type ``mlfeat_spark``.
    """

    conn_name_attr = "spark_conn_id"
    default_conn_name = "mlfeat_spark_default"
    conn_type = "mlfeat_spark"
    hook_name = "MLfeat: Spark"

    def __init__(self, spark_conn_id: str = default_conn_name, **arguments: Any) -> None:
        super().__init__(spark_conn_id, **arguments)
        self.spark_conn_id = spark_conn_id

    def _parse(self, fields: ConnectionFields) -> SparkSettings:
        return SparkSettings.parse(fields)

    def _check(self) -> str:
        """See that a driver can start on this machine and that the master answers; no JVM is started for it."""
        master = self.settings.master
        if self.settings.is_connect:
            return f"{_pyspark_name()} is installed, and {self._check_connect()} speaks gRPC"
        driver = f"{_classic_pyspark_name()} and Java {_java_version()} are installed"
        if self.settings.is_local:
            return f"{driver}: {master} runs in the task's process"
        if master == "yarn":
            if not (os.environ.get("HADOOP_CONF_DIR") or os.environ.get("YARN_CONF_DIR")):
                raise UserError("yarn needs HADOOP_CONF_DIR or YARN_CONF_DIR in the environment of the workers")
            return f"{driver}, and HADOOP_CONF_DIR or YARN_CONF_DIR is set"
        return f"{driver}, and {_require_any_listener(_master_endpoints(master))} accepts connections"

    def _check_connect(self) -> Endpoint:
        """A port that merely listens may be anything; a gRPC channel becomes ready only on HTTP/2."""
        (endpoint,) = parse_endpoints(self.settings.master.removeprefix("sc://").partition("/")[0], 15002)
        require_listener(endpoint)
        try:
            import grpc
        except ImportError as error:
            raise MissingExtraError("spark", "Spark Connect", error.name) from None
        encrypted = "use_ssl=true" in self.settings.master.lower() or bool(self.settings.token)
        channel = (
            grpc.secure_channel(str(endpoint), grpc.ssl_channel_credentials())
            if encrypted
            else grpc.insecure_channel(str(endpoint))
        )
        try:
            grpc.channel_ready_future(channel).result(timeout=TEST_SECONDS)
        except grpc.FutureTimeoutError:
            protocol = "gRPC over TLS" if encrypted else "gRPC"
            raise UserError(f"{endpoint} listens, but does not speak {protocol}: check the port and use_ssl") from None
        finally:
            channel.close()
        return endpoint


def _pyspark_name() -> str:
    if find_spec("pyspark") is None:
        raise MissingExtraError("spark", "Spark", "pyspark")
    for package in ("pyspark", "pyspark-client"):
        try:
            return f"PySpark {version(package)}"
        except PackageNotFoundError:
            continue
    return "PySpark"


def _classic_pyspark_name() -> str:
    """PySpark with its jars; the small client package has the same module name and none."""
    name, module = _pyspark_name(), find_spec("pyspark")
    home = os.environ.get("SPARK_HOME") or (module and module.origin and Path(module.origin).parent) or ""
    if not Path(home, "jars").is_dir():
        raise UserError(
            f"'{home}' has no Spark jars (pyspark-client reaches sc:// masters only): "
            "pip install 'airflow-provider-mlfeat[spark]'"
        )
    return name


def _java_version() -> str:
    """The version of the Java that Spark would start."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home, "bin"))) if home else shutil.which("java")
    if java is None:
        where = f"JAVA_HOME '{home}'" if home else "PATH"
        raise UserError(f"no Java in {where}: install Java {_OLDEST_JAVA} or newer")
    try:
        said = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=TEST_SECONDS, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"'{java} -version' fails: {error}") from None
    found = re.search(r'version "((\d+)[^"]*)"', said)
    if found is None or int(found[2]) < _OLDEST_JAVA:
        raise UserError(f"'{java}' is Java {found[1] if found else '?'}, but Spark 4 needs {_OLDEST_JAVA} or newer")
    return found[1]


def _master_endpoints(master: str) -> tuple[Endpoint, ...]:
    """Where a standalone master (there may be several) or a Kubernetes API server listens."""
    scheme, _, address = master.partition("://")
    inner_scheme, _, inner = address.rpartition("://")
    default_port = 7077 if scheme == "spark" else 80 if inner_scheme == "http" else 443
    return parse_endpoints(inner.rstrip("/"), default_port)


def _require_any_listener(endpoints: tuple[Endpoint, ...]) -> Endpoint:
    """The first endpoint that listens: of several standalone masters one leads, the others may be away."""
    failures = []
    for endpoint in endpoints:
        try:
            require_listener(endpoint)
            return endpoint
        except TransientError as error:
            failures.append(str(error))
    raise TransientError("; ".join(failures))
