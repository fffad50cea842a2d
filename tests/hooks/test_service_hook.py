"""What all hooks share: no message shows a secret, and none is spoilt by hiding one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.hooks.mlflow import MLflowHook
from airflow_provider_mlfeat.hooks.triton import TritonHook


def connect(monkeypatch: pytest.MonkeyPatch, **document: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE", json.dumps(document))


def test_a_header_without_a_value_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, conn_type="mlfeat_triton", host="127.0.0.1", port=9, extra={"headers": {"x-empty": ""}})
    assert TritonHook("service").test_connection() == (False, "nothing listens at 127.0.0.1:9")


def test_a_password_is_hidden_as_it_is_and_as_a_uri_spells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, conn_type="mlfeat_mlflow", extra={"tracking_uri": "postgresql://me:p%40ss%2Fword@here:9/db"})
    hook = MLflowHook("service")
    for text in ("p@ss/word", hook.settings.tracking_uri):

        def fails(text: str = text) -> str:
            raise UserError(f"cannot open {text}")

        monkeypatch.setattr(hook, "_check", fails)
        works, message = hook.test_connection()
        assert not works
        assert "***" in message
        assert "word" not in message


def test_a_package_that_is_missing_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, conn_type="mlfeat_mlflow", host="127.0.0.1", port=9)
    hook = MLflowHook("service")

    def fails() -> str:
        raise ModuleNotFoundError("No module named 'driver'", name="driver")

    monkeypatch.setattr(hook, "_check", fails)
    assert hook.test_connection() == (
        False,
        "this machine lacks the Python package 'driver', which the connection needs",
    )
