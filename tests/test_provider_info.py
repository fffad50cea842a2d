"""What Airflow sees of the provider."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.get_provider_info import get_provider_info

DISTRIBUTION = "airflow-provider-mlfeat"
CONNECTION_TYPES = {"mlfeat_triton", "mlfeat_mlflow", "mlfeat_online", "mlfeat_spark"}


def airflow_schema(name: str) -> Any:
    import airflow

    return json.loads((Path(airflow.__file__).parent / name).read_text())


def test_it_fits_the_schema_that_airflow_checks() -> None:
    import jsonschema

    jsonschema.validate(get_provider_info(), airflow_schema("provider_info.schema.json"))


def test_it_fits_the_strict_schema_of_airflows_own_providers() -> None:
    import jsonschema

    # Two keys that only Airflow's own release process has.
    info = {**get_provider_info(), "state": "ready", "source-date-epoch": 0}
    jsonschema.validate(info, airflow_schema("provider.yaml.schema.json"))


def test_versions_and_names_agree() -> None:
    info = get_provider_info()
    assert info["package-name"] == distribution(DISTRIBUTION).metadata["Name"] == DISTRIBUTION
    assert info["versions"] == [version(DISTRIBUTION)]


def test_every_named_module_and_class_exists() -> None:
    info = get_provider_info()
    integrations = {entry["integration-name"] for entry in info["integrations"]}
    for section in ("operators", "hooks", "sensors", "triggers"):
        for entry in info.get(section, []):
            assert entry["integration-name"] in integrations
            assert all(import_module(module) for module in entry["python-modules"])
    for path in info["extra-links"]:
        module, _, name = path.rpartition(".")
        assert getattr(import_module(module), name)


def test_every_module_of_operators_hooks_and_triggers_is_named() -> None:
    info = get_provider_info()
    package = Path(import_module("airflow_provider_mlfeat").__file__ or "").parent
    for section in ("operators", "sensors", "triggers"):
        named = {module for entry in info.get(section, []) for module in entry["python-modules"]}
        modules = [f"airflow_provider_mlfeat.{section}.{path.stem}" for path in (package / section).glob("[a-z]*.py")]
        # What some of them share is nobody's to look up.
        assert named == {name for name in modules if _is_for_dags(name)}


def _is_for_dags(name: str) -> bool:
    """Whether a module has an operator, a sensor or a trigger of its own."""
    mine = [one for one in vars(import_module(name)).values() if getattr(one, "__module__", "") == name]
    return any(hasattr(one, "execute") or hasattr(one, "serialize") for one in mine if isinstance(one, type))


def test_hooks_have_what_airflow_asks_of_a_connection_type() -> None:
    for entry in get_provider_info()["connection-types"]:
        module, _, name = entry["hook-class-name"].rpartition(".")
        hook = getattr(import_module(module), name)
        assert hook.conn_type == entry["connection-type"]
        assert hook.hook_name == entry["hook-name"]
        assert hook.default_conn_name
        assert hook.conn_name_attr
        assert callable(hook.test_connection)


_COMMANDS = """
import sys
from contextlib import redirect_stdout
from io import StringIO
from airflow.__main__ import main

for words in {commands!r}:
    sys.argv = ["airflow", *words]
    text = StringIO()
    with redirect_stdout(text):
        try:
            main()
        except SystemExit as end:
            assert not end.code, end.code
    print("=== " + " ".join(words) + "\\n" + text.getvalue())
"""


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    """What the ``airflow providers`` commands print, all from one process, since each start costs seconds."""
    names = ("list", f"get {DISTRIBUTION} --full", "hooks", "links", "triggers")
    commands = [["providers", *name.split(), "-o", "plain"] for name in names]
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS.format(commands=commands)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    sections = done.stdout.split("=== ")[1:]
    return dict(zip((name.split()[0] for name in names), sections, strict=True))


def test_the_command_line_lists_the_provider(printed: dict[str, str]) -> None:
    assert DISTRIBUTION in printed["list"]
    assert version(DISTRIBUTION) in printed["get"]
    assert "FileManifest" in printed["get"] or "operators.files" in printed["get"]


def test_the_command_line_lists_hooks_links_and_triggers(printed: dict[str, str]) -> None:
    assert all(connection_type in printed["hooks"] for connection_type in CONNECTION_TYPES)
    assert "airflow_provider_mlfeat.links.job.JobLink" in printed["links"]
    assert "airflow_provider_mlfeat.triggers.job" in printed["triggers"]
