"""Golden rows through the wire: the server's answers beside those that the model gave when it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.serving.triton.client import TritonClient
from airflow_provider_mlfeat.serving.triton.model_folder import GoldenRows

if TYPE_CHECKING:
    from airflow_provider_mlfeat.serving.triton.tensors import Array

OUTPUT = "OUTPUT_0"


def replay(client: TritonClient, model: str, version: int, golden: GoldenRows, tolerance: float) -> float:
    """Ask a version for its golden rows, in one batch and one by one; the largest difference.

    :param client: the server.
    :param model: the model.
    :param version: its version.
    :param golden: rows and the answers to expect.
    :param tolerance: how far an answer may be off.
    :raises UserError: an answer is further off, or there are not as many as rows.
    """
    import numpy as np

    batch = client.infer(model, golden.inputs, version=version, outputs=(OUTPUT,))[OUTPUT].reshape(-1)
    if batch.shape != golden.outputs.shape:
        raise UserError(
            f"Triton at {client.address} answers {len(batch)} values for {len(golden)} golden rows of "
            f"version {version} of '{model}'"
        )
    single = [_one(client, model, version, golden, row) for row in range(min(4, len(golden)))]
    answers = np.concatenate([batch, np.asarray(single, dtype=np.float32)])
    expected = np.concatenate([golden.outputs, golden.outputs[: len(single)]])
    difference = np.abs(answers - expected)
    # A NaN is further off than any number.
    worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    if not difference[worst] <= tolerance:
        raise UserError(
            f"Triton at {client.address} answers {answers[worst]:.7g} for golden row {worst % len(golden)} of version "
            f"{version} of '{model}', but the model gave {expected[worst]:.7g} when it was made "
            f"(tolerance {tolerance:g})"
        )
    return float(difference[worst])


def _one(client: TritonClient, model: str, version: int, golden: GoldenRows, row: int) -> Array:
    answer: Array = client.infer(model, golden.row(row), version=version, outputs=(OUTPUT,))[OUTPUT].reshape(-1)[0]
    return answer
