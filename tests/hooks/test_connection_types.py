"""The forms: they satisfy Airflow's schemas, and every default is one that the parser accepts."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_mlfeat.hooks.connection_types import CONNECTION_TYPES

_IDS = [kind["connection-type"] for kind in CONNECTION_TYPES]


@pytest.mark.parametrize("name", ["provider.yaml.schema.json", "provider_info.schema.json"])
def test_they_satisfy_the_schemas_of_airflow(name: str) -> None:
    schema = json.loads(Path(airflow.__file__).with_name(name).read_text())["properties"]["connection-types"]
    jsonschema.validate(CONNECTION_TYPES, schema)


@pytest.mark.parametrize("kind", CONNECTION_TYPES, ids=_IDS)
def test_the_hook_has_what_airflow_looks_for(kind: dict[str, Any]) -> None:
    module, _, name = kind["hook-class-name"].rpartition(".")
    hook = getattr(import_module(module), name)
    assert hook.conn_type == kind["connection-type"]
    assert hook.hook_name == kind["hook-name"]
    assert hook.default_conn_name == f"{kind['connection-type']}_default"
    instance = hook(**{hook.conn_name_attr: "some_connection"})
    assert getattr(instance, hook.conn_name_attr) == "some_connection"


@pytest.mark.parametrize("kind", CONNECTION_TYPES, ids=_IDS)
def test_no_field_can_hold_null_inside_an_enum_or_a_secret(kind: dict[str, Any]) -> None:
    for name, field in kind["conn-fields"].items():
        schema = field["schema"]
        assert None not in schema.get("enum", []), name
        assert schema.get("format") != "password", name
        assert "default" in schema, name
        if "enum" in schema:
            assert schema["default"] in schema["enum"], name
