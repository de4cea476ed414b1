"""An ONNX graph that is being written by hand, node by node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from penchant.serving.decode import IR_VERSION, ML_OPSET, OPSET


class OnnxGraph:
    """Nodes, constants, inputs and outputs; each tensor is called by its name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []

    def input(self, name: str, kind: int, width: int) -> str:
        """Add an input (B, width); returns its name."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, ["batch", width]))
        return name

    def output(self, name: str, kind: int, width: int) -> None:
        """Make the tensor of that name an output (B, width)."""
        self.outputs.append(helper.make_tensor_value_info(name, kind, ["batch", width]))

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add a constant; returns its name."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node with one output; returns the output's name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def save(self, path: Path, *, name: str) -> None:
        """Check the graph and write it.

        Raises:
            onnx.checker.ValidationError: the graph is not well formed.
        """
        model = helper.make_model(
            helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants),
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid("ai.onnx.ml", ML_OPSET),
            ],
            ir_version=IR_VERSION,
            producer_name="penchant",
        )
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(path))
