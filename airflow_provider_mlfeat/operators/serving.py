"""Operators of serving: parity before, switching and going back, asking, drift after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.hooks.arguments import document, optional_number
from airflow_provider_mlfeat.links.report import ReportLink, report_page_url
from airflow_provider_mlfeat.operators.job import JobOperator
from airflow_provider_mlfeat.operators.online import OnlineJobOperator
from airflow_provider_mlfeat.operators.tables import TableJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context


def _endpoint(endpoint: Mapping[str, Any] | str | None, triton_conn_id: str | None) -> dict[str, Any]:
    """A model on a Triton server: how to get there is the connection's, which model is the caller's."""
    given = document(endpoint, "endpoint")
    if triton_conn_id is None:
        return given
    from airflow_provider_mlfeat.hooks.triton import TritonHook

    servers = TritonHook(triton_conn_id).servers_document()
    place = {name: servers[name] for name in ("protocol", "tls", "ca_certificate")}
    return {**place, "address": servers["servers"][0], **given}


def _triton_secrets(triton_conn_id: str | None) -> dict[str, str]:
    """The headers of the connection, its token among them."""
    if triton_conn_id is None:
        return {}
    from airflow_provider_mlfeat.hooks.triton import TritonHook

    return TritonHook(triton_conn_id).secrets()


class CheckParityOperator(OnlineJobOperator, TableJobOperator):
    """Replay past requests through the path that serves, and compare every number with what training used.

    Each request is answered with the history of its moment by the deployment, encoded by the model's encoder, and
    scored where the model runs. One differing cell, key or prediction fails the task; the report shows the cells.

    XCom, beside what every job returns: ``feature_set``, ``deployment``, ``requests``, ``cells``, ``mismatches``,
    ``cell_mismatches``, ``key_mismatches``, ``prediction_mismatches``, ``largest_difference``, ``report`` and
    ``already_checked``: an equal check that found no difference is not made again.

    :param feature_set: what training used, with its version: ``name@3``. (templated)
    :param deployment: what answers requests, ``name@version``. (templated)
    :param model: folder of the model; empty compares features alone. (templated)
    :param backend: where predictions come from, ``onnx`` or ``triton``. (templated)
    :param endpoint: of the Triton server: ``address``, ``protocol``, ``model``, ``version``; also as JSON text, as
        a template makes it of a roll-out's ``endpoint`` with ``| tojson``. (templated)
    :param triton_conn_id: connection of type ``mlfeat_triton``: address, TLS and headers that `endpoint` leaves out.
        (templated)
    :param tables: what tables are bound to, as in the extraction, where they are not tables of the store. (templated)
    :param label_column: the column that is no feature. (templated)
    :param key: a column that tells rows apart; empty finds one. (templated)
    :param time_column: of the request table; empty takes the one that windows are ordered by. (templated)
    :param requests: how many requests to replay, spread over all; 0 is every one. (templated)
    :param report: folder for the report. (templated)
    :param blocking: whether a difference fails the task.
    """

    template_fields: Sequence[str] = (
        *(
            "feature_set",
            "deployment",
            "model",
            "backend",
            "endpoint",
            "triton_conn_id",
            "tables",
            "label_column",
            "key",
        ),
        *("time_column", "requests", "report", "root", "storage_conn_id"),
        *OnlineJobOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {"endpoint": "json", **JobOperator.template_fields_renderers}
    operator_extra_links = (*JobOperator.operator_extra_links, ReportLink())

    def __init__(
        self,
        *,
        feature_set: str,
        deployment: str,
        report: str,
        model: str = "",
        backend: str = "onnx",
        endpoint: dict[str, Any] | str | None = None,
        triton_conn_id: str | None = None,
        tables: dict[str, str] | None = None,
        label_column: str = "",
        key: str = "",
        time_column: str = "",
        requests: int | str = 0,
        blocking: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.feature_set = feature_set
        self.deployment = deployment
        self.report = report
        self.model = model
        self.backend = backend
        self.endpoint = endpoint
        self.triton_conn_id = triton_conn_id
        self.tables = tables
        self.label_column = label_column
        self.key = key
        self.time_column = time_column
        self.requests = requests
        self.blocking = blocking
        self.report_url: str | None = None

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``check_parity`` job."""
        return {
            "kind": "check_parity",
            "root": self.tables_root(),
            "online": self.online_place(),
            "feature_set": self.feature_set,
            "deployment": self.deployment,
            "model": self.model,
            "backend": self.backend,
            "endpoint": _endpoint(self.endpoint, self.triton_conn_id),
            "tables": dict(self.tables or {}),
            "label": self.label_column,
            "key": self.key,
            "time_column": self.time_column,
            "requests": optional_number(int, self.requests, "requests") or 0,
            "report": self.report,
            "blocking": self.blocking,
        }

    def secrets(self, context: Context) -> dict[str, str]:
        """Those of the store, and the headers for Triton."""
        return {**super().secrets(context), **_triton_secrets(self.triton_conn_id)}

    def _finish(self, result: dict[str, Any], context: Context) -> dict[str, Any]:
        """The page of the report is there as soon as the job has ended."""
        if result["job_id"]:
            self.report_url = report_page_url(context["ti"].dag_id, result["job_id"])
            context["ti"].xcom_push(key=ReportLink().xcom_key, value=self.report_url)
        return super()._finish(result, context)


class ServerJobOperator(JobOperator):
    """What operators that speak with prediction servers share.

    :param servers: their addresses, such as ``http://127.0.0.1:8000``. (templated)
    :param server_conn_id: connection whose password is the servers' bearer token; its host and port are asked where
        `servers` names none. (templated)
    """

    template_fields: Sequence[str] = ("servers", "server_conn_id", *JobOperator.template_fields)
    ui_color = OnlineJobOperator.ui_color

    def __init__(self, *, servers: Sequence[str] | str = (), server_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.servers = servers
        self.server_conn_id = server_conn_id

    def server_place(self) -> dict[str, Any]:
        """Where the servers are, as specs say it."""
        urls = [self.servers] if isinstance(self.servers, str) else list(self.servers)
        urls = [url for url in urls if url]
        if not urls and self.server_conn_id is not None:
            from airflow.sdk import BaseHook

            connection = BaseHook.get_connection(self.server_conn_id)
            port = f":{connection.port}" if connection.port else ""
            urls = [f"{connection.schema or 'http'}://{connection.host}{port}"]
        return {"urls": urls}

    def secrets(self, context: Context) -> dict[str, str]:
        """The bearer token."""
        from airflow_provider_mlfeat.hooks.serving_releases import server_secrets

        return {**super().secrets(context), **server_secrets(self.server_conn_id)}


class SwitchServingOperator(ServerJobOperator, OnlineJobOperator):
    """Make features and a model the live release of a service, in one step.

    The release is first made ready as a server would: the deployment compiles, the model's files are whole, its golden
    rows come out as in training, its plan is the deployment's. Then it is switched, and the task succeeds when every
    server answers with it; when one does not, the release before is live again.

    XCom, beside what every job returns: ``service``, ``release``, ``previous_release``, ``deployment``, ``plan_id``,
    ``model_name``, ``model_version`` and ``switched``.

    :param deployment: the features, ``name@version``. (templated)
    :param service: which service. (templated)
    :param model: folder of the model; empty is a service of features alone. (templated)
    :param model_name: what the registry calls the model. (templated)
    :param model_version: its version there. (templated)
    :param backend: where the model runs: ``onnx`` in the server, ``triton`` on a Triton server. (templated)
    :param endpoint: of the Triton server: ``address``, ``protocol``, ``model``, ``version``; also as JSON text, as
        a template makes it of a roll-out's ``endpoint`` with ``| tojson``. (templated)
    :param triton_conn_id: connection of type ``mlfeat_triton``: address, TLS and headers that `endpoint` leaves out.
        (templated)
    :param label_column: the output column that is no feature. (templated)
    :param threshold: from which probability on the class is 1. (templated)
    :param models: folder for copies of models; empty is ``serving/models`` below the state directory. (templated)
    """

    template_fields: Sequence[str] = (
        *("deployment", "service", "model", "model_name", "model_version", "backend", "endpoint", "label_column"),
        *("triton_conn_id", "threshold", "models", "online_conn_id"),
        *ServerJobOperator.template_fields,
    )
    template_fields_renderers: Mapping[str, str] = {"endpoint": "json", **JobOperator.template_fields_renderers}

    def __init__(
        self,
        *,
        deployment: str,
        service: str = "default",
        model: str = "",
        model_name: str = "",
        model_version: int | str = "",
        backend: str = "onnx",
        endpoint: dict[str, Any] | str | None = None,
        triton_conn_id: str | None = None,
        label_column: str = "",
        threshold: float | str = 0.5,
        models: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deployment = deployment
        self.service = service
        self.model = model
        self.model_name = model_name
        self.model_version = model_version
        self.backend = backend
        self.endpoint = endpoint
        self.triton_conn_id = triton_conn_id
        self.label_column = label_column
        self.threshold = threshold
        self.models = models

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``switch_serving`` job."""
        threshold = optional_number(float, self.threshold, "threshold")
        return {
            "kind": "switch_serving",
            "online": self.online_place(),
            "server": self.server_place(),
            "service": self.service,
            "deployment": self.deployment,
            "model": self.model,
            "model_name": self.model_name,
            "model_version": str(self.model_version),
            "backend": self.backend,
            "endpoint": _endpoint(self.endpoint, self.triton_conn_id),
            "label": self.label_column,
            "threshold": 0.5 if threshold is None else threshold,
            "models": self.models,
        }

    def secrets(self, context: Context) -> dict[str, str]:
        """Those of the store, and the headers for Triton."""
        return {**super().secrets(context), **_triton_secrets(self.triton_conn_id)}


class RollbackServingOperator(ServerJobOperator, OnlineJobOperator):
    """Have a service answer with the release that was live before, features and model together.

    XCom, beside what every job returns: ``service``, ``release``, ``previous_release``, ``deployment``, ``plan_id``,
    ``model_name``, ``model_version`` and ``rolled_back``.

    :param service: which service. (templated)
    :param only_from: go back only where this release is live; None and empty go back from any. (templated)
    """

    template_fields: Sequence[str] = ("service", "only_from", "online_conn_id", *ServerJobOperator.template_fields)

    def __init__(self, *, service: str = "default", only_from: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.only_from = only_from

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``rollback_serving`` job."""
        return {
            "kind": "rollback_serving",
            "online": self.online_place(),
            "server": self.server_place(),
            "service": self.service,
            "only_from": optional_number(int, self.only_from, "only_from"),
        }


class PredictOperator(ServerJobOperator):
    """Ask a prediction server for the probabilities of request rows.

    XCom, beside what every job returns: ``predictions`` (list of the server's answers), ``probability`` and
    ``milliseconds`` (of the first row) and ``seconds_round_trip``.

    :param rows: request rows, an object with one value per column each. (templated)
    :param service: which service; empty is the server's own. (templated)
    """

    template_fields: Sequence[str] = ("rows", "service", *ServerJobOperator.template_fields)
    template_fields_renderers: Mapping[str, str] = {"rows": "json", **JobOperator.template_fields_renderers}

    def __init__(self, *, rows: Sequence[dict[str, Any]] | dict[str, Any], service: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows
        self.service = service

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``predict`` job."""
        return {
            "kind": "predict",
            "server": self.server_place(),
            "service": self.service,
            "rows": [self.rows] if isinstance(self.rows, Mapping) else list(self.rows),
        }


class CheckDriftOperator(TableJobOperator):
    """Compare the requests that a server answered with what its model was trained on.

    Stability index and share of NULL per column, shift of the mean probability. On a breach the task emits an event of
    `breach_asset`, which may start the DAG that trains anew.

    XCom, beside what every job returns: ``drifted``, ``decided``, ``requests``, ``breaches`` (list), ``worst_column``,
    ``worst_index``, ``score_shift`` and ``report``.

    :param feature_set: what the model was trained on, with its version: ``name@3``. (templated)
    :param log_folder: the server's request log. (templated)
    :param report: folder for the figures. (templated)
    :param service: which service's requests. (templated)
    :param release: of which release; 0 is the newest that has a log. (templated)
    :param hours: how far back requests count; 0 is all. (templated)
    :param ignore: columns to leave out: ids, points in time, the label. (templated)
    :param scores: an evaluation's ``scores.parquet``; empty does not look at probabilities. (templated)
    :param stability_index: above it a column has drifted.
    :param null_share: by how much the share of NULL may differ.
    :param score_shift: by how much the mean probability may move, in standard deviations.
    :param min_requests: fewer requests than these decide nothing.
    :param breach_asset: gets an event when something has drifted.
    :param blocking: whether drift fails the task.
    """

    template_fields: Sequence[str] = (
        *("feature_set", "log_folder", "report", "service", "release", "hours", "ignore", "scores"),
        *TableJobOperator.template_fields,
    )

    def __init__(
        self,
        *,
        feature_set: str,
        log_folder: str,
        report: str,
        service: str = "default",
        release: int | str = 0,
        hours: float | str = 0,
        ignore: Sequence[str] = (),
        scores: str = "",
        stability_index: float = 0.25,
        null_share: float = 0.1,
        score_shift: float = 0.5,
        min_requests: int = 200,
        breach_asset: Asset | None = None,
        blocking: bool = False,
        **kwargs: Any,
    ) -> None:
        if breach_asset is not None:
            from airflow.sdk import AssetAlias

            # An alias gets an event only where the task adds one.
            kwargs["outlets"] = [*(kwargs.get("outlets") or []), AssetAlias(_alias(breach_asset))]
        super().__init__(**kwargs)
        self.feature_set = feature_set
        self.log_folder = log_folder
        self.report = report
        self.service = service
        self.release = release
        self.hours = hours
        self.ignore = ignore
        self.scores = scores
        self.stability_index = stability_index
        self.null_share = null_share
        self.score_shift = score_shift
        self.min_requests = min_requests
        self.breach_asset = breach_asset
        self.blocking = blocking

    def build_spec(self, context: Context) -> dict[str, Any]:
        """A ``check_drift`` job."""
        return {
            "kind": "check_drift",
            "root": self.tables_root(),
            "feature_set": self.feature_set,
            "log_folder": self.log_folder,
            "report": self.report,
            "service": self.service,
            "release": optional_number(int, self.release, "release") or 0,
            "hours": optional_number(float, self.hours, "hours") or 0.0,
            "ignore": list(self.ignore),
            "scores": self.scores,
            "stability_index": self.stability_index,
            "null_share": self.null_share,
            "score_shift": self.score_shift,
            "rows": self.min_requests,
            "blocking": self.blocking,
        }

    def _finish(self, result: dict[str, Any], context: Context) -> dict[str, Any]:
        """Emit the event where something has drifted."""
        finished = super()._finish(result, context)
        if self.breach_asset is not None and finished["drifted"]:
            from airflow.sdk import AssetAlias

            event = {name: finished[name] for name in ("breaches", "requests", "worst_column", "worst_index")}
            context["outlet_events"][AssetAlias(_alias(self.breach_asset))].add(self.breach_asset, extra=event)
        return finished


def _alias(asset: Asset) -> str:
    return f"{asset.name}:breach"
