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
from tests.journey_net import (
    ACTION_WEIGHT,
    ACTIONS,
    CATEGORIES,
    CATEGORY_OF_CODE,
    CHANNEL_WEIGHT,
    EMBEDDING,
    HALF_LIFE_S,
    HOUR_WEIGHT,
    INTENT_BASE,
    INTENT_WEIGHT,
    MASKED,
    NUM_CODES,
    NUM_ITEMS,
    PURCHASE_WEIGHT,
    SAYS,
    TARGET_SCORE,
    write_tiny_net,
)

from penchant.clients.journey_contract import JourneyContract
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

__all__ = [
    "ACTIONS",
    "CATEGORIES",
    "NUMBERS",
    "NUM_ITEMS",
    "TEXT",
    "TinyJourney",
    "raw_visitors",
    "recommend",
    "write_tiny_journey",
]


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
    write_tiny_net(folder / "net.onnx", tiny.contract)
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
