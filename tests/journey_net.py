"""The weights and the ``net.onnx`` of the tiny journey models, written by hand.

Shapes: B visitors, L events, X items to leave out, N item codes, C channels, D numbers of an
embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from penchant.clients.journey_contract import HOURS, JourneyContract
from penchant.training.journeys.catalogue import FIRST_CODE, NO_CODE, UNKNOWN_CODE
from penchant.training.onnx_graph import OnnxGraph

NUM_ITEMS: Final = 12
NUM_CODES: Final = NUM_ITEMS + 2
CATEGORIES: Final = ("boots", "płaszcze", "أحذية")
ACTIONS: Final = ("view", "cart", "purchase")
MASKED: Final = np.float32(-30_000)
HALF_LIFE_S: Final = np.float32(86_400)

_random = np.random.default_rng(11)


def _weights(*shape: int) -> npt.NDArray[np.float32]:
    return _random.normal(0, 1, shape).astype(np.float32)


SAYS: Final = _weights(NUM_CODES, NUM_CODES)  # (N, N)
ACTION_WEIGHT: Final = np.array([0, 0.2, 0.5, 1], np.float32)
TARGET_SCORE: Final = _weights(len(ACTIONS) + 1, NUM_CODES)
EMBEDDING: Final = _weights(NUM_CODES, 4)  # (N, D)
CHANNEL_WEIGHT: Final = _weights(3, 2)  # (C + 1, C)
HOUR_WEIGHT: Final = _weights(4, HOURS)
PURCHASE_WEIGHT: Final = _weights(4, 1)
CATEGORY_OF_CODE: Final = np.array([0, 0, *(2 + at % 3 for at in range(NUM_ITEMS))], np.int64)
INTENT_WEIGHT: Final = _weights(4, len(CATEGORIES) + 2)
INTENT_WEIGHT[:, :FIRST_CODE] = 0
INTENT_BASE: Final = np.array([MASKED, MASKED, 0, 0, 0], np.float32)


def write_tiny_net(path: Path, contract: JourneyContract) -> None:
    """The net by operators; 3-axis tensors are summed over the events of a history."""
    graph = OnnxGraph()
    inputs = {
        "item_code": (TensorProto.INT32, contract.length),
        "action_code": (TensorProto.INT32, contract.length),
        "age": (TensorProto.FLOAT, contract.length),
        "target_code": (TensorProto.INT32, 1),
        "exclude_code": (TensorProto.INT32, contract.max_exclude),
    }
    if contract.channels:
        inputs["channel_code"] = (TensorProto.INT32, contract.length)
    if contract.num_intents:
        inputs["allow_code"] = (TensorProto.INT32, contract.max_allow)
    for name, (kind, width) in inputs.items():
        graph.input(name, kind, width)
    for name, axis in (("axis_1", 1), ("axis_2", 2)):
        graph.constant(name, np.array([axis]))
    graph.add("Div", ["age", graph.constant("half_life", np.asarray(-HALF_LIFE_S))], "half_lives")
    graph.add("Pow", [graph.constant("two", np.array(2, np.float32)), "half_lives"], "decay")
    _table(graph, "action_weight", ACTION_WEIGHT, "action_code")
    graph.add("Mul", ["action_weight", "decay"], "flat_weight")
    graph.add("Unsqueeze", ["flat_weight", "axis_2"], "weight")  # (B, L, 1)
    _weighted(graph, "said", SAYS, "item_code")
    _weighted(graph, "visitor_embedding", EMBEDDING, "item_code")
    _table(graph, "target_3", TARGET_SCORE, "target_code")
    graph.add("Squeeze", ["target_3", "axis_1"], "target")
    graph.add("Add", ["said", "target"], "logit")
    _add_top(graph, contract)
    _add_heads(graph, contract)
    graph.save(path, name="net")


def _add_top(graph: OnnxGraph, contract: JourneyContract) -> None:
    graph.constant("masked", np.asarray(MASKED))
    graph.constant("codes", np.arange(NUM_CODES, dtype=np.int32))
    graph.constant("reserved", np.array([[NO_CODE, UNKNOWN_CODE]], np.int32))
    _is_among(graph, "exclude_code", "codes", "excluded")
    _is_among(graph, "reserved", "codes", "never")
    graph.add("Or", ["excluded", "never"], "closed")
    if contract.num_intents:
        graph.constant("category_of_code", CATEGORY_OF_CODE.astype(np.int32))
        _is_among(graph, "allow_code", "category_of_code", "allowed")
        graph.add("ReduceMax", ["allow_code", "axis_1"], "most_allow", keepdims=1)
        graph.add("Cast", ["most_allow"], "is_choosy", to=TensorProto.BOOL)
        graph.add("Not", ["allowed"], "not_allowed")
        graph.add("And", ["not_allowed", "is_choosy"], "barred")
        graph.add("Or", ["closed", "barred"], "shut")
    else:
        graph.add("Identity", ["closed"], "shut")
    graph.add("Where", ["shut", "masked", "logit"], "open_logit")
    graph.add("Softmax", ["open_logit"], "share", axis=1)
    graph.constant("most_items", np.array([contract.num_items]))
    names = ["top_logit", "top_place"]
    graph.nodes.append(helper.make_node("TopK", ["open_logit", "most_items"], names, axis=1))
    graph.add("GatherElements", ["share", "top_place"], "top_share", axis=1)
    graph.add(
        "Greater", ["top_logit", graph.constant("half_masked", np.asarray(MASKED / 2))], "is_answer"
    )
    graph.add("Cast", ["is_answer"], "answer_int", to=TensorProto.INT32)
    graph.add("Cast", ["is_answer"], "answer_float", to=TensorProto.FLOAT)
    graph.add("Cast", ["top_place"], "top_int", to=TensorProto.INT32)
    graph.add("Mul", ["top_int", "answer_int"], "top_code")
    graph.add("Mul", ["top_share", "answer_float"], "top_score")
    graph.add("ReduceSum", ["answer_int", "axis_1"], "count", keepdims=1)
    graph.output("top_code", TensorProto.INT32, contract.num_items)
    graph.output("top_score", TensorProto.FLOAT, contract.num_items)
    graph.output("count", TensorProto.INT32, 1)


def _add_heads(graph: OnnxGraph, contract: JourneyContract) -> None:
    graph.output("visitor_embedding", TensorProto.FLOAT, contract.embedding_size)
    weights = {"hour": HOUR_WEIGHT, "purchase": PURCHASE_WEIGHT, "intent": INTENT_WEIGHT}
    for name, weight in weights.items():
        graph.constant(f"{name}_weight", weight)
        graph.add("MatMul", ["visitor_embedding", f"{name}_weight"], f"{name}_logit")
    graph.add("Softmax", ["hour_logit"], "hour_score", axis=1)
    graph.add("Sigmoid", ["purchase_logit"], "purchase")
    if contract.has_hours:
        graph.output("hour_score", TensorProto.FLOAT, HOURS)
    if contract.has_purchase:
        graph.output("purchase", TensorProto.FLOAT, 1)
    if contract.channels:
        _weighted(graph, "channel_logit", CHANNEL_WEIGHT, "channel_code")
        graph.add("Softmax", ["channel_logit"], "channel_score", axis=1)
        graph.output("channel_score", TensorProto.FLOAT, len(contract.channels))
    if contract.num_intents:
        graph.add(
            "Add", ["intent_logit", graph.constant("intent_base", INTENT_BASE)], "known_intent"
        )
        graph.add("Softmax", ["known_intent"], "intent_share", axis=1)
        graph.constant("most_intents", np.array([contract.num_intents]))
        names = ["intent_score", "intent_place"]
        graph.nodes.append(helper.make_node("TopK", ["intent_share", "most_intents"], names))
        graph.add("Cast", ["intent_place"], "intent_code", to=TensorProto.INT32)
        graph.output("intent_code", TensorProto.INT32, contract.num_intents)
        graph.output("intent_score", TensorProto.FLOAT, contract.num_intents)


def _table(graph: OnnxGraph, name: str, weight: npt.NDArray[Any], code: str) -> None:
    graph.add("Gather", [graph.constant(f"{name}_table", weight), code], name)


def _weighted(graph: OnnxGraph, name: str, weight: npt.NDArray[Any], code: str) -> None:
    """The sum over events (B, L, 1) of weighted rows of a table."""
    _table(graph, f"{name}_3", weight, code)
    graph.add("Mul", [f"{name}_3", "weight"], f"{name}_by_event")
    graph.add("ReduceSum", [f"{name}_by_event", "axis_1"], name, keepdims=0)


def _is_among(graph: OnnxGraph, listed: str, codes: str, name: str) -> None:
    """Which of the codes (N,) stand in a list (B, X): (B, N)."""
    graph.add("Unsqueeze", [listed, "axis_2"], f"{name}_3")
    graph.add("Equal", [f"{name}_3", codes], f"{name}_each")
    graph.add("Cast", [f"{name}_each"], f"{name}_int", to=TensorProto.INT32)
    graph.add("ReduceMax", [f"{name}_int", "axis_1"], f"{name}_any", keepdims=0)
    graph.add("Cast", [f"{name}_any"], name, to=TensorProto.BOOL)
