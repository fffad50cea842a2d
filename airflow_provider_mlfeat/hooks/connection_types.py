"""The four connection types, as plain data: Airflow reads it to draw the forms, the hooks read it to parse the fields.

Secrets live in the standard password field, which Airflow encrypts and masks; no field of `conn-fields` holds one.
A field's `default`, `enum`, `minimum` and `maximum` are written here once and hold for the form and for the parser.
"""

from __future__ import annotations

from typing import Any

_HOOKS = "airflow_provider_mlfeat.hooks"


def _text(label: str, description: str, default: str = "") -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], "default": default}}


def _choice(label: str, description: str, values: list[str]) -> dict[str, Any]:
    """A list to pick from; its first value is the default. Airflow's form cannot show null inside an enum."""
    return {
        "label": label,
        "description": description,
        "schema": {"type": "string", "enum": values, "default": values[0]},
    }


def _switch(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["boolean", "null"], "default": False}}


def _mapping(label: str, description: str) -> dict[str, Any]:
    """A JSON object. The form needs a default that is an object."""
    return {
        "label": label,
        "description": description,
        "schema": {"type": ["object", "null"], "format": "json", "default": {}},
    }


def _whole(label: str, description: str, default: int | None, minimum: int, maximum: int) -> dict[str, Any]:
    schema = {"type": ["integer", "null"], "default": default, "minimum": minimum, "maximum": maximum}
    return {"label": label, "description": description, "schema": schema}


def _timeout(what: str, default: float) -> dict[str, Any]:
    return {
        "label": "Timeout (seconds)",
        "description": f"How long one call to {what} may take. Test waits 5 seconds at most.",
        "schema": {"type": ["number", "null"], "default": default, "minimum": 0.1, "maximum": 3600},
    }


TRITON: dict[str, Any] = {
    "connection-type": "mlfeat_triton",
    "hook-class-name": f"{_HOOKS}.triton.TritonHook",
    "hook-name": "MLfeat: Triton Inference Server",
    "conn-fields": {
        "protocol": _choice(
            "Protocol", "http (port 8000 by default) or grpc (port 8001 by default).", ["http", "grpc"]
        ),
        "replicas": _text(
            "Further replicas",
            "Other servers that hold the same models, as host:port,host:port. A deployment goes to all of them.",
        ),
        "tls": _switch("TLS", "Encrypt the connection (https, or gRPC over TLS)."),
        "ca_certificate": _text(
            "CA certificate", "Path of a PEM file with the authority that signed the servers' certificates."
        ),
        "headers": _mapping(
            "Headers",
            "Headers of every request as a JSON object, for example the key of a restricted endpoint. "
            "A bearer token belongs in the password field.",
        ),
        "model_repository": _text(
            "Model repository", "The folder that the servers read models from, as the Airflow workers see it."
        ),
        "timeout": _timeout("a server", 30),
    },
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "login"],
        "relabeling": {"password": "Bearer token"},
        "placeholders": {"host": "triton.example.com", "port": "8000", "password": "leave empty when there is none"},
    },
}

MLFLOW: dict[str, Any] = {
    "connection-type": "mlfeat_mlflow",
    "hook-class-name": f"{_HOOKS}.mlflow.MLflowHook",
    "hook-name": "MLfeat: MLflow",
    "conn-fields": {
        "tracking_uri": _text(
            "Tracking URI",
            "In place of scheme, host and port: a server's address with a path, or a database such as sqlite:////path. "
            "With neither, runs go to an SQLite file below the state directory.",
        ),
        "registry_uri": _text("Registry URI", "Where models are registered, when that is not the tracking server."),
        "experiment": _text("Experiment", "The experiment that runs are filed under.", "mlfeat"),
        "artifact_location": _text(
            "Artifact location",
            "Folder or bucket for artefacts of a new experiment. Empty: the server's choice, or a folder below the "
            "state directory when runs go to an SQLite file there.",
        ),
        "pages": _text(
            "Address of the pages",
            "Where people open MLflow, for links, when that is not the tracking server's address.",
        ),
        "ca_certificate": _text(
            "CA certificate", "Path of a PEM file with the authority that signed the server's certificate."
        ),
        "timeout": _timeout("the server", 120),
    },
    "ui-field-behaviour": {
        "hidden-fields": [],
        "relabeling": {"schema": "Scheme (http or https)", "password": "Password, or token when login is empty"},
        "placeholders": {"schema": "http", "host": "mlflow.example.com (empty: local SQLite file)", "port": "5000"},
    },
}

ONLINE: dict[str, Any] = {
    "connection-type": "mlfeat_online",
    "hook-class-name": f"{_HOOKS}.online.OnlineStoreHook",
    "hook-name": "MLfeat: online feature store",
    "conn-fields": {
        "backend": _choice(
            "Backend",
            "embedded: files that one server process reads. redis: a Redis that many share.",
            ["embedded", "redis"],
        ),
        "path": _text("Folder (embedded)", "Folder of the embedded store. Empty: online/ below the state directory."),
        "database": _whole("Database (redis)", "Number of the Redis database; a cluster has only 0.", 0, 0, 65535),
        "tls": _switch("TLS (redis)", "Encrypt the connection."),
        "ca_certificate": _text(
            "CA certificate (redis)", "Path of a PEM file with the authority that signed the server's certificate."
        ),
        "cluster": _switch("Cluster (redis)", "The host is one node of a Redis Cluster."),
        "key_prefix": _text("Key prefix (redis)", "Every key starts with it; give each environment its own.", "mlfeat"),
        "timeout": _timeout("Redis", 5),
    },
    "ui-field-behaviour": {
        "hidden-fields": ["schema"],
        "relabeling": {"host": "Host (redis)", "port": "Port (redis)", "login": "User (redis)"},
        "placeholders": {"host": "redis.example.com", "port": "6379", "login": "empty: the default user"},
    },
}

SPARK: dict[str, Any] = {
    "connection-type": "mlfeat_spark",
    "hook-class-name": f"{_HOOKS}.spark.SparkHook",
    "hook-name": "MLfeat: Spark",
    "conn-fields": {
        "driver_memory": _text(
            "Driver memory", "Heap of the driver, for example 4g. The driver is the task's process."
        ),
        "executor_memory": _text("Executor memory", "Heap of one executor, for example 8g."),
        "executor_cores": _whole("Executor cores", "Cores of one executor.", None, 1, 1024),
        "executors": _whole("Executors", "Number of executors. Empty: the cluster's choice.", None, 1, 100_000),
        "python": _text(
            "Python of the executors", "Interpreter that has this package with the engine extra. Empty: the driver's."
        ),
        "conf": _mapping(
            "Spark configuration",
            'Further settings as a JSON object, for example {"spark.sql.shuffle.partitions": 64}. '
            "The fields above win over it.",
        ),
    },
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "login"],
        "relabeling": {"host": "Master", "password": "Token (Spark Connect)"},
        "placeholders": {
            "host": "local[*], spark://host:7077 or sc://host:15002",
            "port": "when not part of the master",
        },
    },
}

CONNECTION_TYPES: list[dict[str, Any]] = [TRITON, MLFLOW, ONLINE, SPARK]
