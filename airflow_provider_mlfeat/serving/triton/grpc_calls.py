"""The calls over gRPC, with the messages that tritonclient carries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import MissingExtraError
from airflow_provider_mlfeat.serving.triton.calls import (
    Call,
    VersionState,
    VersionStatistics,
    state_of,
    statistics_of,
)
from airflow_provider_mlfeat.serving.triton.tensors import from_bytes, to_bytes, type_name

if TYPE_CHECKING:
    from airflow_provider_mlfeat.serving.triton.tensors import Array


def messages() -> Any:
    """The protocol's messages and stub."""
    try:
        from tritonclient.grpc import service_pb2, service_pb2_grpc
    except ImportError as error:
        raise MissingExtraError("triton", "Triton over gRPC", error.name) from None
    return service_pb2, service_pb2_grpc


class GrpcCalls:
    """Builds calls whose target is a procedure's name and whose answer is its message."""

    def __init__(self) -> None:
        self._messages = messages()[0]

    def live(self) -> Call[bool]:
        return Call("ServerLive", self._messages.ServerLiveRequest(), lambda answer: bool(answer.live))

    def ready(self, model: str, version: int | None) -> Call[bool]:
        content = self._messages.ModelReadyRequest(name=model, version=_text(version))
        return Call("ModelReady", content, lambda answer: bool(answer.ready))

    def index(self) -> Call[list[VersionState]]:
        content = self._messages.RepositoryIndexRequest()
        return Call("RepositoryIndex", content, lambda answer: [state_of(_document(e)) for e in answer.models])

    def load(self, model: str, configuration: Mapping[str, Any]) -> Call[None]:
        content = self._messages.RepositoryModelLoadRequest(model_name=model)
        content.parameters["config"].string_param = json.dumps(configuration)
        return Call("RepositoryModelLoad", content, _nothing)

    def unload(self, model: str, *, dependents: bool) -> Call[None]:
        content = self._messages.RepositoryModelUnloadRequest(model_name=model)
        content.parameters["unload_dependents"].bool_param = dependents
        return Call("RepositoryModelUnload", content, _nothing)

    def configuration(self, model: str, version: int | None) -> Call[dict[str, Any]]:
        content = self._messages.ModelConfigRequest(name=model, version=_text(version))
        return Call("ModelConfig", content, lambda answer: _document(answer.config))

    def statistics(self, model: str, version: int | None) -> Call[list[VersionStatistics]]:
        content = self._messages.ModelStatisticsRequest(name=model, version=_text(version))
        return Call(
            "ModelStatistics", content, lambda answer: [statistics_of(_document(e)) for e in answer.model_stats]
        )

    def infer(
        self, model: str, version: int | None, inputs: Mapping[str, Array], outputs: Sequence[str]
    ) -> Call[dict[str, Array]]:
        request = self._messages.ModelInferRequest
        content = request(
            model_name=model,
            model_version=_text(version),
            inputs=[
                request.InferInputTensor(name=name, datatype=type_name(array), shape=array.shape)
                for name, array in inputs.items()
            ],
            outputs=[request.InferRequestedOutputTensor(name=name) for name in outputs],
            raw_input_contents=[to_bytes(array) for array in inputs.values()],
        )
        return Call("ModelInfer", content, _tensors)


def _text(version: int | None) -> str:
    return "" if version is None else str(version)


def _nothing(_: Any) -> None:
    return None


def _document(message: Any) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    document: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return document


def _tensors(answer: Any) -> dict[str, Array]:
    return {
        output.name: from_bytes(content, output.datatype, list(output.shape))
        for output, content in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
