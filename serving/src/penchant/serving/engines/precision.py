"""Writes mixed precision into a net: engines are strongly typed, so the graph says it all.

Products of matrices, which is where a net's time goes, get half the bits, their weights too. What
follows the last product on each way to an output stays FP32 together with that product: logits of
the heads and of all items, masks, TopK, softmax and calibration. So does all that is no product:
ages of up to 1e9 seconds do not fit FP16. Inputs and outputs keep their types. That is what
``torch.autocast`` does.

Of NVIDIA's ModelOpt AutoCast we know that it converts these nets too. It is not used: it chooses
nodes by the ranges of their weights and of calibration data, so that a day's retrain could give
another graph, which no engine can be refitted with; it lowers four nodes in five, the clamps of
ages among them; and it wants an older onnx, a GPU build of ONNX Runtime and CuPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, get_args

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

Precision = Literal["fp32", "tf32", "fp16", "bf16"]
"""fp32; fp32 whose products round their factors to 10 bits of mantissa; mixed."""
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

PRODUCTS: Final = frozenset({"MatMul", "Gemm", "Einsum"})
"""Operators that compute in low precision."""
_LOW: Final[Mapping[str, int]] = MappingProxyType(
    {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
)
_LARGEST_FP16: Final = float(np.finfo(np.float16).max)


def has_tf32(precision: Precision) -> bool:
    """Whether products that the graph holds in FP32 may use TF32: always but for parity."""
    return precision != "fp32"


def convert(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """The net in a precision; the same object for fp32 and tf32, where the graph does not change.

    Args:
        model: a net in FP32 whose nodes are in the order of execution, as ONNX wants them.
        precision: what its products are computed in.

    Raises:
        ValueError: if there is no such precision, or FP16 cannot hold a weight.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision not in _LOW:
        return model
    lowered = lowered_nodes(model.graph)
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    _Lowering(converted.graph, precision).apply(lowered)
    return converted


def lowered_nodes(graph: onnx.GraphProto) -> frozenset[str]:
    """First outputs of the products that another product follows."""
    followed: set[str] = set()
    """Tensors from which some product is computed."""
    lowered = set()
    for node in reversed(graph.node):
        is_product = node.op_type in PRODUCTS
        if is_product and any(name in followed for name in node.output):
            lowered.add(node.output[0])
        if is_product or any(name in followed for name in node.output):
            followed.update(node.input)
    return frozenset(lowered)


@dataclass
class _Lowering:
    """A graph that is being changed, and the casts that it has so far."""

    graph: onnx.GraphProto
    precision: str
    casts: dict[str, str] = field(default_factory=dict)
    """Tensor -> the same in low precision."""

    @property
    def kind(self) -> int:
        return _LOW[self.precision]

    def apply(self, lowered: Iterable[str]) -> None:
        names = frozenset(lowered)
        floats = {
            each.name for each in self.graph.initializer if each.data_type == TensorProto.FLOAT
        }
        nodes: list[NodeProto] = []
        for node in self.graph.node:
            if node.output and node.output[0] in names:
                nodes += self._lower(node, floats)
            else:
                nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        self._store_weights(floats)
        # The exporter's notes on inner tensors would speak of other types.
        del self.graph.value_info[:]

    def _lower(self, node: NodeProto, weights: set[str]) -> list[NodeProto]:
        """The node between its casts; a weight has none, it is stored in low precision."""
        nodes = []
        for place, name in enumerate(node.input):
            if not name:
                continue
            if name not in self.casts:
                self.casts[name] = f"{name}:{self.precision}"
                if name not in weights:
                    nodes.append(self._cast(node, name, self.casts[name], self.kind))
            node.input[place] = self.casts[name]
        name = node.output[0]
        node.output[0] = f"{name}:{self.precision}:product"
        return [*nodes, node, self._cast(node, node.output[0], name, TensorProto.FLOAT)]

    @staticmethod
    def _cast(maker: NodeProto, source: str, result: str, kind: int) -> NodeProto:
        """A cast that bears the name of the module whose product it serves."""
        cast = helper.make_node("Cast", [source], [result], name=f"cast:{result}", to=kind)
        cast.metadata_props.extend(maker.metadata_props)
        return cast

    def _store_weights(self, weights: set[str]) -> None:
        """Weights in low precision; those in FP32 that nothing reads any more are dropped."""
        used = {name for node in self.graph.node for name in node.input}
        used |= {value.name for value in self.graph.output}
        kept = []
        for tensor in self.graph.initializer:
            if tensor.name in self.casts and tensor.name in weights:
                kept.append(self._lowered(tensor))
            if tensor.name in used:
                kept.append(tensor)
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def _lowered(self, tensor: TensorProto) -> TensorProto:
        value = numpy_helper.to_array(tensor)
        if self.precision == "fp16" and np.abs(value).max(initial=0) > _LARGEST_FP16:
            raise ValueError(
                f"precision: expected weights up to {_LARGEST_FP16:g} for fp16, got "
                f"{np.abs(value).max():g} in {tensor.name!r}; build with bf16, tf32 or fp32"
            )
        low = value.astype(helper.tensor_dtype_to_np_dtype(self.kind))
        return numpy_helper.from_array(low, self.casts[tensor.name])
