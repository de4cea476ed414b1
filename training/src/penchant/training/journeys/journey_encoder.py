"""Compiling a catalogue and a contract to a journey model's encode.onnx.

Letters: B visitors, L events of a history, X items to leave out, A categories to keep to. Nothing
that has the right dtype and shape can make the graph fail or read out of range, and each row's
result depends on that row alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from penchant.clients.contract import UNKNOWN
from penchant.clients.journey_contract import (
    ACTION,
    AGE_S,
    ALLOW,
    CHANNEL,
    EXCLUDE,
    HOUR,
    HOURS,
    ITEM,
    TARGET_ACTION,
    JourneyContract,
)
from penchant.training.journeys.catalogue import FIRST_CODE, NO_CODE, UNKNOWN_CODE, Catalogue
from penchant.training.onnx_graph import OnnxGraph

ITEM_CODE: Final = "item_code"
ACTION_CODE: Final = "action_code"
CHANNEL_CODE: Final = "channel_code"
AGE: Final = "age"
NOW_HOUR: Final = "now_hour"
TARGET_CODE: Final = "target_code"
EXCLUDE_CODE: Final = "exclude_code"
ALLOW_CODE: Final = "allow_code"

MOST_AGE_S: Final = 1e9
"""Longest age in seconds, about 32 years; what is older counts as that old."""
UNKNOWN_HOUR: Final = -1.0


def compile_journey_encoder(catalogue: Catalogue, contract: JourneyContract, path: Path) -> None:
    """Write `encode.onnx`.

    Inputs: those of the contract. Outputs: ``item_code`` and ``action_code`` INT32 (B, L),
    ``channel_code`` INT32 (B, L) with channels, ``age`` FP32 (B, L) from 0 to :data:`MOST_AGE_S`
    seconds, ``now_hour`` FP32 (B, 1) from 0 up to 168 or -1, ``target_code`` INT32 (B, 1) from 1,
    ``exclude_code`` INT32 (B, X), ``allow_code`` INT32 (B, A) with categories, and ``unknown``
    INT32 (B, 1), the events whose item is not in the catalogue.

    An action or a channel that no list has is 0, none; an event without an action is padding, and
    its item, channel and age are 0. Ages that are NaN, negative or infinite are 0.

    Args:
        catalogue: Items by code, and categories by code.
        contract: Names, types and lengths of the inputs.
        path: File to write.
    """
    graph = OnnxGraph()
    for name, value in (("zero", 0), ("one", 1)):
        graph.constant(name, np.array(value, np.int32))
    graph.constant("axis_1", np.array([1], np.int64))
    is_event = _add_actions(graph, contract)
    _add_items(graph, catalogue, contract, is_event)
    if contract.channels:
        _add_channels(graph, contract, is_event)
    _add_ages(graph, contract, is_event)
    _add_hour(graph)
    _add_target(graph, contract)
    if contract.num_intents:
        _add_allowed(graph, catalogue, contract)
    graph.save(path, name="encode")


def _add_actions(graph: OnnxGraph, contract: JourneyContract) -> str:
    """Actions, and which events are none."""
    raw = graph.input(ACTION, TensorProto.INT32, contract.length)
    known = _is_listed(graph, raw, len(contract.actions))
    graph.add("Where", [known, raw, "zero"], ACTION_CODE)
    graph.output(ACTION_CODE, TensorProto.INT32, contract.length)
    return known


def _add_items(
    graph: OnnxGraph, catalogue: Catalogue, contract: JourneyContract, is_event: str
) -> None:
    kind = TensorProto.INT64 if contract.item_dtype == "INT64" else TensorProto.STRING
    item = graph.input(ITEM, kind, contract.length)
    exclude = graph.input(EXCLUDE, kind, contract.max_exclude)
    # One look-up for both, so that a large catalogue lies in the graph once.
    both = graph.add("Concat", [item, exclude], "item_and_exclude", axis=1)
    found = graph.add(
        "LabelEncoder", [both], "found", domain="ai.onnx.ml", **_item_codes(catalogue, contract)
    )
    code = graph.add("Cast", [found], "code", to=TensorProto.INT32)
    graph.add("Slice", [code, *_bounds(graph, 0, contract.length)], "event_code")
    end = contract.length + contract.max_exclude
    graph.add("Slice", [code, *_bounds(graph, contract.length, end)], EXCLUDE_CODE)
    graph.add("Where", [is_event, "event_code", "zero"], ITEM_CODE)
    missed = graph.add("Equal", [ITEM_CODE, "one"], "missed")  # one is the unknown item's code
    missed = graph.add("Cast", [missed], "missed_one", to=TensorProto.INT32)
    graph.add("ReduceSum", [missed, "axis_1"], UNKNOWN, keepdims=1)
    graph.output(ITEM_CODE, TensorProto.INT32, contract.length)
    graph.output(EXCLUDE_CODE, TensorProto.INT32, contract.max_exclude)
    graph.output(UNKNOWN, TensorProto.INT32, 1)


def _item_codes(catalogue: Catalogue, contract: JourneyContract) -> dict[str, Any]:
    codes = range(FIRST_CODE, catalogue.num_codes)
    if contract.item_dtype == "INT64":
        numbers = dict(zip(catalogue.item_id.tolist(), codes, strict=True)) | {-1: NO_CODE}
        keys: dict[str, Any] = {"keys_int64s": list(numbers)}
        values = list(numbers.values())
    else:
        texts = dict(zip(map(str, catalogue.item_id), codes, strict=True)) | {"": NO_CODE}
        keys = {"keys_strings": list(texts)}
        values = list(texts.values())
    return keys | {"values_int64s": values, "default_int64": UNKNOWN_CODE}


def _bounds(graph: OnnxGraph, start: int, end: int) -> list[str]:
    """Inputs of a Slice along the second axis."""
    return [
        graph.constant(f"from_{start}", np.array([start], np.int64)),
        graph.constant(f"up_to_{end}", np.array([end], np.int64)),
        "axis_1",
    ]


def _add_channels(graph: OnnxGraph, contract: JourneyContract, is_event: str) -> None:
    raw = graph.input(CHANNEL, TensorProto.INT32, contract.length)
    known = _is_listed(graph, raw, len(contract.channels))
    given = graph.add("And", [known, is_event], "has_channel")
    graph.add("Where", [given, raw, "zero"], CHANNEL_CODE)
    graph.output(CHANNEL_CODE, TensorProto.INT32, contract.length)


def _add_ages(graph: OnnxGraph, contract: JourneyContract, is_event: str) -> None:
    raw = graph.input(AGE_S, TensorProto.FLOAT, contract.length)
    none = graph.constant("no_seconds", _float(0))
    # A comparison with NaN is false.
    finite = graph.add(
        "LessOrEqual", [raw, graph.constant("largest", _float(np.finfo(np.float32).max))], "finite"
    )
    positive = graph.add("Greater", [raw, none], "positive")
    usable = graph.add("And", [finite, positive], "usable_age")
    usable = graph.add("And", [usable, is_event], "usable_event_age")
    given = graph.add("Where", [usable, raw, none], "given_age")
    graph.add("Min", [given, graph.constant("most_age", _float(MOST_AGE_S))], AGE)
    graph.output(AGE, TensorProto.FLOAT, contract.length)


def _add_hour(graph: OnnxGraph) -> None:
    raw = graph.input(HOUR, TensorProto.FLOAT, 1)
    begun = graph.add("GreaterOrEqual", [raw, graph.constant("monday", _float(0))], "begun")
    within = graph.add("Less", [raw, graph.constant("week", _float(HOURS))], "within")
    known = graph.add("And", [begun, within], "known_hour")
    graph.add("Where", [known, raw, graph.constant("unknown_hour", _float(UNKNOWN_HOUR))], NOW_HOUR)
    graph.output(NOW_HOUR, TensorProto.FLOAT, 1)


def _add_target(graph: OnnxGraph, contract: JourneyContract) -> None:
    raw = graph.input(TARGET_ACTION, TensorProto.INT32, 1)
    known = _is_listed(graph, raw, len(contract.actions))
    default = contract.actions.index(contract.default_action or contract.actions[0]) + 1
    usual = graph.constant("default_target", np.array(default, np.int32))
    graph.add("Where", [known, raw, usual], TARGET_CODE)
    graph.output(TARGET_CODE, TensorProto.INT32, 1)


def _add_allowed(graph: OnnxGraph, catalogue: Catalogue, contract: JourneyContract) -> None:
    raw = graph.input(ALLOW, TensorProto.STRING, contract.max_allow)
    codes = range(FIRST_CODE, catalogue.num_category_codes)
    names = dict(zip(catalogue.categories, codes, strict=True)) | {"": NO_CODE}
    found = graph.add(
        "LabelEncoder",
        [raw],
        "found_category",
        domain="ai.onnx.ml",
        keys_strings=list(names),
        values_int64s=list(names.values()),
        default_int64=UNKNOWN_CODE,
    )
    graph.add("Cast", [found], ALLOW_CODE, to=TensorProto.INT32)
    graph.output(ALLOW_CODE, TensorProto.INT32, contract.max_allow)


def _is_listed(graph: OnnxGraph, raw: str, count: int) -> str:
    """Whether a code is one of a list of `count`, 1 and up."""
    most = graph.constant(f"most_{raw}", np.array(count, np.int32))
    first = graph.add("GreaterOrEqual", [raw, "one"], f"{raw}_from_one")
    last = graph.add("LessOrEqual", [raw, most], f"{raw}_up_to_most")
    return graph.add("And", [first, last], f"{raw}_is_listed")


def _float(value: float | np.floating[Any]) -> NDArray[np.float32]:
    return np.array(value, np.float32)
