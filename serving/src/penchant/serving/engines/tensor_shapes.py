"""Type and shape of every tensor of a net at a batch size, by ONNX's shape inference."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Final

import onnx
from onnx import TensorProto, helper

TensorShape = tuple[int, tuple[int, ...]]
"""ONNX type, and shape."""

_LARGE_BYTES: Final = 4096
"""Constants up to this size may be shapes, whose values inference needs; others are left out."""


def tensor_shapes(model: onnx.ModelProto, rows: int) -> Mapping[str, TensorShape]:
    """Type and shape by name of inputs, constants and what is computed, in a batch of `rows`."""
    outline = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = outline.graph
    graph.name = "outline"
    graph.node.extend(model.graph.node)
    for value in model.graph.input:
        fixed = [dim.dim_value or rows for dim in value.type.tensor_type.shape.dim]
        kind = value.type.tensor_type.elem_type
        graph.input.append(helper.make_tensor_value_info(value.name, kind, fixed))
    for value in model.graph.output:
        kind = value.type.tensor_type.elem_type
        graph.output.append(helper.make_tensor_value_info(value.name, kind, None))
    shapes: dict[str, TensorShape] = {}
    for tensor in model.graph.initializer:
        shapes[tensor.name] = tensor.data_type, tuple(tensor.dims)
        if num_bytes(shapes[tensor.name]) <= _LARGE_BYTES:
            graph.initializer.append(tensor)
        else:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(value)
    inferred = onnx.shape_inference.infer_shapes(outline, data_prop=True).graph
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        dims = tuple(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
        shapes[value.name] = value.type.tensor_type.elem_type, dims
    return shapes


def num_bytes(tensor: TensorShape) -> int:
    """Bytes of a tensor; none of text, which no GPU sees."""
    kind, shape = tensor
    size = helper.tensor_dtype_to_np_dtype(kind).itemsize if kind != TensorProto.STRING else 0
    return prod(shape) * size
