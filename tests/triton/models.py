"""Model folders of the shape that training makes, small enough for a test: DeepFM with weights drawn by a seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from airflow_provider_mlfeat import files

FIELDS = 6
ROWS_OF_A_FIELD = 50


def write_model(
    folder: Path,
    seed: int,
    *,
    fields: int = FIELDS,
    size: int = ROWS_OF_A_FIELD,
    values: int = 0,
    width: int = 8,
    hidden: tuple[int, ...] = (16,),
    golden_rows: int = 32,
    golden_shift: float = 0.0,
    breaking: bool = False,
) -> Path:
    """Write a model folder.

    :param folder: where; it must not exist.
    :param seed: another seed is another model.
    :param fields: id fields.
    :param size: rows of each field's table.
    :param values: value fields.
    :param width: of an embedding.
    :param hidden: widths of the layers.
    :param golden_rows: how many rows are stored with their answers.
    :param golden_shift: how far the stored answers are from the true ones.
    :param breaking: whether the ONNX file is damaged.
    """
    import onnxruntime

    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    (folder / "model.onnx").write_bytes(_deep_fm(random, fields, size, values, width, hidden))
    # The same rows for every seed: only the answers tell models apart.
    drawn = np.random.default_rng(0)
    ids = drawn.integers(0, size, (golden_rows, fields), dtype=np.int64)
    numbers = drawn.normal(size=(golden_rows, values)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    inputs: dict[str, Any] = {"INPUT_0": ids, **({"INPUT_1": numbers} if values else {})}
    outputs = session.run(["OUTPUT_0"], inputs)[0] + np.float32(golden_shift)
    np.savez(folder / "golden.npz", ids=ids, values=numbers, outputs=outputs.reshape(-1))
    if breaking:
        (folder / "model.onnx").write_bytes(b"this is no ONNX")
    described = [{"name": "INPUT_0", "dtype": "INT64", "shape": [fields]}]
    if values:
        described.append({"name": "INPUT_1", "dtype": "FP32", "shape": [values]})
    digests = {path.name: files.digest_file(path) for path in sorted(folder.iterdir())}
    manifest = {
        "version": 1,
        "kind": "deepfm",
        "encoder_fingerprint": files.digest_text(f"encoder {fields} {values}"),
        "plan_id": files.digest_text("plan"),
        "inputs": described,
        "outputs": [{"name": "OUTPUT_0", "dtype": "FP32", "shape": [1]}],
        "files": digests,
        "fingerprint": files.digest_text(files.canonical_json(digests)),
    }
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


def _deep_fm(
    random: np.random.Generator, fields: int, size: int, values: int, width: int, hidden: tuple[int, ...]
) -> bytes:
    """Tables of all fields in one, a factorisation machine, and layers beside it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants, nodes = [], []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def drawn(*shape: int) -> Any:
        return (random.normal(size=shape) / np.sqrt(shape[0] if len(shape) > 1 else 1)).astype(np.float32)

    rows = node("Add", ["INPUT_0", constant("offsets", np.arange(fields, dtype=np.int64) * size)], "rows")
    table = (random.normal(size=(fields * size, width)) * 0.3).astype(np.float32)
    vectors = node("Gather", [constant("table", table), rows], "vectors", axis=0)
    axis = constant("axis", np.array([1], dtype=np.int64))
    total = node("ReduceSum", [vectors, axis], "total", keepdims=0)
    squares = node("ReduceSum", [node("Mul", [vectors, vectors], "squared"), axis], "squares", keepdims=0)
    pairs = node("Sub", [node("Mul", [total, total], "total2"), squares], "pairs")
    second = node("ReduceSum", [pairs, axis], "second", keepdims=1)
    flat_shape = constant("flat_shape", np.array([-1, fields * width], dtype=np.int64))
    layer = node("Reshape", [vectors, flat_shape], "flat")
    wide = fields * width
    if values:
        layer, wide = node("Concat", [layer, "INPUT_1"], "joined", axis=1), wide + values
    for number, units in enumerate(hidden):
        weights, bias = constant(f"w{number}", drawn(wide, units)), constant(f"b{number}", drawn(units) * 0.1)
        layer = node("Relu", [node("Gemm", [layer, weights, bias], f"g{number}")], f"r{number}")
        wide = units
    deep = node("Gemm", [layer, constant("w", drawn(wide, 1)), constant("b", drawn(1))], "deep")
    node(
        "Sigmoid",
        [node("Add", [deep, node("Mul", [second, constant("half", np.float32(0.1))], "fm")], "logit")],
        "OUTPUT_0",
    )
    inputs = [helper.make_tensor_value_info("INPUT_0", TensorProto.INT64, ["rows", fields])]
    if values:
        inputs.append(helper.make_tensor_value_info("INPUT_1", TensorProto.FLOAT, ["rows", values]))
    outputs = [helper.make_tensor_value_info("OUTPUT_0", TensorProto.FLOAT, ["rows", 1])]
    graph = helper.make_graph(nodes, "deepfm", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
