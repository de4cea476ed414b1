"""``decode.onnx`` of a propensity model: names the outputs and stamps the package version.

Shapes: B rows, G goals, F features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto, helper

from penchant.clients.contract import BASE, PROPENSITY, REASON, UNKNOWN, VERSION, Contract

OPSET: Final = 20
"""ONNX operator set of every graph in a package."""
ML_OPSET: Final = 4
"""Operator set of the domain ``ai.onnx.ml`` in every graph in a package."""
IR_VERSION: Final = 10
"""ONNX file format version of every graph in a package."""

NET_PREFIX: Final = "net_"
"""Prefix of decode's inputs: ``net_propensity``, ``net_reason``, ``net_base``, ``net_unknown``."""
PACKAGE_VERSION: Final = "package_version"
"""INT64 scalar initializer that holds the version."""
ELEM_TYPE: Final = {
    "FP32": TensorProto.FLOAT,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "BYTES": TensorProto.STRING,
}
"""ONNX element type by Triton data type."""

_FLOAT, _INT32, _INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64


def write_decode(path: Path, contract: Contract) -> None:
    """Write the decode graph of a propensity model.

    Inputs ``net_propensity`` (B, G), ``net_reason`` (B, G, F), ``net_base`` (B, G) and
    ``net_unknown`` (B, 1); outputs the same without the prefix, and ``version`` INT64 (B, 1), 0
    until the package is published.
    """
    num_goals, num_features = len(contract.goals), len(contract.features)
    tensors = {
        PROPENSITY: (_FLOAT, [num_goals]),
        REASON: (_FLOAT, [num_goals, num_features]),
        BASE: (_FLOAT, [num_goals]),
        UNKNOWN: (_INT32, [1]),
    }
    inputs = [
        helper.make_tensor_value_info(NET_PREFIX + name, kind, ["batch", *shape])
        for name, (kind, shape) in tensors.items()
    ]
    outputs = [
        helper.make_tensor_value_info(name, kind, ["batch", *shape])
        for name, (kind, shape) in tensors.items()
    ]
    outputs.append(helper.make_tensor_value_info(VERSION, _INT64, ["batch", 1]))
    nodes = [helper.make_node("Identity", [NET_PREFIX + name], [name]) for name in tensors]
    nodes += [
        helper.make_node("Shape", [NET_PREFIX + UNKNOWN], ["version_shape"]),
        helper.make_node("Expand", [PACKAGE_VERSION, "version_shape"], [VERSION]),
    ]
    version = helper.make_tensor(PACKAGE_VERSION, _INT64, [1, 1], [0])
    graph = helper.make_graph(nodes, "decode", inputs, outputs, [version])
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
