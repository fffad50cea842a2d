"""The calls over HTTP: JSON for control, binary tensors for inference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_mlfeat.serving.triton.calls import (
    Call,
    VersionState,
    VersionStatistics,
    state_of,
    statistics_of,
)
from airflow_provider_mlfeat.serving.triton.tensors import from_bytes, to_bytes, type_name

if TYPE_CHECKING:
    import httpx

    from airflow_provider_mlfeat.serving.triton.tensors import Array

_HEADER_LENGTH = "Inference-Header-Content-Length"


class HttpCalls:
    """Builds calls whose target is ``METHOD path`` and whose answer is an HTTP response.

    A call that asks whether something is so takes any answer; the others need a good one.
    """

    def live(self) -> Call[bool]:
        return Call("GET /v2/health/live", None, _is_good)

    def ready(self, model: str, version: int | None) -> Call[bool]:
        return Call(f"GET {_path(model, version)}/ready", None, _is_good)

    def index(self) -> Call[list[VersionState]]:
        return Call("POST /v2/repository/index", b"{}", lambda answer: [state_of(entry) for entry in answer.json()])

    def load(self, model: str, configuration: Mapping[str, Any]) -> Call[None]:
        content = json.dumps({"parameters": {"config": json.dumps(configuration)}}).encode()
        return Call(f"POST /v2/repository/models/{quote(model, safe='')}/load", content, _nothing)

    def unload(self, model: str, *, dependents: bool) -> Call[None]:
        content = json.dumps({"parameters": {"unload_dependents": dependents}}).encode()
        return Call(f"POST /v2/repository/models/{quote(model, safe='')}/unload", content, _nothing)

    def configuration(self, model: str, version: int | None) -> Call[dict[str, Any]]:
        return Call(f"GET {_path(model, version)}/config", None, lambda answer: dict(answer.json()))

    def statistics(self, model: str, version: int | None) -> Call[list[VersionStatistics]]:
        return Call(
            f"GET {_path(model, version)}/stats",
            None,
            lambda answer: [statistics_of(entry) for entry in answer.json()["model_stats"]],
        )

    def infer(
        self, model: str, version: int | None, inputs: Mapping[str, Array], outputs: Sequence[str]
    ) -> Call[dict[str, Array]]:
        contents = {name: to_bytes(array) for name, array in inputs.items()}
        described = [
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": type_name(array),
                "parameters": {"binary_data_size": len(contents[name])},
            }
            for name, array in inputs.items()
        ]
        wanted = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
        header = json.dumps({"inputs": described, "outputs": wanted}).encode()
        return Call(
            f"POST {_path(model, version)}/infer",
            b"".join((header, *contents.values())),
            _tensors,
            ((_HEADER_LENGTH, str(len(header))), ("Content-Type", "application/octet-stream")),
        )


def _path(model: str, version: int | None) -> str:
    path = f"/v2/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{version}"


def _is_good(answer: httpx.Response) -> bool:
    return answer.status_code == 200


def _nothing(_: httpx.Response) -> None:
    return None


def _tensors(answer: httpx.Response) -> dict[str, Array]:
    content = memoryview(answer.content)
    length = int(answer.headers.get(_HEADER_LENGTH, len(content)))
    header, place, found = json.loads(bytes(content[:length])), length, {}
    for output in header["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]] = from_bytes(content[place : place + size], output["datatype"], output["shape"])
        place += size
    return found
