"""Datasets from feature sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.links.report import ReportLink, push_report
from airflow_provider_mlfeat.operators.job import JobOperator
from airflow_provider_mlfeat.operators.spark import spark_master, spark_secrets
from airflow_provider_mlfeat.operators.tables import TableJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class BuildDatasetOperator(TableJobOperator):
    """Split a feature set, fit an encoder on its training rows, and write what a model learns from.

    The same request for the same version of a feature set finds the dataset that is there already.

    XCom, beside what every job returns: ``dataset`` (folder), ``dataset_fingerprint``, ``encoder_fingerprint``,
    ``plan_id``, ``feature_set`` (``name@3``), ``profile``, ``fields`` and ``values`` (counts), ``table_rows`` (of all
    fields together), ``rows``, ``train_rows``, ``valid_rows``, ``test_rows``, ``positives``, ``dropped`` (column →
    reason), ``warnings`` (list) and ``already_built``.

    :param label_column: the label's column, 0 or 1. (templated)
    :param feature_set: the rows: ``name``, ``name@3`` or ``database.name@3``. (templated)
    :param path: the rows, in place of a feature set: a parquet file, or a folder of such files. (templated)
    :param profile: ``recommended`` makes fields by what the training rows hold and drops ids and constants;
        ``numeric`` keeps numbers as they are, for trees; ``faithful`` hashes every column as the original pipeline
        does; ``declared`` takes `fields`. None is ``declared`` where there are fields, else ``recommended``.
        (templated)
    :param fields: declared fields: documents with ``name``, ``column``, ``kind`` and options. (templated)
    :param split: a document with ``kind`` (``time``, ``key``, ``random`` or ``positional``) and perhaps ``columns``,
        ``train``, ``test`` (shares) and ``boundaries``; None is by time where there is a time column, as the rows lie
        for profile ``faithful``, else at random. (templated)
    :param key_columns: columns that identify a row; a key that comes twice is an error. (templated)
    :param time_column: the column with the row's time. (templated)
    :param group_columns: columns whose values together must not be in two splits. (templated)
    :param drop_columns: columns that a profile leaves out. (templated)
    :param leakage: ``refuse`` a dataset that leaks, or only ``warn``. (templated)
    :param shuffle: whether the training rows are shuffled; None is yes, but for profile ``faithful``.
    :param seed: of hashes, splits and the shuffle.
    :param name: of the folder that the datasets are kept in; None is the feature set's. (templated)
    :param output_folder: folder of all datasets; None is ``.datasets/`` below `root`. (templated)
    :param engine: ``batch`` goes over the rows in the job's process, in constant memory; ``spark`` goes over them on
        Spark, whose workers must see the folder of the datasets. Both give the same bytes. (templated)
    :param spark_conn_id: connection of type ``mlfeat_spark``; None is Spark in the job's process. (templated)
    """

    template_fields: Sequence[str] = (
        *("label_column", "feature_set", "path", "profile", "fields", "split", "key_columns", "time_column"),
        *("group_columns", "drop_columns", "leakage", "name", "output_folder", "engine", "spark_conn_id"),
        *TableJobOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {
        "fields": "json",
        "split": "json",
        **JobOperator.template_fields_renderers,
    }
    operator_extra_links = (*JobOperator.operator_extra_links, ReportLink())
    ui_color = "#e9e4f5"

    def __init__(
        self,
        *,
        label_column: str,
        feature_set: str | None = None,
        path: str | None = None,
        profile: str | None = None,
        fields: Sequence[dict[str, Any]] = (),
        split: dict[str, Any] | None = None,
        key_columns: Sequence[str] = (),
        time_column: str | None = None,
        group_columns: Sequence[str] = (),
        drop_columns: Sequence[str] = (),
        leakage: str = "refuse",
        shuffle: bool | None = None,
        seed: int = 10,
        name: str | None = None,
        output_folder: str | None = None,
        engine: str = "batch",
        spark_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.label_column = label_column
        self.feature_set = feature_set
        self.path = path
        self.profile = profile
        self.fields = fields
        self.split = split
        self.key_columns = key_columns
        self.time_column = time_column
        self.group_columns = group_columns
        self.drop_columns = drop_columns
        self.leakage = leakage
        self.shuffle = shuffle
        self.seed = seed
        self.name = name
        self.output_folder = output_folder
        self.engine = engine
        self.spark_conn_id = spark_conn_id
        self.report_url: str | None = None

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``build_dataset`` job."""
        return {
            "kind": "build_dataset",
            "root": self.tables_root(),
            "feature_set": self.feature_set or "",
            "path": self.path or "",
            "label_column": self.label_column,
            "profile": self.profile or ("declared" if self.fields else "recommended"),
            "fields": [dict(one) for one in self.fields],
            "split": self.split,
            "key_columns": list(self.key_columns),
            "time_column": self.time_column or "",
            "group_columns": list(self.group_columns),
            "drop_columns": list(self.drop_columns),
            "leakage": self.leakage,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "name": self.name or "",
            "output": self.output_folder or "",
            "engine": self.engine,
            "master": spark_master(self.spark_conn_id) if self.engine == "spark" else "",
        }

    def secrets(self, context: Context) -> dict[str, str]:
        """Storage options, and the configuration of Spark where that is asked for."""
        spark = spark_secrets(self.spark_conn_id) if self.engine == "spark" else {}
        return {**super().secrets(context), **spark}

    def _finish(self, result: dict[str, Any], context: Context) -> dict[str, Any]:
        """The page of the report is there as soon as the job has ended."""
        self.report_url = push_report(result, context)
        return super()._finish(result, context)
