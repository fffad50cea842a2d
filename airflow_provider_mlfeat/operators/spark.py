"""What operators that can use Spark take from a connection to it."""

from __future__ import annotations


def spark_options(spark_conn_id: str | None) -> dict[str, str]:
    """The options of a session by the connection; none without one, which is Spark in the job's process."""
    if spark_conn_id is None:
        return {}
    from airflow_provider_mlfeat.hooks.spark import SparkHook

    return SparkHook(spark_conn_id).settings.session_options()


def spark_master(spark_conn_id: str | None) -> str:
    """The master by the connection; '' without one."""
    return spark_options(spark_conn_id).get("spark.master", "")


def spark_secrets(spark_conn_id: str | None) -> dict[str, str]:
    """The options but the master as a job's secrets: they may hold tokens."""
    from airflow_provider_mlfeat.jobs.tables.engines import SPARK_SECRET

    options = spark_options(spark_conn_id)
    return {SPARK_SECRET + name: value for name, value in options.items() if name != "spark.master"}
