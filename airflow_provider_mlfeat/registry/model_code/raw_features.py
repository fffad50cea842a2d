"""A model as MLflow loads it: raw feature columns in, probabilities out.

MLflow runs this file at every load. The encoder's code lies beside it, under a package name of its own, so that models
of several releases load into one process.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa

# From here on floats skip whole numbers.
_EXACT = 2**53


class RawFeatureModel(mlflow.pyfunc.PythonModel):
    """Encodes rows as in training, and scores them with the model's ONNX graph."""

    def load_context(self, context: Any) -> None:
        """Load encoder and graph."""
        import onnxruntime

        folder = Path(context.artifacts["model"])
        self._manifest = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        code = importlib.import_module(f"{context.model_config['code']}.dataset.encoder")
        self._encoder = code.Encoder.load(folder / self._manifest["encoder"])
        self._columns = {name: _arrow_type(text) for name, text in context.model_config["columns"].items()}
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), _session_options(), providers=["CPUExecutionProvider"]
        )

    # MLflow would take type hints for a schema of its own.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """The probability of each row.

        :param context: of MLflow.
        :param model_input: a frame with the model's feature columns; None and NaN are NULL.
        :param params: none are known.
        """
        frame = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        missing = [name for name in self._columns if name not in frame.columns]
        if missing:
            raise ValueError(f"the model's features {', '.join(missing)} are missing")
        arrays = [to_arrow(frame[name], arrow_type, name) for name, arrow_type in self._columns.items()]
        encoded = self._encoder.encode(pa.table(arrays, names=list(self._columns)))
        given = {"INPUT_0": (encoded.ids, np.int64), "INPUT_1": (encoded.values, np.float32)}
        feed = {
            tensor["name"]: np.ascontiguousarray(given[tensor["name"]][0], dtype=given[tensor["name"]][1])
            for tensor in self._manifest["inputs"]
        }
        return pd.DataFrame({"score": self._session.run(["OUTPUT_0"], feed)[0][:, 0]}, index=frame.index)


def to_arrow(series: Any, arrow_type: pa.DataType, name: str) -> pa.Array:
    """A column of a frame as the type that the encoder was made for."""
    try:
        if pa.types.is_integer(arrow_type) and series.dtype.kind in "Of":
            return pa.array([None if pd.isna(one) else _whole(one) for one in series], arrow_type)
        if pa.types.is_date(arrow_type) or pa.types.is_timestamp(arrow_type):
            return pa.array(series, from_pandas=True).cast(arrow_type, safe=False)
        return pa.array(series, arrow_type, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
        raise ValueError(f"feature '{name}' takes {arrow_type}: {error}") from None


def _whole(number: Any) -> int:
    """A whole number that a frame with NULLs holds as a float; one that a float cannot hold exactly is refused."""
    if isinstance(number, float) and (number != int(number) or abs(number) > _EXACT):
        raise ValueError(f"{number!r} is no exact whole number: give large ones as text where there are NULLs")
    return int(number)


def _arrow_type(text: str) -> pa.DataType:
    """The type that an Arrow type's name says."""
    name, _, rest = text.partition("[")
    if name == "timestamp":
        unit, _, zone = rest.rstrip("]").partition(", tz=")
        return pa.timestamp(unit, zone or None)
    if name.startswith("decimal128("):
        precision, scale = name.removeprefix("decimal128(").rstrip(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    known = {"float": pa.float32(), "double": pa.float64(), "date32": pa.date32(), "bool": pa.bool_()}
    return known.get(name) or pa.type_for_alias(name)


def _session_options() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


mlflow.models.set_model(RawFeatureModel())
