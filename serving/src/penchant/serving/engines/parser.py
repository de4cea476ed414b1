"""Reads a net into a TensorRT network, and says which module made a node that it cannot take."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, Final

import onnx
from onnx import NodeProto

from penchant.serving.engines.library import EngineLibrary
from penchant.serving.engines.logger import BuildLog

_SCOPES: Final = "pkg.torch.onnx.name_scopes"
_CLASSES: Final = "pkg.torch.onnx.class_hierarchy"
_PLUGIN_LAYERS: Final = frozenset({"PLUGIN", "PLUGIN_V2", "PLUGIN_V3"})


def parse(model: onnx.ModelProto, network: Any, library: EngineLibrary, log: BuildLog) -> Any:
    """Add a net's nodes to an empty network.

    Returns:
        The parser, which holds the weights and has to live until the engine is built.

    Raises:
        ValueError: if TensorRT lacks an operator or cannot take a node as it is, or would fall back
            to a plugin; the message names operator, node and module of each.
    """
    parser = library.module.OnnxParser(network, log.logger)
    if not parser.parse(model.SerializeToString()):
        errors = [parser.get_error(place) for place in range(parser.num_errors)]
        raise ValueError(refusal(model.graph, errors, library) or "; ".join(log.errors))
    fallbacks = [layer.name for layer in _layers(network) if layer.type.name in _PLUGIN_LAYERS]
    if fallbacks:
        raise ValueError(
            f"net.onnx: expected operators of {library.name} {library.version} itself, got some "
            f"that need a plugin, which Triton would have to load too: {', '.join(fallbacks)}; "
            "write them in the module by others"
        )
    return parser


def refusal(graph: onnx.GraphProto, errors: list[Any], library: EngineLibrary) -> str:
    """What to say of a parser's errors; "" where there are none."""
    if not errors:
        return ""
    nodes = {node.name: node for node in graph.node}
    said = dict.fromkeys(_said(error, nodes.get(error.node_name())) for error in errors)
    return (
        f"net.onnx: expected operators that {library.name} {library.version} takes, got "
        f"{'; '.join(said)}; write that module with other operators, then train again (the list: "
        "https://docs.nvidia.com/deeplearning/tensorrt, under operators)"
    )


def _said(error: Any, node: NodeProto | None) -> str:
    operator, reason = error.node_operator(), error.desc().strip()
    where = f"operator {operator!r} of node {error.node_name()!r}" if operator else "the graph"
    made_by = f", made by {maker(node)}" if node is not None and maker(node) else ""
    # The condition that failed in the parser's source says nothing by itself.
    why = "" if reason in ("", "false") else f", {reason}"
    return f"{where}{made_by} ({error.code().name.lower().replace('_', ' ')}{why})"


def maker(node: NodeProto) -> str:
    """The module that made a node, as torch.export notes it: name and class; "" if unnoted."""
    notes = {entry.key: entry.value for entry in node.metadata_props}
    scopes, classes = _listed(notes.get(_SCOPES, "")), _listed(notes.get(_CLASSES, ""))
    # The last entry is the operator that the module called.
    if len(scopes) < 2 or len(classes) != len(scopes):
        return ""
    return f"{scopes[-2] or 'the outermost module'} ({classes[-2]})"


def _listed(text: str) -> list[str]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return []
    return [str(each) for each in value] if isinstance(value, list) else []


def _layers(network: Any) -> Iterator[Any]:
    return (network.get_layer(place) for place in range(network.num_layers))
