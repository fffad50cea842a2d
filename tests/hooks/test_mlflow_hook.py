"""MLflow: settings, a real tracking server, and real SQLite files."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import MissingExtraError, UserError
from airflow_provider_mlfeat.hooks.mlflow import MLflowHook

Connect = Callable[..., str]
Reply = Callable[..., bytes]


def test_settings_are_the_same_in_all_forms(connect: Connect, form: str, secret: str) -> None:
    extra = {
        "registry_uri": "https://registry", "experiment": "ads", "artifact_location": "s3://bucket/ads",
        "ca_certificate": "/etc/ca.pem", "timeout": 9.5,
    }  # fmt: skip
    standard = {"host": "mlflow", "schema": "https", "port": 5000, "login": "ann", "password": secret}
    hook = MLflowHook(connect("mlfeat_mlflow", form, extra, **standard))
    settings = hook.settings
    assert settings.tracking_uri == settings.location == "https://mlflow:5000"
    assert (settings.experiment, settings.artifact_location) == ("ads", "s3://bucket/ads")
    assert (settings.login, settings.password, settings.token) == ("ann", secret, None)
    assert (settings.timeout, settings.is_server, settings.sqlite_file) == (9.5, True, None)
    assert hook.settings is settings
    assert settings.environment() == {
        "MLFLOW_TRACKING_URI": "https://mlflow:5000",
        "MLFLOW_REGISTRY_URI": "https://registry",
        "MLFLOW_TRACKING_USERNAME": "ann",
        "MLFLOW_TRACKING_PASSWORD": secret,
        "MLFLOW_TRACKING_SERVER_CERT_PATH": "/etc/ca.pem",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    }


def test_an_empty_connection_is_the_embedded_default(connect: Connect, form: str, state: Path) -> None:
    settings = MLflowHook(connect("mlfeat_mlflow", form)).settings
    assert settings.tracking_uri == f"sqlite:///{state}/mlflow/mlflow.db"
    assert settings.sqlite_file == state / "mlflow" / "mlflow.db"
    assert settings.artifact_location == f"file://{state}/mlflow/artifacts"
    assert settings.experiment == "mlfeat"


@pytest.mark.parametrize(
    ("standard", "extra", "location"),
    [
        ({"host": "mlflow"}, {}, "http://mlflow"),
        ({"host": "https://mlflow/", "port": 443}, {}, "https://mlflow:443"),
        ({"host": "ignored"}, {"tracking_uri": "https://mlflow/team/ads"}, "https://mlflow/team/ads"),
        ({}, {"tracking_uri": "postgresql://ann:pw@db/mlflow"}, "postgresql://db/mlflow"),
        ({}, {"tracking_uri": "https://ann:pw@mlflow/x"}, "https://mlflow/x"),
    ],
)
def test_where_runs_go(connect: Connect, standard: dict[str, Any], extra: dict[str, Any], location: str) -> None:
    settings = MLflowHook(connect("mlfeat_mlflow", extra=extra, **standard)).settings
    assert settings.location == location


def test_login_and_password_in_a_server_address_are_taken_out(connect: Connect) -> None:
    settings = MLflowHook(connect("mlfeat_mlflow", extra={"tracking_uri": "https://ann:p%40w@mlflow"})).settings
    assert (settings.tracking_uri, settings.login, settings.password) == ("https://mlflow", "ann", "p@w")


def test_a_password_without_login_is_a_token(connect: Connect, secret: str) -> None:
    settings = MLflowHook(connect("mlfeat_mlflow", host="mlflow", password=secret)).settings
    assert (settings.login, settings.password, settings.token) == (None, None, secret)
    assert settings.environment()["MLFLOW_TRACKING_TOKEN"] == secret


@pytest.mark.parametrize(
    ("standard", "extra", "sentence"),
    [
        ({"port": 5000}, {}, "the host is empty, but port, login or password is set"),
        ({"password": "x"}, {}, "the host is empty, but port, login or password is set"),
        ({"host": "mlflow", "schema": "ftp"}, {}, "the scheme must be http or https, not 'ftp'"),
        ({"host": "mlflow", "login": "ann"}, {}, "the password of 'ann' is empty"),
        ({}, {"tracking_uri": "mlruns"}, "the tracking URI has no scheme such as https:// or sqlite:///"),
    ],
)
def test_mistakes(connect: Connect, standard: dict[str, Any], extra: dict[str, Any], sentence: str) -> None:
    hook = MLflowHook(connect("mlfeat_mlflow", extra=extra, **standard))
    with pytest.raises(UserError, match=sentence):
        _ = hook.settings
    assert hook.test_connection() == (False, f"connection 'mlfeat_mlflow_under_test': {sentence}")


@pytest.mark.parametrize("login", ["", "ann"])
def test_secrets_stay_secret(
    connect: Connect, form: str, login: str, secret: str, caplog: pytest.LogCaptureFixture, closed_port: int
) -> None:
    caplog.set_level(logging.DEBUG)
    extra = {"registry_uri": "postgresql://bob:registry-password@db/x"}
    standard = {"host": "127.0.0.1", "port": closed_port, "login": login, "password": secret}
    hook = MLflowHook(connect("mlfeat_mlflow", form, extra, **standard))
    works, message = hook.test_connection()
    assert not works
    for text in (repr(hook.settings), str(hook.settings), message, caplog.text):
        assert secret not in text
        assert "registry-password" not in text


def test_the_password_of_a_database_is_not_in_a_message(connect: Connect) -> None:
    pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
    uri = "postgresql+nodriver://ann:database-password@127.0.0.1:1/x"
    works, message = MLflowHook(connect("mlfeat_mlflow", extra={"tracking_uri": uri})).test_connection()
    assert not works
    assert "database-password" not in message


def test_a_real_server(connect: Connect, mlflow_port: int) -> None:
    works, message = MLflowHook(connect("mlfeat_mlflow", host="127.0.0.1", port=mlflow_port)).test_connection()
    assert works, message
    assert message.startswith("MLflow 3.")
    assert message.endswith(f" at http://127.0.0.1:{mlflow_port} accepts these credentials")


def test_tls_to_a_real_server_without_it(connect: Connect, mlflow_port: int) -> None:
    hook = MLflowHook(connect("mlfeat_mlflow", host="127.0.0.1", port=mlflow_port, schema="https"))
    expected = f"127.0.0.1:{mlflow_port} does not speak TLS: check the port and the TLS setting"
    assert hook.test_connection() == (False, expected)


def test_a_client_of_a_real_server(
    connect: Connect, mlflow_port: int, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of another server")
    hook = MLflowHook(connect("mlfeat_mlflow", host="127.0.0.1", port=mlflow_port, login="ann", password=secret))
    before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    with hook.client() as client:
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == secret
        assert "MLFLOW_TRACKING_TOKEN" not in os.environ
        experiment = client.create_experiment("from the hook")
        assert client.get_experiment(experiment).name == "from the hook"
    assert {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")} == before


def test_a_client_of_the_embedded_default(connect: Connect, state: Path) -> None:
    pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
    hook = MLflowHook(connect("mlfeat_mlflow"))
    file = state / "mlflow" / "mlflow.db"
    assert hook.test_connection() == (True, f"runs will go to {file}, which is made at first use")
    with hook.client() as client:
        client.create_experiment("ads", artifact_location=hook.settings.artifact_location)
    assert hook.test_connection() == (True, f"{file} holds 2 experiments")


def test_refused_credentials(connect: Connect, answer: Callable[[bytes], int], http_reply: Reply, secret: str) -> None:
    port = answer(http_reply("You are not authenticated", "401 Unauthorized"))
    hook = MLflowHook(connect("mlfeat_mlflow", host="127.0.0.1", port=port, login="ann", password=secret))
    expected = f"127.0.0.1:{port} refuses these credentials (HTTP 401): You are not authenticated"
    assert hook.test_connection() == (False, expected)


@pytest.mark.parametrize("body", ["<html>", "[]"])
def test_another_http_service(connect: Connect, answer: Callable[[bytes], int], http_reply: Reply, body: str) -> None:
    port = answer(http_reply(body))
    hook = MLflowHook(connect("mlfeat_mlflow", host="127.0.0.1", port=port))
    expected = f"http://127.0.0.1:{port} speaks HTTP but is not an MLflow tracking server"
    assert hook.test_connection() == (False, expected)


def test_nothing_listens(connect: Connect, closed_port: int) -> None:
    works, message = MLflowHook(connect("mlfeat_mlflow", host="127.0.0.1", port=closed_port)).test_connection()
    assert not works
    assert message.startswith(f"nothing listens at 127.0.0.1:{closed_port}")


def test_an_unknown_host(connect: Connect) -> None:
    works, message = MLflowHook(connect("mlfeat_mlflow", host="no-such-host.invalid")).test_connection()
    assert (works, message) == (False, "the host name of 'no-such-host.invalid' is not known here")


def test_a_file_of_something_else(connect: Connect, tmp_path: Path) -> None:
    text, other = tmp_path / "text.db", tmp_path / "other.db"
    text.write_text("no database, and longer than the head of one " * 9)
    sqlite3.connect(other).execute("CREATE TABLE something (x)").connection.close()
    for file, reason in ((text, "file is not a database"), (other, "no such table: experiments")):
        hook = MLflowHook(connect("mlfeat_mlflow", extra={"tracking_uri": f"sqlite:///{file}"}))
        assert hook.test_connection() == (False, f"{file} is not a database of MLflow: {reason}")


def test_a_state_directory_that_cannot_be_made(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFEAT_STATE", str(tmp_path / "file"))
    expected = f"the folder '{tmp_path}/file/mlflow' cannot be made: Not a directory"
    assert MLflowHook(connect("mlfeat_mlflow")).test_connection() == (False, expected)


def test_without_its_extra(connect: Connect, absent: Callable[[str], None]) -> None:
    absent("mlflow")
    hook = MLflowHook(connect("mlfeat_mlflow"))
    works, message = hook.test_connection()
    assert not works
    assert message.endswith("pip install 'airflow-provider-mlfeat[mlflow]'")
    with pytest.raises(MissingExtraError), hook.client():
        pass


def test_a_connection_that_is_not_defined() -> None:
    works, message = MLflowHook("nobody_defined_this").test_connection()
    assert not works
    assert "nobody_defined_this" in message
