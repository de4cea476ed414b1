"""One ONNX graph out of a package's three: raw rows in, named outputs out.

Tensors are joined by name, whatever they hold: encode's outputs are the net's inputs of the same
name; encode's ``unknown`` and the net's outputs are decode's inputs, behind the prefix ``net_``. A
net may leave an output of encode unused.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx.utils
from google.protobuf.message import DecodeError
from onnx import compose, numpy_helper

from penchant.clients.contract import PROPENSITY, SCORE_OUTPUTS, UNKNOWN, TensorSpec
from penchant.serving.decode import (
    ELEM_TYPE,
    IR_VERSION,
    ML_OPSET,
    NET_PREFIX,
    OPSET,
    PACKAGE_VERSION,
)
from penchant.serving.package import ModelPackage

FULL_GRAPH: Final = "model.onnx"
"""File of the graph that computes every output."""
SCORE_GRAPH: Final = "score.onnx"
"""File of the part of it that computes ``contract.score_outputs``, where there is one."""
BATCH: Final = "batch"
"""Name of the batch axis in a fused graph."""

NO_FIT: Final = (
    ValueError,
    DecodeError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
)
"""What is raised where graphs do not fit one another."""

_OPSETS: Final = {"": OPSET, "ai.onnx.ml": ML_OPSET}


def served_graphs(package: ModelPackage, version: int) -> dict[str, onnx.ModelProto]:
    """The graphs that serve a package, by file name: the whole one, and what saves callers work.

    Of a propensity model the part without reasons, which cost an explanation pass. A journey model
    has none: beside scoring the catalogue its other heads take under a twentieth of the time, and
    a second graph would hold a second copy of every item's vector.

    Raises:
        ValueError: if its graphs do not fit one another or the contract.
    """
    graphs = {FULL_GRAPH: fuse(package, version)}
    if package.contract.kind == PROPENSITY:
        graphs[SCORE_GRAPH] = score_only(graphs[FULL_GRAPH])
    return graphs


def fuse(package: ModelPackage, version: int) -> onnx.ModelProto:
    """Merge encode, net and decode, with ``version`` stamped as the output of that name.

    Raises:
        ValueError: if the graphs do not fit one another or the contract.
    """
    try:
        encode, net, decode = (
            load_graph(path) for path in (package.encode, package.net, package.decode)
        )
        stamp_version(decode, version)
        fused = _merge(encode, net, decode, name=package.contract.kind)
        name_batch_axis(fused.graph)
        onnx.checker.check_model(fused, full_check=True)
        check_tensors(fused.graph.input, package.contract.inputs)
        check_tensors(fused.graph.output, package.contract.outputs)
    except NO_FIT as error:
        raise graphs_do_not_fit(package, error) from error
    return fused


def score_only(fused: onnx.ModelProto) -> onnx.ModelProto:
    """The part of a propensity model's fused graph that callers without reasons need.

    A graph of its own, because ONNX Runtime computes every node whichever outputs are asked for:
    outside its training builds it passes over ``only_execute_path_to_fetches``.
    """
    inputs = [value.name for value in fused.graph.input]
    part = onnx.utils.Extractor(fused).extract_model(inputs, list(SCORE_OUTPUTS))
    onnx.checker.check_model(part, full_check=True)
    return part


def load_graph(path: Path) -> onnx.ModelProto:
    """One of a package's graphs, without what its exporter wrote about shapes and sources.

    Raises:
        ValueError: if it is of another operator set.
    """
    model = onnx.load(str(path))
    for entry in model.opset_import:
        expected = _OPSETS.get(entry.domain, entry.version)
        if entry.version != expected:
            raise ValueError(
                f"{path.name}: operator set {entry.domain or 'ai.onnx'} {entry.version} instead of "
                f"{expected}"
            )
    model.ir_version = IR_VERSION
    # Recorded shapes carry each exporter's own name of the batch axis; inference makes them anew.
    del model.graph.value_info[:]
    # Exporters write their sources' paths here.
    del model.metadata_props[:]
    return model


def stamp_version(decode: onnx.ModelProto, version: int) -> None:
    """Have a decode graph answer with the package's version.

    Raises:
        ValueError: if it has no place for it.
    """
    for tensor in decode.graph.initializer:
        if tensor.name == PACKAGE_VERSION:
            stamped = np.full(numpy_helper.to_array(tensor).shape, version, np.int64)
            tensor.CopyFrom(numpy_helper.from_array(stamped, PACKAGE_VERSION))
            return
    raise ValueError(f"decode.onnx has no initializer {PACKAGE_VERSION!r}")


def _merge(
    encode: onnx.ModelProto, net: onnx.ModelProto, decode: onnx.ModelProto, *, name: str
) -> onnx.ModelProto:
    """Join by name; every inner name gets its part's prefix, so that none can clash."""
    encode_outputs = [value.name for value in encode.graph.output]
    net_inputs = [value.name for value in net.graph.input]
    net_outputs = [value.name for value in net.graph.output]
    unmet = sorted(set(net_inputs) - set(encode_outputs))
    if unmet:
        raise ValueError(f"net.onnx wants {unmet}, encode.onnx gives {encode_outputs}")
    scored = compose.merge_models(
        compose.add_prefix(encode, "encode/", rename_inputs=False),
        compose.add_prefix(net, "net/"),
        io_map=[(f"encode/{name}", f"net/{name}") for name in net_inputs],
    )
    sources = {NET_PREFIX + name: f"net/{name}" for name in net_outputs}
    sources[NET_PREFIX + UNKNOWN] = f"encode/{UNKNOWN}"
    decode_inputs = [value.name for value in decode.graph.input]
    unmet = sorted(set(decode_inputs) - set(sources))
    if unmet:
        raise ValueError(f"decode.onnx wants {unmet}, the net gives {net_outputs}")
    fused = compose.merge_models(
        scored,
        compose.add_prefix(decode, "decode/", rename_outputs=False),
        io_map=[(sources[name], f"decode/{name}") for name in decode_inputs],
        name=name,
        producer_name="penchant",
    )
    named = {value.name for value in decode.graph.output}
    outputs = [value for value in fused.graph.output if value.name in named]
    del fused.graph.output[:]
    fused.graph.output.extend(outputs)
    del fused.graph.value_info[:]
    fused.graph.doc_string = ""
    return fused


def name_batch_axis(graph: onnx.GraphProto) -> None:
    """Call the first axis of every input and output ``batch``, whatever its exporter called it."""
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH


def check_tensors(found: Iterable[onnx.ValueInfoProto], specs: Iterable[TensorSpec]) -> None:
    """Hold inputs or outputs of a graph against a contract's.

    Raises:
        ValueError: if there are others, or of another type or shape.
    """
    got = {value.name: _described(value) for value in found}
    expected = {spec.name: _expected(spec) for spec in specs}
    if got != expected:
        raise ValueError(f"tensors {got} where the contract says {expected}")


def graphs_do_not_fit(package: ModelPackage, error: Exception) -> ValueError:
    """What to raise for a package whose graphs cannot be put together."""
    return ValueError(
        f"package {package.folder}: expected encode, net and decode graphs that fit one "
        f"another, got: {error}; train again with this version of penchant"
    )


def _described(value: onnx.ValueInfoProto) -> tuple[int, tuple[int, ...]]:
    tensor = value.type.tensor_type
    return tensor.elem_type, tuple(dim.dim_value for dim in tensor.shape.dim[1:])


def _expected(spec: TensorSpec) -> tuple[int, tuple[int, ...]]:
    return ELEM_TYPE[spec.dtype], spec.shape
