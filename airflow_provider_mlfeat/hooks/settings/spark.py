"""What a Spark connection says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from airflow_provider_mlfeat.hooks.fields import ConnectionFields

_MASTER = re.compile(r"local(\[.+\])?|local-cluster\[.+\]|spark://.+|k8s://.+|yarn")
_SECRET = re.compile(r"secret|password|token|access[._]?key", re.IGNORECASE)
_MEMORY = re.compile(r"[1-9]\d*[kmgt]b?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SparkSettings:
    """A Spark master, or a Spark Connect server.

    :param master: the master; for Spark Connect, the address without its token.
    :param conf: Spark configuration, the dedicated fields included.
    :param token: token of Spark Connect.
    """

    master: str
    conf: tuple[tuple[str, str], ...] = field(repr=False)
    token: str | None = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        hidden = [value for key, value in self.conf if _SECRET.search(key)]
        return tuple(secret for secret in (self.token, *hidden) if secret)

    @property
    def is_connect(self) -> bool:
        """Whether the driver is a Spark Connect server."""
        return self.master.startswith("sc://")

    @property
    def is_local(self) -> bool:
        """Whether Spark runs in the task's own process."""
        return self.master.startswith("local")

    def session_options(self) -> dict[str, str]:
        """What a SparkSession builder is given, through ``config(key, value)``."""
        if not self.is_connect:
            return {"spark.master": self.master, **dict(self.conf)}
        separator = ";" if "/;" in self.master else "/;"
        return {
            "spark.remote": self.master + (f"{separator}token={self.token}" if self.token else ""),
            **dict(self.conf),
        }

    @classmethod
    def parse(cls, fields: ConnectionFields) -> SparkSettings:
        """The settings in a connection's fields."""
        master, token = _spark_master(fields)
        dedicated = {
            "spark.driver.memory": fields.text("driver_memory"),
            "spark.executor.memory": fields.text("executor_memory"),
            "spark.executor.cores": fields.whole("executor_cores"),
            "spark.executor.instances": fields.whole("executors"),
            "spark.pyspark.python": fields.text("python"),
        }
        for name, key in (("driver_memory", "spark.driver.memory"), ("executor_memory", "spark.executor.memory")):
            if dedicated[key] and not _MEMORY.fullmatch(str(dedicated[key])):
                raise fields.error(f"field '{name}' must be a size such as 4g, not '{dedicated[key]}'")
        conf = dict(fields.mapping("conf"))
        for key in conf:
            if not key.startswith("spark."):
                raise fields.error(f"field 'conf': '{key}' does not start with 'spark.'")
        given = {key: str(value) for key, value in dedicated.items() if value is not None}
        if master.startswith("sc://") and given:
            raise fields.error(f"{next(iter(given))} is the Spark Connect server's own setting; leave its field empty")
        return cls(master=master, conf=tuple({**conf, **given}.items()), token=token)


def _spark_master(fields: ConnectionFields) -> tuple[str, str | None]:
    """The master without a token, and the token of Spark Connect."""
    master, token = fields.host or "local[*]", fields.password
    if fields.port:
        address, slash, parameters = master.partition("/;")
        master = f"{address}:{fields.port}{slash}{parameters}"
    if not master.startswith("sc://"):
        if token:
            raise fields.error("a token is for Spark Connect (sc://) only")
        if not _MASTER.fullmatch(master):
            raise fields.error(
                f"'{master}' is no Spark master; write local[*], spark://host:7077, sc://host:15002, k8s://… or yarn"
            )
        return master, None
    address, _, parameters = master.partition("/;")
    kept = []
    for parameter in filter(None, parameters.split(";")):
        name, _, value = parameter.partition("=")
        if name == "token":
            token = token or unquote(value)
        else:
            kept.append(parameter)
    return "/;".join(filter(None, (address.rstrip("/"), ";".join(kept)))), token
