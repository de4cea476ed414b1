"""Hand-made journey packages, small and without training, for tests that need one to serve.

Twelve items. Scores are a sum over the events of a history: what the item says about each other
item, by the weight of its action and by its age. ``recommend`` says in NumPy what the graphs must
answer. ``TEXT`` has text ids, categories and channels; ``NUMBERS`` has integer ids and neither.
Shapes: B visitors, L events, X items to leave out, A categories to keep to, N item codes, K items
answered, I intents, C channels, D numbers of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from penchant.clients.journey_contract import HOURS, JourneyContract
from penchant.serving.golden import Tensors, write_golden
from penchant.serving.journey_decode import write_journey_decode
from penchant.serving.package import ModelPackage
from penchant.training.journeys.catalogue import (
    FIRST_CODE,
    NO_CODE,
    UNKNOWN_CODE,
    Catalogue,
)
from penchant.training.journeys.journey_encoder import compile_journey_encoder
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


@dataclass(frozen=True)
class TinyJourney:
    """One of the two models."""

    contract: JourneyContract
    item_id: npt.NDArray[Any]

    @property
    def nothing(self) -> Any:
        """What stands for no item."""
        return "" if self.contract.item_dtype == "BYTES" else -1


TEXT: Final = TinyJourney(
    JourneyContract(
        model="tiny_journey",
        actions=ACTIONS,
        channels=("web", "متجر"),
        default_action="purchase",
        length=6,
        num_items=5,
        num_intents=2,
        max_exclude=NUM_ITEMS,
        max_allow=2,
        embedding_size=4,
    ),
    np.array([f"{name}-{at}" for at in range(4) for name in ("but", "kožich", "حذاء")], object),
)
NUMBERS: Final = TinyJourney(
    JourneyContract(
        model="tiny_numbers",
        item_dtype="INT64",
        actions=ACTIONS,
        length=6,
        num_items=5,
        num_intents=0,
        max_exclude=NUM_ITEMS,
        embedding_size=4,
    ),
    np.array([0, 7, *(5_000_000_000 + at for at in range(NUM_ITEMS - 2))], np.int64),
)


def raw_visitors(tiny: TinyJourney, num_rows: int, seed: int = 0) -> Tensors:
    """Random visitors, some with unknown items and odd values; inputs as the contract has them."""
    contract, random = tiny.contract, np.random.default_rng(seed)
    shape = (num_rows, contract.length)
    unheard = "never seen" if contract.item_dtype == "BYTES" else 99
    items = np.array([*tiny.item_id.tolist(), unheard, tiny.nothing])
    item, exclude = (
        random.choice(items, (num_rows, width)) for width in (contract.length, contract.max_exclude)
    )
    exclude[random.random(exclude.shape) < 0.8] = tiny.nothing
    age_s = random.exponential(100_000, shape).astype(np.float32)
    age_s[random.random(shape) < 0.1] = random.choice(
        np.array([np.nan, -5, np.inf, -np.inf], np.float32)
    )
    inputs = {
        "item": item,
        "action": random.integers(-1, len(ACTIONS) + 2, shape).astype(np.int32),
        "channel": random.integers(-1, 4, shape).astype(np.int32),
        "age_s": age_s,
        "hour": random.uniform(-20, 190, (num_rows, 1)).astype(np.float32),
        "target_action": random.integers(-1, 6, (num_rows, 1)).astype(np.int32),
        "exclude": exclude,
        "allow": random.choice(np.array([*CATEGORIES, *[""] * 9, "hats"]), (num_rows, 2)),
    }
    return {spec.name: inputs[spec.name] for spec in contract.inputs}


def recommend(tiny: TinyJourney, inputs: Tensors) -> Tensors:
    """What the model answers, without ONNX."""
    contract = tiny.contract
    action = _listed(inputs["action"], len(ACTIONS))
    item = np.where(action > 0, _codes(inputs["item"], tiny.item_id, tiny.nothing), NO_CODE)
    age = np.nan_to_num(inputs["age_s"], nan=0, posinf=0, neginf=0).clip(0, 1e9)
    weight = (ACTION_WEIGHT[action] * np.exp2(-age / HALF_LIFE_S))[:, :, None]  # (B, L, 1)
    target = _listed(inputs["target_action"], len(ACTIONS))[:, 0]
    target[target == 0] = ACTIONS.index(contract.default_action or ACTIONS[0]) + 1
    embedding = (weight * EMBEDDING[item]).sum(1)
    score, count, code = _ranked(tiny, inputs, (weight * SAYS[item]).sum(1) + TARGET_SCORE[target])
    answers = {
        "next_item": np.array([tiny.nothing, tiny.nothing, *tiny.item_id.tolist()])[code],
        "score": score,
        "count": count,
        "hour_score": _softmax(embedding @ HOUR_WEIGHT),
        "purchase": 1 / (1 + np.exp(-embedding @ PURCHASE_WEIGHT)),
        "visitor_embedding": embedding,
        "unknown": (item == UNKNOWN_CODE).sum(1, keepdims=True).astype(np.int32),
    }
    if contract.channels:
        channel = np.where(action > 0, _listed(inputs["channel"], 2), NO_CODE)
        answers["channel_score"] = _softmax((weight * CHANNEL_WEIGHT[channel]).sum(1))
    if contract.num_intents:
        intent_score = _softmax(embedding @ INTENT_WEIGHT + INTENT_BASE)
        intent = np.argsort(-intent_score, axis=1)[:, : contract.num_intents]
        answers["intent"] = np.array(["", "", *CATEGORIES])[intent]
        answers["intent_score"] = np.take_along_axis(intent_score, intent, 1)
    return {spec.name: answers[spec.name] for spec in contract.outputs if spec.name != "version"}


def write_tiny_journey(folder: Path, tiny: TinyJourney, num_golden: int = 40) -> ModelPackage:
    """Write and seal the package in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    catalogue = Catalogue(
        item_id=tiny.item_id,
        category=CATEGORY_OF_CODE[FIRST_CODE:].astype(np.int32),
        categories=CATEGORIES,
    )
    compile_journey_encoder(catalogue, tiny.contract, folder / "encode.onnx")
    _write_net(folder / "net.onnx", tiny.contract)
    write_journey_decode(
        folder / "decode.onnx",
        tiny.contract,
        item_id=tiny.item_id,
        categories=CATEGORIES if tiny.contract.num_intents else (),
    )
    inputs = raw_visitors(tiny, num_golden, seed=1)
    write_golden(folder / "golden.npz", inputs, recommend(tiny, inputs))
    return ModelPackage.seal(
        folder,
        contract=tiny.contract,
        data_fingerprint="none",
        code_revision="none",
        metrics={"test/ndcg@10": 0.5},
        calibration={},
    )


def _ranked(
    tiny: TinyJourney, inputs: Tensors, logit: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Probability (B, K), count (B, 1) and code (B, K) of the best that may be answered."""
    is_open = np.ones(logit.shape, bool)
    is_open[:, :FIRST_CODE] = False
    exclude = _codes(inputs["exclude"], tiny.item_id, tiny.nothing)
    is_open &= ~(exclude[:, :, None] == np.arange(NUM_CODES)).any(1)
    if "allow" in inputs:
        allow = _codes(inputs["allow"], np.array(CATEGORIES, object), "")
        is_allowed = (allow[:, :, None] == CATEGORY_OF_CODE).any(1)
        is_open &= np.where((allow == NO_CODE).all(1, keepdims=True), True, is_allowed)
    logit = np.where(is_open, logit, MASKED)
    code = np.argsort(-logit, axis=1, kind="stable")[:, : tiny.contract.num_items]
    is_answer = np.take_along_axis(is_open, code, 1)
    score = np.where(is_answer, np.take_along_axis(_softmax(logit), code, 1), 0)
    count = is_answer.sum(1, keepdims=True).astype(np.int32)
    return score.astype(np.float32), count, np.where(is_answer, code, NO_CODE)


def _codes(
    values: npt.NDArray[Any], names: npt.NDArray[Any], nothing: object
) -> npt.NDArray[np.int64]:
    table = {nothing: NO_CODE} | {name: at for at, name in enumerate(names.tolist(), FIRST_CODE)}
    flat = [table.get(value, UNKNOWN_CODE) for value in values.ravel().tolist()]
    return np.array(flat, np.int64).reshape(values.shape)


def _listed(values: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    return np.where((values >= 1) & (values <= count), values, NO_CODE)


def _softmax(logit: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    share = np.exp(logit - logit.max(1, keepdims=True))
    return np.asarray(share / share.sum(1, keepdims=True), np.float32)


def _write_net(path: Path, contract: JourneyContract) -> None:
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
    graph.output("hour_score", TensorProto.FLOAT, HOURS)
    graph.add("Sigmoid", ["purchase_logit"], "purchase")
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
