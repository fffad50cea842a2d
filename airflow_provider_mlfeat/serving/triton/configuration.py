"""The configuration of a model: one document, sent with every load call and written as ``config.pbtxt``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_mlfeat.errors import UserError

BACKENDS = ("python", "onnxruntime", "pytorch")
_WARM_UP_ROWS = 8
_ENUMERATION = re.compile(r"(TYPE|KIND)_[A-Z0-9_]+")
# Fields that are maps in the schema: text format writes one entry per key.
_MAPS = frozenset({"parameters", "inputs", "input_map", "output_map"})


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    :param name: its name.
    :param kind: the protocol's name of its type, such as ``INT64``.
    :param shape: its shape without the batch; -1 is any.
    :param optional: whether a request may leave it out.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    optional: bool = False

    def document(self) -> dict[str, Any]:
        """As the configuration writes it."""
        data_type = "STRING" if self.kind == "BYTES" else self.kind
        document: dict[str, Any] = {"name": self.name, "data_type": f"TYPE_{data_type}", "dims": list(self.shape)}
        return {**document, "optional": True} if self.optional else document


@dataclass(frozen=True)
class Tuning:
    """How a server runs a model.

    :param backend: ``python`` (ONNX Runtime inside the python backend), ``onnxruntime`` or ``pytorch``.
    :param instances: copies of the model that work side by side.
    :param threads: threads of one copy.
    :param gpus: devices that the copies run on; none is the CPU.
    :param max_batch_size: the most rows of one batch.
    :param queue_delay_us: how long a request may wait for others to form a batch with.
    :param queue_size: how many requests may wait; more are refused at once. 0 is no limit.
    :param queue_timeout_us: how long a request may wait before it is refused. 0 is no limit.
    :param cache: whether equal requests are answered from the server's cache.
    :param environment: path of a virtual environment of the server for the python backend; None is the server's own.
    """

    backend: str = "python"
    instances: int = 1
    threads: int = 1
    gpus: tuple[int, ...] = ()
    max_batch_size: int = 4096
    queue_delay_us: int = 0
    queue_size: int = 0
    queue_timeout_us: int = 0
    cache: bool = False
    environment: str | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise UserError(f"backend takes {', '.join(BACKENDS)}, not '{self.backend}'")
        if self.backend == "python" and self.gpus:
            raise UserError("the python backend runs on the CPU; GPUs need the backend onnxruntime or pytorch")
        if self.backend != "python" and self.environment:
            raise UserError(f"an environment is for the python backend, not for {self.backend}")


def configure(
    model: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], versions: Iterable[int], tuning: Tuning
) -> dict[str, Any]:
    """The complete configuration of a model.

    :param model: its name.
    :param inputs: its inputs.
    :param outputs: its outputs.
    :param versions: the versions to hold ready.
    :param tuning: how to run it.
    """
    group: dict[str, Any] = {"count": tuning.instances, "kind": "KIND_GPU" if tuning.gpus else "KIND_CPU"}
    if tuning.gpus:
        group["gpus"] = list(tuning.gpus)
    batching: dict[str, Any] = {"max_queue_delay_microseconds": tuning.queue_delay_us}
    queue: dict[str, Any] = {}
    if tuning.queue_size:
        queue["max_queue_size"] = tuning.queue_size
    if tuning.queue_timeout_us:
        queue |= {"timeout_action": "REJECT", "default_timeout_microseconds": tuning.queue_timeout_us}
    if queue:
        batching["default_queue_policy"] = queue
    document: dict[str, Any] = {
        "name": model,
        **_backend(tuning),
        "max_batch_size": tuning.max_batch_size,
        "input": [tensor.document() for tensor in inputs],
        "output": [tensor.document() for tensor in outputs],
        "instance_group": [group],
        "dynamic_batching": batching,
    }
    if tuning.backend != "python":
        # The python backend answers golden rows before it is ready.
        document["model_warmup"] = [_warm_up(inputs, min(_WARM_UP_ROWS, tuning.max_batch_size))]
    if tuning.cache:
        document["response_cache"] = {"enable": True}
    return with_versions(document, versions)


def with_versions(configuration: Mapping[str, Any], versions: Iterable[int]) -> dict[str, Any]:
    """The same configuration for other versions; a server then touches none that it holds ready.

    :param configuration: a complete configuration.
    :param versions: the versions to hold ready.
    """
    return {**configuration, "version_policy": {"specific": {"versions": sorted(set(versions))}}}


def to_text(configuration: Mapping[str, Any]) -> str:
    """The configuration as the text of ``config.pbtxt``.

    :param configuration: a complete configuration.
    """
    return "".join(f"{line}\n" for line in _lines(configuration, 0))


def _backend(tuning: Tuning) -> dict[str, Any]:
    threads = str(tuning.threads)
    if tuning.backend == "python":
        parameters = {"threads": threads}
        if tuning.environment:
            parameters["EXECUTION_ENV_PATH"] = tuning.environment
        document: dict[str, Any] = {"backend": "python"}
    elif tuning.backend == "onnxruntime":
        parameters = {"intra_op_thread_count": threads, "inter_op_thread_count": "1"}
        document = {"platform": "onnxruntime_onnx", "backend": "onnxruntime"}
    else:
        parameters = {"INTRA_OP_THREAD_COUNT": threads}
        document = {"platform": "pytorch_libtorch", "backend": "pytorch"}
    return {**document, "parameters": {name: {"string_value": value} for name, value in parameters.items()}}


def _warm_up(inputs: Sequence[Tensor], rows: int) -> dict[str, Any]:
    """Rows of zeros: id 0 exists in every version's tables, which ids of one version's golden rows need not."""
    tensors = {
        tensor.name: {
            "data_type": f"TYPE_{tensor.kind}",
            "dims": [max(1, size) for size in tensor.shape],
            "zero_data": True,
        }
        for tensor in inputs
    }
    return {"name": "zeros", "batch_size": rows, "inputs": tensors}


def _lines(message: Mapping[str, Any], depth: int) -> list[str]:
    blank, lines = "  " * depth, []
    for name, value in message.items():
        if name in _MAPS and isinstance(value, Mapping):
            for key, entry in value.items():
                lines += [f"{blank}{name} {{", f"{blank}  key: {json.dumps(key)}"]
                lines += [*_field("value", entry, depth + 1), f"{blank}}}"]
        elif isinstance(value, list | tuple):
            for entry in value:
                lines += _field(name, entry, depth)
        else:
            lines += _field(name, value, depth)
    return lines


def _field(name: str, value: Any, depth: int) -> list[str]:
    blank = "  " * depth
    if isinstance(value, Mapping):
        return [f"{blank}{name} {{", *_lines(value, depth + 1), f"{blank}}}"]
    if isinstance(value, str) and not (_ENUMERATION.fullmatch(value) or (name == "timeout_action")):
        return [f"{blank}{name}: {json.dumps(value)}"]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return [f"{blank}{name}: {text}"]
