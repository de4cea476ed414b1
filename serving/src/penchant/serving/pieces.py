"""A package's graphs as the steps of an ensemble: encode, net, decode.

On the GPU the net runs alone, so a package is not fused there but served in pieces, which hand
tensors on. Triton leaves out the steps of an ensemble whose outputs nobody asks for, and the cut is
such that this saves most:

- A propensity net is cut in two, into what scores and what explains, which costs a further pass.
- What decode only renames goes from the net to the caller. So decode is left with text, counts and
  the version, waits for no reasons, and large tensors are not copied through it.

Tensors between the steps are called ``encode/<name>`` and ``net/<name>``, the caller's by their
public names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import onnx
import onnx.utils

from penchant.clients.contract import PROPENSITY, UNKNOWN, TensorSpec
from penchant.serving.decode import ELEM_TYPE, NET_PREFIX
from penchant.serving.fuse import (
    NO_FIT,
    check_tensors,
    graphs_do_not_fit,
    load_graph,
    name_batch_axis,
    stamp_version,
)
from penchant.serving.golden import Tensors
from penchant.serving.package import ModelPackage

StepName = Literal["encode", "net", "explain", "decode"]

_INNER: Final = "/"
"""Stands in the name of every tensor that stays between the steps."""
_DTYPE: Final[Mapping[int, str]] = {kind: dtype for dtype, kind in ELEM_TYPE.items()}


@dataclass(frozen=True)
class Piece:
    """One step: a graph, and which of the ensemble's tensors are its inputs and outputs."""

    step: StepName
    graph: onnx.ModelProto
    inputs: Mapping[str, str]
    """The ensemble's tensor by input of the graph."""
    outputs: Mapping[str, str]
    """The ensemble's tensor by output of the graph."""

    @property
    def input_specs(self) -> tuple[TensorSpec, ...]:
        """What the graph takes, in its order."""
        return _specs(self.graph.graph.input)

    @property
    def output_specs(self) -> tuple[TensorSpec, ...]:
        """What the graph gives, in its order."""
        return _specs(self.graph.graph.output)

    def taken(self, tensors: Tensors) -> Tensors:
        """What the graph takes of the ensemble's tensors, by its own names."""
        return {name: tensors[tensor] for name, tensor in self.inputs.items()}

    @property
    def runs_on_gpu(self) -> bool:
        """Whether TensorRT runs it: text is for the CPU."""
        return self.step in ("net", "explain")


def net_graphs(package: ModelPackage) -> dict[StepName, onnx.ModelProto]:
    """The net, in two where callers may leave out the dear part: what an engine is built of each.

    Raises:
        ValueError: if it is of another operator set.
    """
    net = load_graph(package.net)
    reasons = [name for name in _names(net.graph.output) if name != PROPENSITY]
    if package.contract.kind != PROPENSITY or not reasons:
        return {"net": net}
    return {"net": _part(net, [PROPENSITY]), "explain": _part(net, reasons)}


def net_files(package: ModelPackage, folder: Path) -> dict[StepName, Path]:
    """Files of the graphs that engines are built of: the package's own where it is not cut.

    Args:
        package: whose net.
        folder: where the parts are written; the same package gives the same bytes anywhere.

    Raises:
        ValueError: if the net is of another operator set.
    """
    nets = net_graphs(package)
    if len(nets) == 1:
        return dict.fromkeys(nets, package.net)
    files = {step: folder / f"{step}.onnx" for step in nets}
    for step, net in nets.items():
        files[step].write_bytes(net.SerializeToString(deterministic=True))
    return files


def cut(package: ModelPackage, version: int) -> tuple[Piece, ...]:
    """The steps of a package, each after those that it waits for, with ``version`` stamped.

    Raises:
        ValueError: if its graphs do not fit one another or the contract.
    """
    try:
        encode, decode = load_graph(package.encode), load_graph(package.decode)
        stamp_version(decode, version)
        pieces = _connected(encode, net_graphs(package), decode)
        for piece in pieces:
            name_batch_axis(piece.graph.graph)
            onnx.checker.check_model(piece.graph, full_check=True)
        check_tensors(encode.graph.input, package.contract.inputs)
        check_tensors(_answers(pieces), package.contract.outputs)
    except NO_FIT as error:
        raise graphs_do_not_fit(package, error) from error
    return pieces


def _connected(
    encode: onnx.ModelProto, nets: Mapping[StepName, onnx.ModelProto], decode: onnx.ModelProto
) -> tuple[Piece, ...]:
    wanted = _names(decode.graph.input)
    renamed = _renamed(decode.graph)
    decode = _part(decode, [n for n in _names(decode.graph.output) if n not in renamed.values()])
    used = {UNKNOWN}.union(*(_names(net.graph.input) for net in nets.values()))
    _require(used, encode.graph, "net.onnx wants", "encode.onnx gives")
    _keep_outputs(encode.graph, used)
    encoded = {name: f"encode/{name}" for name in sorted(used)}
    # By decode's input: encode counts unknown words, all else is the net's.
    sources = {NET_PREFIX + UNKNOWN: encoded[UNKNOWN]}
    pieces = []
    for step, net in nets.items():
        given = {}
        for name in _names(net.graph.output):
            decoded = NET_PREFIX + name
            if decoded in wanted and decoded not in sources:
                given[name] = sources[decoded] = renamed.get(decoded, f"net/{name}")
        inputs = {name: encoded[name] for name in _names(net.graph.input)}
        pieces.append(Piece(step, net, inputs, given))
    unmet = sorted(set(wanted) - set(sources))
    if unmet:
        raise ValueError(f"decode.onnx wants {unmet}, the net gives {sorted(sources)}")
    raw = {name: name for name in _names(encode.graph.input)}
    named = {name: name for name in _names(decode.graph.output)}
    return (
        Piece("encode", encode, raw, encoded),
        *pieces,
        Piece("decode", decode, {n: sources[n] for n in _names(decode.graph.input)}, named),
    )


def _renamed(decode: onnx.GraphProto) -> dict[str, str]:
    """Output by the net's output that it repeats, where nothing else is made of that one.

    A tensor that were both an answer and a step's input would make Triton leave out steps that are
    needed: it takes the tensor for unwanted where that other step is.
    """
    inputs = [name for name in _names(decode.input) if name != NET_PREFIX + UNKNOWN]
    outputs = _names(decode.output)
    reads = Counter(name for node in decode.node for name in node.input)
    return {
        node.input[0]: node.output[0]
        for node in decode.node
        if node.op_type == "Identity"
        and node.input[0] in inputs
        and node.output[0] in outputs
        and reads[node.input[0]] == 1
    }


def _require(used: Iterable[str], giver: onnx.GraphProto, wants: str, gives: str) -> None:
    given = _names(giver.output)
    unmet = sorted(set(used) - set(given))
    if unmet:
        raise ValueError(f"{wants} {unmet}, {gives} {given}")


def _part(model: onnx.ModelProto, outputs: list[str]) -> onnx.ModelProto:
    """What of a graph computes some of its outputs, and no input that these do not need."""
    if outputs == _names(model.graph.output):
        return model
    part = onnx.utils.Extractor(model).extract_model(_names(model.graph.input), outputs)
    part.graph.name, part.producer_name = model.graph.name, "penchant"
    read = {name for node in part.graph.node for name in node.input}
    inputs = [value for value in part.graph.input if value.name in read]
    del part.graph.input[:]
    part.graph.input.extend(inputs)
    return part


def _keep_outputs(graph: onnx.GraphProto, names: Collection[str]) -> None:
    outputs = [value for value in graph.output if value.name in names]
    del graph.output[:]
    graph.output.extend(outputs)


def _answers(pieces: Iterable[Piece]) -> list[onnx.ValueInfoProto]:
    """What the caller gets, by its public names."""
    answers = []
    for piece in pieces:
        for value in piece.graph.graph.output:
            tensor = piece.outputs.get(value.name, _INNER)
            if _INNER not in tensor:
                answers.append(onnx.ValueInfoProto(name=tensor, type=value.type))
    return answers


def _names(values: Iterable[onnx.ValueInfoProto]) -> list[str]:
    return [value.name for value in values]


def _specs(values: Iterable[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=value.name,
            dtype=_DTYPE[value.type.tensor_type.elem_type],
            shape=tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]),
        )
        for value in values
    )
