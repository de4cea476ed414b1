"""A catalogue too large for one tensor is scored in parts: the same answers, ties among them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tests.training.journeys.served_models import (
    NUM_CODES,
    Inputs,
    ask,
    contract,
    draw,
    small_net,
    small_served,
)

from penchant.serving.engines.builder import build_engine
from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.blend import Blend, BlendModule
from penchant.training.journeys.journey_export import export_journey_net
from penchant.training.journeys.journey_net import JourneyNet

WIRE = contract(channels=False, categories=False)
ALPHA = {"bought_together": 0.5, "viewed_together": 0.4, "popular": 0.3}


def tied_net() -> JourneyNet:
    """Every item has a twin with the same vector, most of them in another part."""
    net = small_net(channels=False, categories=False, clock=False, num_blocks=1)
    with torch.no_grad():
        half = NUM_CODES // 2
        net.items.id[half:] = net.items.id[:half]
    return net


def tied_blend() -> BlendModule:
    """Statistics that say of twins the same."""
    random, half = np.random.default_rng(0), NUM_CODES // 2
    code = np.stack([[random.permutation(half)[:3] for _ in range(NUM_CODES)] for _ in "12"])
    weight = random.random(code.shape).astype(np.float32)
    tables = AssociationTables(
        names=tuple(ALPHA),
        code=np.concatenate([code, code + half], axis=2).astype(np.int32),
        weight=np.concatenate([weight, weight], axis=2),
        popularity=np.tile(random.random(half, np.float32), 2),
        newest=2,
    )
    blend = Blend(
        network=1.0,
        alpha=ALPHA,
        targets=1,
        logloss_before=1.0,
        logloss=1.0,
        ndcg_before=0.0,
        ndcg=0.0,
    )
    return BlendModule(blend, tables)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The net in one and in three parts."""
    graphs = {}
    for name, most_codes in (("whole", None), ("parts", 12)):
        graphs[name] = tmp_path_factory.mktemp(name) / "net.onnx"
        served = small_served(tied_net(), blend=tied_blend(), most_codes=most_codes)
        export_journey_net(served, graphs[name], WIRE)
    return graphs


def answers(graph: Path, inputs: Inputs) -> Inputs:
    """What ONNX Runtime says, which puts the lower code first in a tie."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_parts_answer_as_the_whole_does_ties_among_them(exported: dict[str, Path]) -> None:
    inputs = draw(64, WIRE)
    whole, parts = (answers(exported[name], inputs) for name in ("whole", "parts"))
    same_numbers(parts, whole)
    twins = whole["top_code"] + NUM_CODES // 2
    assert (twins[:, :-1] == whole["top_code"][:, 1:]).any(1).mean() > 0.5, "ties are answered"


def test_a_net_in_parts_becomes_an_engine(exported: dict[str, Path]) -> None:
    assert build_engine(exported["parts"], contract=WIRE, precision="fp16").notes == ()


@pytest.mark.parametrize("most_codes", [3, 10, NUM_CODES - 1])
def test_what_is_excluded_or_not_allowed_is_so_in_every_part(most_codes: int) -> None:
    inputs = draw(200, contract())
    whole, parts = (
        ask(small_served(small_net(), most_codes=columns), inputs) for columns in (None, most_codes)
    )
    same_numbers(parts, whole)


def same_numbers(got: Inputs, expected: Inputs) -> None:
    """Bit for bit, but for a softmax's sum, which is added up in another order."""
    assert set(got) == set(expected)
    for name, value in expected.items():
        if name == "top_score":
            np.testing.assert_allclose(got[name], value, rtol=1e-5)
        else:
            np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_a_catalogue_smaller_than_what_may_be_left_out_becomes_an_engine(tmp_path: Path) -> None:
    """TensorRT's scatter wants at least as many columns as places."""
    wire = replace(contract(), max_exclude=64, max_allow=8)
    assert wire.max_exclude > NUM_CODES
    path = tmp_path / "net.onnx"
    served = small_served(small_net())
    export_journey_net(served, path, wire)
    assert build_engine(path, contract=wire).notes == ()
    inputs = draw(16, wire)
    for name, value in ask(served, inputs).items():
        np.testing.assert_allclose(answers(path, inputs)[name], value, atol=1e-4, err_msg=name)
