"""The least that a net has to do: bytes and operations, and from them the floor of its time.

    bytes = weights + inputs + outputs
    operations = sum over products of matrices (M, K) x (K, N) of 2 M K N
    floor = max(bytes / bandwidth, sum over number types of operations / rate)

Each weight counts once where a product takes it, and by the rows that are looked up where only a
Gather takes it. What stays between the operators counts nothing, scores of all items neither: that
would be the time of one kernel that keeps all of it on the chip, the roofline of Williams, Waterman
and Patterson (2009). Bandwidth and rates are those measured on the same card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

import onnx
from onnx import TensorProto

from penchant.serving.engines.tensor_shapes import TensorShape, num_bytes, tensor_shapes

PRODUCTS: Final = frozenset({"MatMul", "Gemm"})
TYPE_NAMES: Final[Mapping[int, str]] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
}

Shapes = Mapping[str, TensorShape]


@dataclass(frozen=True)
class Ceilings:
    """What the card was measured to do at best."""

    bytes_per_s: float
    """Copied within its memory, read and written."""
    flops_per_s: Mapping[str, float]
    """Of a large product of matrices, by precision: fp32, tf32, fp16, bf16."""


@dataclass(frozen=True)
class Work:
    """What one run has to move and to compute."""

    num_bytes: int
    """Weights, inputs and outputs."""
    flops: Mapping[str, int]
    """Operations of products by number type: fp32, fp16, bf16."""

    def floor_us(self, ceilings: Ceilings, *, has_tf32: bool) -> tuple[float, str]:
        """The least time in microseconds, and what bounds it: bytes or operations."""
        memory_us = self.num_bytes / ceilings.bytes_per_s * 1e6
        compute_us = 0.0
        for kind, count in self.flops.items():
            name = "tf32" if kind == "fp32" and has_tf32 else kind
            compute_us += count / ceilings.flops_per_s[name] * 1e6
        return max((memory_us, "bytes"), (compute_us, "operations"))


def graph_work(model: onnx.ModelProto, rows: int) -> Work:
    """What a run of a net, whose one open axis is the batch, has to do with so many rows."""
    graph, shapes = model.graph, tensor_shapes(model, rows)
    flops: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in PRODUCTS:
            kind, shape = shapes[node.output[0]]
            name = TYPE_NAMES.get(kind, "fp32")
            flops[name] = flops.get(name, 0) + 2 * prod(shape) * _inner(node, shapes)
    ends = sum(num_bytes(shapes[value.name]) for value in (*graph.input, *graph.output))
    return Work(ends + _weights(graph, shapes), flops)


def _inner(node: onnx.NodeProto, shapes: Shapes) -> int:
    """K: the axis that a product sums over."""
    shape = shapes[node.input[0]][1]
    is_turned = any(each.name == "transA" and each.i for each in node.attribute)
    return shape[-2 if is_turned else -1]


def _weights(graph: onnx.GraphProto, shapes: Shapes) -> int:
    """Bytes of constants that are read: whole, or the rows that are looked up.

    What is made of constants alone is one too, worked out once: a weight that is turned or cast
    counts as it is read, and once where it is read in two forms.
    """
    roots: dict[str, frozenset[str]] = {
        tensor.name: frozenset({tensor.name}) for tensor in graph.initializer
    }
    whole: dict[frozenset[str], int] = {}
    looked_up: list[tuple[frozenset[str], int]] = []
    for node in graph.node:
        names = [name for name in node.input if name]
        if all(name in roots for name in names):
            found: frozenset[str] = frozenset().union(*(roots[name] for name in names))
            roots |= dict.fromkeys(node.output, found)
            continue
        if node.op_type == "Gather" and names[0] in roots:
            looked_up.append((roots[names[0]], num_bytes(shapes[node.output[0]])))
            continue
        for name in names:
            if name in roots:
                size = num_bytes(shapes[name])
                whole[roots[name]] = max(size, whole.get(roots[name], 0))
    rows = sum(size for found, size in looked_up if found not in whole)
    return rows + sum(whole.values())
