"""How much GPU memory a net needs, and whether its tensors are of a size that TensorRT takes.

Both follow from the shapes of its tensors at the largest batch, which ONNX's shape inference gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

import onnx

from penchant.serving.engines.tensor_shapes import num_bytes, tensor_shapes

MOST_ELEMENTS: Final = 2**31 - 1
"""Elements of one tensor that TensorRT's TopK, softmax and scatter take."""
RESERVE_BYTES: Final = 1 << 30
"""For CUDA's context, the kernels themselves and what they use beside the graph's tensors."""


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
    constants = ((tensor.data_type, tuple(tensor.dims)) for tensor in model.graph.initializer)
    weights = sum(map(num_bytes, constants))
    return MemoryNeed(weights, _most_alive(model.graph, sizes))


def tensor_sizes(model: onnx.ModelProto, rows: int) -> Mapping[str, tuple[int, int]]:
    """Elements and bytes of each tensor that is computed, by name, in a batch of `rows`."""
    shapes = tensor_shapes(model, rows)
    computed = {name for node in model.graph.node for name in node.output}
    return {
        name: (prod(shape[1]), num_bytes(shape))
        for name, shape in shapes.items()
        if name in computed
    }


def _most_alive(graph: onnx.GraphProto, sizes: Mapping[str, tuple[int, int]]) -> int:
    """The most bytes of tensors between the node that makes them and the last that reads them."""
    last = {name: place for place, node in enumerate(graph.node) for name in node.input}
    last |= {value.name: len(graph.node) for value in graph.output}
    ends: dict[int, int] = {}
    alive = most = 0
    for place, node in enumerate(graph.node):
        for name in node.output:
            size = sizes.get(name, (0, 0))[1]
            alive += size
            ends[last.get(name, place)] = ends.get(last.get(name, place), 0) + size
        most = max(most, alive)
        alive -= ends.pop(place, 0)
    return most
