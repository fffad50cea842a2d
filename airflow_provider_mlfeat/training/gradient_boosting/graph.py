"""Boosted trees as an ONNX graph.

``INPUT_0`` and ``INPUT_1`` become one float matrix, a ``TreeEnsembleRegressor`` adds up the leaves, and a sigmoid makes
the sum a probability. XGBoost and ONNX Runtime compare in the same width and the same way (``x < threshold``, NaN takes
the default branch), so a row ends in the same leaves.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import onnx
import xgboost as xgb
from onnx import TensorProto, helper

from airflow_provider_mlfeat.training.model_folder import OUTPUT_TENSORS, Tensor, input_tensors

_OPSET, _TREE_OPSET, _IR_VERSION = 17, 3, 8
_TYPES = {"INT64": TensorProto.INT64, "FP32": TensorProto.FLOAT}


def export_trees(booster: xgb.Booster, fields: int, values: int, path: Path) -> None:
    """Write the trees of a booster of ``binary:logistic`` as ``model.onnx``."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    assert learner["objective"]["name"] == "binary:logistic"
    inputs = input_tensors(fields, values)
    numbers = [f"{tensor.name}_numbers" for tensor in inputs]
    nodes = [
        helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT)
        for tensor, name in zip(inputs, numbers, strict=True)
    ]
    nodes.append(helper.make_node("Concat", numbers, ["columns"], axis=1))
    ensemble = _ensemble(learner["gradient_booster"]["model"]["trees"], _base_margin(learner))
    nodes.append(helper.make_node("TreeEnsembleRegressor", ["columns"], ["margin"], domain="ai.onnx.ml", **ensemble))
    nodes.append(helper.make_node("Sigmoid", ["margin"], [OUTPUT_TENSORS[0].name]))
    graph = helper.make_graph(
        nodes, "boosted_trees", [_described(tensor) for tensor in inputs], [_described(OUTPUT_TENSORS[0])]
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _TREE_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="airflow-provider-mlfeat")
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _described(tensor: Tensor) -> Any:
    return helper.make_tensor_value_info(tensor.name, _TYPES[tensor.dtype], ["rows", *tensor.shape])


def _base_margin(learner: dict[str, Any]) -> float:
    """The log odds that the sum of leaves starts from; the model holds them as a probability."""
    base = float(str(learner["learner_model_param"]["base_score"]).strip("[]"))
    return math.log(base / (1 - base))


def _ensemble(trees: list[dict[str, Any]], base: float) -> dict[str, Any]:
    """The attributes of the operator: all nodes of all trees, one list per attribute."""
    nodes: dict[str, list[Any]] = {
        name: []
        for name in (
            *("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids"),
            "missing_value_tracks_true",
        )
    }
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(trees):
        children = zip(tree["left_children"], tree["right_children"], strict=True)
        for node, (left, right) in enumerate(children):
            is_leaf = left == -1
            nodes["treeids"].append(number)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(0 if is_leaf else tree["split_indices"][node])
            nodes["modes"].append("LEAF" if is_leaf else "BRANCH_LT")
            nodes["values"].append(0.0 if is_leaf else tree["split_conditions"][node])
            nodes["truenodeids"].append(0 if is_leaf else left)
            nodes["falsenodeids"].append(0 if is_leaf else right)
            nodes["missing_value_tracks_true"].append(0 if is_leaf else tree["default_left"][node])
            if is_leaf:
                leaves["treeids"].append(number)
                leaves["nodeids"].append(node)
                leaves["ids"].append(0)
                # XGBoost keeps a leaf's value where a branch has its threshold.
                leaves["weights"].append(tree["split_conditions"][node])
    return {
        **{f"nodes_{name}": values for name, values in nodes.items()},
        **{f"target_{name}": values for name, values in leaves.items()},
        "aggregate_function": "SUM",
        "base_values": [base],
        "n_targets": 1,
        "post_transform": "NONE",
    }
