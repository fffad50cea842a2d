"""A model folder as MLflow models: one that takes raw features, and one that takes encoded ids."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import MissingExtraError, UserError
from airflow_provider_mlfeat.registry.portable_code import encoder_package

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_mlfeat.training.model_folder import ModelManifest
    from airflow_provider_mlfeat.training.trained_model import TrainedModel

# Where the model folder lies inside the registered model.
FOLDER = "artifacts/model"
_CODE = Path(__file__).parent / "model_code" / "raw_features.py"
_REQUIRED = ("mlflow", "numpy", "pandas", "pyarrow", "xxhash", "onnxruntime")
_EXAMPLE_ROWS = 5


def requirements(*more: str) -> list[str]:
    """What a model needs to run, pinned to what is installed here."""
    try:
        return [f"{name}=={version(name).partition('+')[0]}" for name in (*_REQUIRED, *more)]
    except PackageNotFoundError as error:
        raise MissingExtraError("train", "Packing a model", str(error)) from None


def write_raw_model(model: TrainedModel, target: Path, identity: Any, scratch: Path) -> None:
    """The MLflow model with the encoder inside; the model folder is among its artefacts, whole.

    :param model: what to pack.
    :param target: the folder to make.
    :param identity: the ``mlflow.models.Model`` with the ids that MLflow has given.
    :param scratch: an empty folder.
    """
    import mlflow.pyfunc
    import pyarrow.parquet as pq

    from airflow_provider_mlfeat.training.model_folder import GOLDEN_FEATURES

    golden = pq.read_table(model.folder / GOLDEN_FEATURES)
    columns = feature_columns(model, golden.schema)
    code = encoder_package(scratch)
    manifest = model.manifest
    mlflow.pyfunc.save_model(
        str(target),
        python_model=str(_CODE),
        artifacts={"model": str(model.folder)},
        code_paths=[str(code)],
        model_config={"code": code.name, "columns": {name: str(golden.schema.field(name).type) for name in columns}},
        signature=raw_signature(golden.schema, columns),
        input_example=_frame(golden.select(columns).slice(0, _EXAMPLE_ROWS)),
        pip_requirements=requirements(),
        metadata=_metadata(manifest),
        mlflow_model=identity,
    )
    _without_this_machine(target, model.folder.name)


def _without_this_machine(target: Path, name: str) -> None:
    """Give the model folder inside the MLflow model its fixed name, and take paths of this machine out of its manifest.

    MLflow names the artefact after the folder that it copied.
    """
    from mlflow.models import Model

    found, wanted = target / "artifacts" / name, target / FOLDER
    if found != wanted:
        found.rename(wanted)
    path = str(target / "MLmodel")
    model = Model.load(path)
    flavor = model.flavors["python_function"]
    flavor["artifacts"]["model"] = {"path": FOLDER, "uri": FOLDER}
    flavor["model_code_path"] = _CODE.name
    model.save(path)


def write_encoded_model(model: TrainedModel, target: Path, identity: Any) -> None:
    """The MLflow model of the bare ONNX graph: ids and values in, ``OUTPUT_0`` out.

    :param model: what to pack.
    :param target: the folder to make.
    :param identity: the ``mlflow.models.Model`` with the ids that MLflow has given.
    """
    import mlflow.onnx
    import numpy as np
    import onnx

    from airflow_provider_mlfeat.training.model_folder import ONNX, ONNX_DATA

    golden = model.golden
    given: dict[str, Any] = {"INPUT_0": golden.ids.astype(np.int64), "INPUT_1": golden.values.astype(np.float32)}
    example = {tensor.name: given[tensor.name][:_EXAMPLE_ROWS] for tensor in model.manifest.inputs}
    mlflow.onnx.save_model(
        onnx.load(str(model.folder / ONNX)),
        str(target),
        signature=encoded_signature(model.manifest),
        input_example=example,
        pip_requirements=requirements("onnx"),
        metadata=_metadata(model.manifest),
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=(model.folder / ONNX_DATA).exists(),
        mlflow_model=identity,
    )


def feature_columns(model: TrainedModel, schema: pa.Schema) -> list[str]:
    """The feature columns that the encoder reads, in its order, each once."""
    columns = list(dict.fromkeys(field.column for field in model.encoder.fields))
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise UserError(f"{model.folder}: the golden rows lack the feature '{missing[0]}' that the encoder reads")
    return columns


def raw_signature(schema: pa.Schema, columns: list[str]) -> Any:
    """What MLflow checks of a frame before it reaches the model.

    Whole numbers and booleans are of any type: a column of a frame that has a NULL holds no integers, and MLflow would
    refuse it. The model itself converts and checks.
    """
    import pyarrow as pa
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    def column_type(arrow: pa.DataType) -> Any:
        if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
            return DataType.string
        if pa.types.is_floating(arrow):
            return DataType.double
        return DataType.datetime if pa.types.is_timestamp(arrow) and arrow.tz is None else AnyType()

    inputs = [ColSpec(column_type(schema.field(name).type), name) for name in columns]
    return ModelSignature(Schema(inputs), Schema([ColSpec(DataType.float, "score")]))


def encoded_signature(manifest: ModelManifest) -> Any:
    """The tensors of the graph, with any number of rows."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    numpy_types = {"INT64": np.dtype(np.int64), "FP32": np.dtype(np.float32)}

    def schema(tensors: Any) -> Any:
        return Schema([TensorSpec(numpy_types[one.dtype], (-1, *one.shape), one.name) for one in tensors])

    return ModelSignature(schema(manifest.inputs), schema(manifest.outputs))


def _metadata(manifest: ModelManifest) -> dict[str, Any]:
    return {
        "mlfeat": {
            "fingerprint": manifest.fingerprint,
            "encoder_fingerprint": manifest.encoder_fingerprint,
            "plan_id": manifest.plan_id,
            "kind": manifest.kind,
        }
    }


def _frame(table: pa.Table) -> Any:
    """Rows as a frame; whole numbers and booleans with NULLs stay what they are."""
    return table.to_pandas(integer_object_nulls=True)
