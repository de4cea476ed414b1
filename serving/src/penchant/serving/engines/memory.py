"""How much GPU memory a net needs, and whether its tensors are of a size that TensorRT takes.

Both follow from the shapes of its tensors at the largest batch, which ONNX's shape inference gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

import onnx
from onnx import TensorProto, helper

MOST_ELEMENTS: Final = 2**31 - 1
"""Elements of one tensor that TensorRT's TopK, softmax and scatter take."""
RESERVE_BYTES: Final = 1 << 30
"""For CUDA's context, the kernels themselves and what they use beside the graph's tensors."""

_LARGE_BYTES: Final = 4096
"""Constants up to this size may be shapes, whose values inference needs; others are left out."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes by what they are for; an estimate.

    An engine fuses nodes and lays tensors out anew: of the shipped nets, TensorRT-RTX 1.7 plans
    with 1.0 to 1.9 times these bytes for tensors, the most of it where they are few.
    """

    weights: int
    """Constants of the graph."""
    tensors: int
    """Most of the tensors that are alive at one time, at the largest batch."""
    reserve: int = RESERVE_BYTES
    """For the rest."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.tensors + self.reserve

    def __str__(self) -> str:
        return (
            f"{in_gib(self.total)} ({in_gib(self.weights)} weights, {in_gib(self.tensors)} "
            f"tensors, {in_gib(self.reserve)} workspace and CUDA itself)"
        )


def in_gib(num_bytes: int) -> str:
    """Bytes as people read them."""
    return f"{num_bytes / 2**30:.2f} GiB"


def memory_need(model: onnx.ModelProto, max_rows: int) -> MemoryNeed:
    """What an engine of a net needs for batches of up to `max_rows`.

    Raises:
        ValueError: if a tensor would have more elements than TensorRT takes; the message names it
            and the batch that it takes.
    """
    sizes = tensor_sizes(model, max_rows)
    for name, (count, _) in sizes.items():
        if count > MOST_ELEMENTS:
            raise ValueError(
                f"max_batch_size: expected tensors of up to {MOST_ELEMENTS:,} elements, got "
                f"{count:,} in {name!r} at {max_rows} rows; lower it to "
                f"{max_rows * MOST_ELEMENTS // count}, or export the net in parts again"
            )
    weights = sum(_bytes(tensor.dims, tensor.data_type) for tensor in model.graph.initializer)
    return MemoryNeed(weights, _most_alive(model.graph, sizes))


def tensor_sizes(model: onnx.ModelProto, rows: int) -> Mapping[str, tuple[int, int]]:
    """Elements and bytes of each tensor that is computed, by name, in a batch of `rows`."""
    outline = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = outline.graph
    graph.name = "outline"
    graph.node.extend(model.graph.node)
    graph.output.extend(model.graph.output)
    for value in model.graph.input:
        dims = [dim.dim_value or rows for dim in value.type.tensor_type.shape.dim]
        kind = value.type.tensor_type.elem_type
        graph.input.append(helper.make_tensor_value_info(value.name, kind, dims))
    for tensor in model.graph.initializer:
        if _bytes(tensor.dims, tensor.data_type) <= _LARGE_BYTES:
            graph.initializer.append(tensor)
        else:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(value)
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(outline, data_prop=True).graph
    sizes = {}
    for value in (*inferred.value_info, *inferred.output):
        dims = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        sizes[value.name] = prod(dims), _bytes(dims, value.type.tensor_type.elem_type)
    return sizes


def _most_alive(graph: onnx.GraphProto, sizes: Mapping[str, tuple[int, int]]) -> int:
    """The most bytes of tensors between the node that makes them and the last that reads them."""
    last = {name: place for place, node in enumerate(graph.node) for name in node.input}
    last |= {value.name: len(graph.node) for value in graph.output}
    ends: dict[int, int] = {}
    alive = most = 0
    for place, node in enumerate(graph.node):
        for name in node.output:
            num_bytes = sizes.get(name, (0, 0))[1]
            alive += num_bytes
            ends[last.get(name, place)] = ends.get(last.get(name, place), 0) + num_bytes
        most = max(most, alive)
        alive -= ends.pop(place, 0)
    return most


def _bytes(dims: object, kind: int) -> int:
    count = prod(dims)  # type: ignore[call-overload]
    size = helper.tensor_dtype_to_np_dtype(kind).itemsize if kind != TensorProto.STRING else 0
    return int(count * size)
