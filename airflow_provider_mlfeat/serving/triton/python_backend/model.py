"""Runs an ONNX model inside Triton's python backend.

This file is copied into each version's folder and runs in the server's own environment, with numpy and onnxruntime.
A version whose answers for its golden rows differ does not load, so whatever served before goes on serving.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton

GOLDEN_INPUTS = {"INPUT_0": "ids", "INPUT_1": "values"}
TOLERANCE = 1e-4


class TritonPythonModel:
    """One instance of one version."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load the model, and answer its golden rows before anybody else's.

        :param arguments: what Triton tells: the model's folder, its version and its configuration.
        """
        if int(np.__version__.partition(".")[0]) >= 2:
            # Triton's python backend of that age would return empty answers, without any error.
            raise triton.TritonModelException(f"numpy {np.__version__} is in the model's environment; it needs numpy<2")
        folder = Path(arguments["model_repository"]) / arguments["model_version"]
        parameters = triton.json.loads(arguments["model_config"]).get("parameters", {})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters.get("threads", {}).get("string_value", "1"))
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.widths = {entry.name: entry.shape[1] for entry in self.session.get_inputs()}
        self.output = self.session.get_outputs()[0].name
        self._answer_golden_rows(folder / "golden.npz")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch of requests; one that does not fit gets an error of its own.

        :param requests: requests of one or more rows each.
        """
        responses: list[Any] = [None] * len(requests)
        fitting: list[int] = []
        inputs: list[dict[str, Any]] = []
        for place, request in enumerate(requests):
            tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            problem = self._problem(tensors)
            if problem is None:
                fitting.append(place)
                inputs.append(tensors)
            else:
                responses[place] = _refusal(problem)
        for place, response in zip(fitting, self._answer(inputs), strict=True):
            responses[place] = response
        return responses

    def _problem(self, tensors: dict[str, Any]) -> str | None:
        for name, width in self.widths.items():
            if name not in tensors:
                return f"the request lacks {name}"
            shape = tensors[name].shape
            if len(shape) != 2 or shape[1] != width:
                return f"{name} has the shape {list(shape)}, but this version takes {width} columns"
        for name in tensors:
            if name not in self.widths:
                return f"this version takes no {name}"
        return None

    def _answer(self, inputs: list[dict[str, Any]]) -> list[Any]:
        """The responses of requests that fit, from one run; where that fails, each runs alone."""
        if not inputs:
            return []
        if len(inputs) == 1:
            try:
                return [_response(self.session.run([self.output], inputs[0])[0])]
            except Exception as error:  # noqa: BLE001  # whatever it is, the request is told
                return [_refusal(str(error))]
        joined = {name: np.concatenate([tensors[name] for tensors in inputs]) for name in self.widths}
        try:
            scores = self.session.run([self.output], joined)[0]
        except Exception:  # noqa: BLE001  # one request's ids may be out of range; the others must not suffer
            return [response for tensors in inputs for response in self._answer([tensors])]
        first, start, responses = next(iter(self.widths)), 0, []
        for tensors in inputs:
            end = start + len(tensors[first])
            responses.append(_response(scores[start:end]))
            start = end
        return responses

    def _answer_golden_rows(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as golden:
            expected = golden["outputs"].reshape(-1)
            tensors = {name: golden[GOLDEN_INPUTS[name]] for name in self.widths}
        scores = self.session.run([self.output], tensors)[0].reshape(-1)
        difference = float(np.abs(scores - expected).max()) if scores.shape == expected.shape else float("inf")
        if not difference <= TOLERANCE:
            raise triton.TritonModelException(
                f"golden rows differ by up to {difference:.3g} from the outputs that were stored with the model"
            )
        # One row at a time is the other shape that requests come in: memory for it is there from the start.
        for row in range(min(8, len(expected))):
            self.session.run([self.output], {name: tensor[row : row + 1] for name, tensor in tensors.items()})


def _response(scores: Any) -> Any:
    return triton.InferenceResponse([triton.Tensor("OUTPUT_0", np.ascontiguousarray(scores, dtype=np.float32))])


def _refusal(message: str) -> Any:
    return triton.InferenceResponse([], triton.TritonError(message))
