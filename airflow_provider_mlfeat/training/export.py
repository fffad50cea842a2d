"""From a trained torch module to files that run without it: ONNX, and torch's own exported program.

Both take any number of rows. Neither holds Python code; weights of a large model lie beside the graph, because one
ONNX file may not be larger than 2 GiB and a server maps separate weights into memory.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.model_folder import ONNX, OUTPUT_TENSORS, PROGRAM, input_tensors

_EXTERNAL_DATA_BYTES = 256 * 1024**2
# Two example rows: torch takes a dimension of one for a constant.
_EXAMPLE_ROWS = 2


class Scoring(nn.Module):
    """A model as it is served: probabilities, one column, ids and values as inputs that have columns.

    :param model: gives one logit per row from ids [rows, n] and values [rows, m].
    :param fields: columns of ids.
    :param values: columns of values.
    """

    def __init__(self, model: nn.Module, fields: int, values: int) -> None:
        super().__init__()
        self.model = model
        self.fields = fields
        self.values = values

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Probabilities [rows, 1]."""
        given = list(inputs)
        rows = given[0].shape[0]
        ids = given.pop(0) if self.fields else torch.zeros(rows, 0, dtype=torch.int64)
        values = given.pop(0) if self.values else torch.zeros(rows, 0)
        logits: torch.Tensor = self.model(ids, values)
        return torch.sigmoid(logits.reshape(-1, 1).float())


def export_module(model: nn.Module, sizes: tuple[int, ...], values: int, folder: Path) -> tuple[str, ...]:
    """Write ``model.onnx`` and ``model.pt2`` of a module on the CPU; the files' names.

    Raises UserError for a module that cannot be exported: one whose path through the code depends on the data.
    """
    scoring = Scoring(model, len(sizes), values).eval()
    example = _example(sizes, values)
    rows = torch.export.Dim("rows", min=1)
    shapes = tuple({0: rows} for _ in example)
    try:
        program = torch.export.export(scoring, example, dynamic_shapes=(shapes,))
    except Exception as error:
        message = str(error).strip().partition("\n")[0]
        raise UserError(f"the model cannot be exported: {message}; its forward() may not depend on values") from error
    torch.export.save(program, folder / PROGRAM)
    with _quiet_exporter():
        torch.onnx.export(
            program,
            f=str(folder / ONNX),
            input_names=[tensor.name for tensor in input_tensors(len(sizes), values)],
            output_names=[tensor.name for tensor in OUTPUT_TENSORS],
            dynamo=True,
            external_data=_weight(model) > _EXTERNAL_DATA_BYTES,
            verbose=False,
        )
    return tuple(path.name for path in sorted(folder.iterdir()) if path.name.startswith(("model.onnx", PROGRAM)))


def _example(sizes: tuple[int, ...], values: int) -> tuple[torch.Tensor, ...]:
    ids = torch.zeros(_EXAMPLE_ROWS, len(sizes), dtype=torch.int64)
    numbers = torch.zeros(_EXAMPLE_ROWS, values)
    return tuple(tensor for tensor in (ids, numbers) if tensor.shape[1])


def _weight(model: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keeps torch's exporter from logging each of its steps as a warning of ours."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
