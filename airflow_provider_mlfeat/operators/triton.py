"""Triton: deploy a model, roll it back, unload it, score rows with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf

from airflow_provider_mlfeat.hooks.arguments import number, optional_number
from airflow_provider_mlfeat.links.triton import TritonModelLink
from airflow_provider_mlfeat.operators.job import JobOperator
from airflow_provider_mlfeat.operators.tables import TableJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mlfeat.hooks.triton import TritonHook


class TritonJobOperator(JobOperator):
    """What operators on Triton servers share: which servers.

    :param triton_model: the model's name in Triton. (templated)
    :param triton_conn_id: connection of type ``mlfeat_triton``; an operation reaches all of its servers. (templated)
    """

    template_fields: Sequence[str] = ("triton_model", "triton_conn_id", *JobOperator.template_fields)
    operator_extra_links = (*JobOperator.operator_extra_links, TritonModelLink())
    ui_color = "#e3f0dc"

    def __init__(self, *, triton_model: str, triton_conn_id: str = "mlfeat_triton_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.triton_model = triton_model
        self.triton_conn_id = triton_conn_id
        self.model_url: str | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the job; the link to the model is there from the start."""
        self.model_url = self._hook().model_url(self.triton_model)
        context["ti"].xcom_push(key=TritonModelLink().xcom_key, value=self.model_url)
        return super().execute(context)

    def secrets(self, context: Context) -> dict[str, str]:
        """The headers of the connection, its token among them."""
        return self._hook().secrets()

    def servers_document(self) -> dict[str, Any]:
        """The part of a spec that says which servers."""
        return self._hook().servers_document()

    def _hook(self) -> TritonHook:
        from airflow_provider_mlfeat.hooks.triton import TritonHook

        return TritonHook(self.triton_conn_id)


class TritonRolloutOperator(TritonJobOperator):
    """What operators share that change which version is live.

    :param model_repository: what the servers read models from, as the job sees it: a folder, or a prefix of ``s3://``
        or ``gs://``; None is the connection's. (templated)
    :param storage_conn_id: connection with access to an object store, as for the operators on tables. (templated)
    :param load_seconds: how long one load may take, warm-up included. (templated)
    :param lock_seconds: how long to wait for another roll-out of the same model. (templated)
    :param drain_seconds: how long what is no longer live stays loaded, for routers that name versions. (templated)
    """

    template_fields: Sequence[str] = (
        *("model_repository", "storage_conn_id", "load_seconds", "lock_seconds", "drain_seconds"),
        *TritonJobOperator.template_fields,
    )

    def __init__(
        self,
        *,
        model_repository: str | None = None,
        storage_conn_id: str | None = None,
        load_seconds: float | str = 120.0,
        lock_seconds: float | str = 600.0,
        drain_seconds: float | str = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_repository = model_repository
        self.storage_conn_id = storage_conn_id
        self.load_seconds = load_seconds
        self.lock_seconds = lock_seconds
        self.drain_seconds = drain_seconds

    def secrets(self, context: Context) -> dict[str, str]:
        """The headers for Triton, and access to the repository."""
        from airflow_provider_mlfeat.hooks.storage import storage_secrets

        return {**super().secrets(context), **storage_secrets(self.storage_conn_id)}

    def rollout_document(self) -> dict[str, Any]:
        """The part of a spec that all changes share."""
        return {
            **self.servers_document(),
            "repository": self.model_repository or self._hook().settings.model_repository or "",
            "triton_model": self.triton_model,
            **{
                name: number(float, getattr(self, name), name)
                for name in ("load_seconds", "lock_seconds", "drain_seconds")
            },
        }


class DeployTritonModelOperator(TritonRolloutOperator):
    """Bring a model live on all Triton servers of a connection, without a failed request.

    The version is written to the repository, loaded beside the live one, asked for its golden rows, tried on a share
    of the keys when `canary` says so, and only then made live. The version before stays loaded, to go back to at once.
    Whatever fails before the switch is undone, and the task tells why. A version that is live already is only proven.

    XCom, beside what every job returns: ``triton_model``, ``triton_version``, ``previous_version``, ``loaded``,
    ``servers``, ``repository``, ``endpoint`` (what a prediction server needs), ``model_name``, ``model_version``,
    ``model_fingerprint``, ``encoder_fingerprint``, ``plan_id``, ``changed``, ``golden_difference``,
    ``deploy_seconds``, ``removed``, ``canary_requests``, ``canary_errors`` and ``canary_p99_ms``.

    :param model: a model folder, such as the training's ``model``; None takes the registered model. (templated)
    :param model_name: the registered model's name. (templated)
    :param model_version: its version, a number or an alias, which is resolved once; the number in Triton is the same.
        With `model` it is that number, and None finds one. (templated)
    :param mlflow_conn_id: connection of type ``mlfeat_mlflow``, for a registered model. (templated)
    :param tuning: how servers run it: ``backend``, ``instances``, ``threads``, ``gpus``, ``max_batch_size``,
        ``queue_delay_us``, ``queue_size``, ``queue_timeout_us``, ``cache``, ``environment``. (templated)
    :param canary: how it is tried before the switch: ``share``, ``seconds``, ``rate``, ``max_error_share``,
        ``max_p99_ms``, ``feature_set`` (rows to send, in place of golden ones); None tries nothing. (templated)
    :param root: where the canary's feature set is, as for the operators on tables. (templated)
    :param raw_features: whether a second model, named like the first with ``_raw`` behind, takes raw features and
        encodes them inside the server. Once it is live, it stays in step.
    :param keep: how many earlier versions stay loaded. (templated)
    :param keep_files: how many earlier versions stay in the repository. (templated)
    :param tolerance: how far an answer to a golden row may be off. (templated)
    """

    template_fields: Sequence[str] = (
        *("model", "model_name", "model_version", "mlflow_conn_id", "tuning", "canary"),
        *("root", "keep", "keep_files", "tolerance"),
        *TritonRolloutOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {
        "tuning": "json",
        "canary": "json",
        **JobOperator.template_fields_renderers,
    }

    def __init__(
        self,
        *,
        model: str | None = None,
        model_name: str | None = None,
        model_version: int | str | None = None,
        mlflow_conn_id: str = "mlfeat_mlflow_default",
        tuning: dict[str, Any] | None = None,
        canary: dict[str, Any] | None = None,
        root: str | None = None,
        raw_features: bool = False,
        keep: int | str = 1,
        keep_files: int | str = 5,
        tolerance: float | str = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.model_name = model_name
        self.model_version = model_version
        self.mlflow_conn_id = mlflow_conn_id
        self.tuning = tuning
        self.canary = canary
        self.root = root
        self.raw_features = raw_features
        self.keep = keep
        self.keep_files = keep_files
        self.tolerance = tolerance

    def secrets(self, context: Context) -> dict[str, str]:
        """The headers for Triton, and, for a registered model, the way to MLflow."""
        if self.model:
            return super().secrets(context)
        from airflow_provider_mlfeat.hooks.mlflow import MLflowHook
        from airflow_provider_mlfeat.jobs.models.tracking import tracking_secrets

        return {**super().secrets(context), **tracking_secrets(MLflowHook(self.mlflow_conn_id).settings.environment())}

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``deploy_triton_model`` job."""
        return {
            "kind": "deploy_triton_model",
            **self.rollout_document(),
            "root": self.root or str(conf.get("mlfeat", "tables_root", fallback="")),
            "model": self.model or "",
            "model_name": self.model_name or "",
            "model_version": "" if self.model_version is None else str(self.model_version),
            **({} if self.model else {"tracking": self._tracking_document()}),
            "tuning": dict(self.tuning or {}),
            "canary": dict(self.canary or {}),
            "raw_features": self.raw_features,
            "keep": number(int, self.keep, "keep"),
            "keep_files": number(int, self.keep_files, "keep_files"),
            "tolerance": number(float, self.tolerance, "tolerance"),
        }

    def _tracking_document(self) -> dict[str, Any]:
        from airflow_provider_mlfeat.hooks.mlflow import MLflowHook

        return {"location": MLflowHook(self.mlflow_conn_id).settings.location}


class RollbackTritonModelOperator(TritonRolloutOperator):
    """Go back to an earlier version of a model on all Triton servers; at once when it is still loaded.

    XCom, beside what every job returns: ``triton_model``, ``triton_version``, ``previous_version``, ``loaded``,
    ``servers``, ``repository``, ``endpoint`` and ``rolled_back_from``.

    :param version: the version to go back to; None is the one before the live one. (templated)
    :param reason: why, for the model's history. (templated)
    """

    template_fields: Sequence[str] = ("version", "reason", *TritonRolloutOperator.template_fields)

    def __init__(self, *, version: int | str | None = None, reason: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.version = version
        self.reason = reason

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``rollback_triton_model`` job."""
        return {
            "kind": "rollback_triton_model",
            **self.rollout_document(),
            "version_back": optional_number(int, self.version, "version"),
            "reason": self.reason,
        }


class UnloadTritonModelOperator(TritonRolloutOperator):
    """Stop serving a model on all Triton servers, or let go one of its versions that is not live.

    The files stay in the repository.

    XCom, beside what every job returns: ``triton_model``, ``triton_version`` (0 when none is live any more),
    ``previous_version``, ``loaded``, ``servers``, ``repository`` and ``endpoint``.

    :param version: a version that is not live; None is the whole model. (templated)
    """

    template_fields: Sequence[str] = ("version", *TritonRolloutOperator.template_fields)

    def __init__(self, *, version: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.version = version

    def build_spec(self, context: Context) -> dict[str, Any]:
        """An ``unload_triton_model`` job."""
        return {
            "kind": "unload_triton_model",
            **self.rollout_document(),
            "unload_version": optional_number(int, self.version, "version"),
        }


class TritonInferOperator(TritonJobOperator, TableJobOperator):
    """Score rows of a feature set, a table or Parquet files on Triton, with a bounded number of requests under way.

    The rows hold features as the feature query gives them; the model's own encoder makes of them what the model takes.
    The file of scores appears whole or not at all, in the order of the rows; each row names the version that scored it.

    XCom, beside what every job returns: ``triton_model``, ``triton_version``, ``rows_from`` (``name@3``), ``rows``,
    ``mean_score``, ``output`` and ``rows_per_second``.

    :param model: the model folder, for its encoder. (templated)
    :param rows: Parquet files, folders and patterns, or one ``table:NAME@VERSION`` or ``delta:PATH@VERSION``.
        (templated)
    :param feature_set: the rows, in place of `rows`: ``name``, ``name@3`` or ``database.name@3``. (templated)
    :param scores: the Parquet file to write. (templated)
    :param keys: columns of the rows that go beside the scores. (templated)
    :param version: the version to ask; None is the highest that is ready, found once for all rows. (templated)
    :param batch_rows: rows of one request. (templated)
    :param concurrency: requests that are under way at the same time. (templated)
    """

    template_fields: Sequence[str] = (
        *("model", "rows", "feature_set", "scores", "keys", "version", "batch_rows", "concurrency"),
        *("root", "storage_conn_id"),
        *TritonJobOperator.template_fields,
    )

    def __init__(
        self,
        *,
        model: str,
        scores: str,
        rows: Sequence[str] | str = (),
        feature_set: str | None = None,
        keys: Sequence[str] = (),
        version: int | str | None = None,
        batch_rows: int | str = 1024,
        concurrency: int | str = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.rows = rows
        self.feature_set = feature_set
        self.scores = scores
        self.keys = keys
        self.version = version
        self.batch_rows = batch_rows
        self.concurrency = concurrency

    def secrets(self, context: Context) -> dict[str, str]:
        """The headers for Triton, and access to the tables."""
        return {**TritonJobOperator.secrets(self, context), **TableJobOperator.secrets(self, context)}

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``triton_infer`` job."""
        return {
            "kind": "triton_infer",
            **self.servers_document(),
            "triton_model": self.triton_model,
            "triton_version": optional_number(int, self.version, "version"),
            "model": self.model,
            "root": self.tables_root(),
            "input": [self.rows] if isinstance(self.rows, str) else list(self.rows),
            "feature_set": self.feature_set or "",
            "output": self.scores,
            "keys": list(self.keys),
            "batch_rows": number(int, self.batch_rows, "batch_rows"),
            "concurrency": number(int, self.concurrency, "concurrency"),
        }
