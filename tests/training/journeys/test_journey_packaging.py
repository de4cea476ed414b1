"""A journey package: what is fused out of it answers real histories as PyTorch does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tests.training.journeys.served_models import CATEGORY, CONFIG, NUM_CODES, small_net
from tests.training.journeys.small_journeys import random_journeys

from penchant.serving.fuse import fuse
from penchant.serving.package import ModelPackage
from penchant.serving.parity import check_answers
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.journey_packaging import (
    journey_contract,
    journeys_fingerprint,
    write_journey_package,
)
from penchant.training.journeys.journey_recipe import JourneyBudget, JourneyRecipe
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.served_journey import ServedJourney
from penchant.training.journeys.targets import targets_of

RECIPE = JourneyRecipe(
    name="small",
    log="no.yaml",
    target_action="purchase",
    network=CONFIG,
    budget=JourneyBudget(num_items=12, max_exclude=5, max_allow=2),
)


def shop() -> tuple[Journeys, Catalogue]:
    journeys = replace(random_journeys(items=NUM_CODES - 2), actions=("view", "cart", "purchase"))
    ids: Any = [f"płaszcz {at} معطف" for at in range(NUM_CODES - 2)]
    catalogue = Catalogue(
        item_id=np.array(ids, object),
        category=CATEGORY.numpy()[2:].astype(np.int32),
        categories=("boty", "کفش", "coats", "Ünter"),
    )
    return replace(journeys, channels=("web", "shop")), catalogue


def package_of(folder: Path, journeys: Journeys, catalogue: Catalogue) -> ModelPackage:
    net = small_net(clock=journeys.has_clock, purchases="purchase" in journeys.actions)
    served = ServedJourney(net, category_of_code=CATEGORY, num_items=12, num_intents=4)
    test = targets_of(journeys, np.asarray(journeys.item) > 1)
    recipe = RECIPE if "purchase" in journeys.actions else replace(RECIPE, target_action=None)
    return write_journey_package(
        served, journeys, catalogue, test, recipe, folder, metrics={"all/ndcg_10": 0.5}, blend={}
    )


@pytest.mark.parametrize("is_bare", [False, True], ids=["all", "no clock and no purchases"])
def test_what_is_served_answers_golden_histories_as_pytorch_does(
    is_bare: bool, tmp_path: Path
) -> None:
    journeys, catalogue = shop()
    if is_bare:
        journeys = replace(journeys, has_clock=False, actions=("view", "cart", "search"))
    package = package_of(tmp_path / "package", journeys, catalogue)
    model = fuse(package, version=3).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    golden = package.golden()
    assert golden.num_rows == 128
    names = [output.name for output in session.get_outputs()]
    inputs = {
        name: value.astype(object) if value.dtype.kind == "U" else value
        for name, value in golden.inputs.items()
    }
    found = dict(zip(names, session.run(names, inputs), strict=True))
    check_answers(golden, found)
    assert set(names) == {spec.name for spec in package.contract.outputs}
    assert ({"hour_score", "purchase"} & set(names) == set()) == is_bare
    assert (found["version"] == 3).all()
    assert found["unknown"].any()
    count = golden.outputs["count"][:, 0]
    assert set(count.tolist()) > {12}, "some are kept to a category of fewer items"
    answered = golden.outputs["next_item"] != ""
    assert (answered.sum(1) == count).all()
    for row in range(128):
        left_out = set(golden.inputs["exclude"][row].tolist()) - {""}
        assert not left_out & set(golden.outputs["next_item"][row].tolist())
    assert not golden.inputs["action"][-1].any(), "the last one is a new visitor"


@pytest.mark.parametrize("has_integers", [False, True])
def test_held_out_histories_come_with_the_item_that_was_met_next(
    has_integers: bool, tmp_path: Path
) -> None:
    journeys, catalogue = shop()
    if has_integers:
        catalogue = replace(catalogue, item_id=np.arange(NUM_CODES - 2, dtype=np.int64) * 7)
    package = package_of(tmp_path / "package", journeys, catalogue)
    rows = package.holdout()
    assert rows is not None
    test = targets_of(journeys, np.asarray(journeys.item) > 1)
    assert len(rows) == len(test)
    assert rows.label.tolist() == catalogue.item_id[journeys.item[test.rows(journeys)] - 2].tolist()
    assert np.array_equal(np.unique(rows.visitor), np.arange(len(np.unique(test.visitor))))
    assert not (rows.inputs["target_action"] != 0).any(), "the model's own action is asked for"


def test_a_contract_asks_for_no_more_than_there_is() -> None:
    journeys, catalogue = shop()
    contract = journey_contract(RECIPE, journeys, catalogue)
    assert (contract.num_items, contract.num_intents) == (12, 4)
    assert contract.default_action == "purchase"
    large = replace(RECIPE, budget=JourneyBudget(num_items=100), target_action=None)
    assert journey_contract(large, journeys, catalogue).num_items == NUM_CODES - 2
    plain = replace(catalogue, categories=(), category=np.zeros(NUM_CODES - 2, np.int32))
    assert journey_contract(RECIPE, replace(journeys, channels=()), plain).num_intents == 0


def test_an_action_that_the_log_does_not_have_is_refused() -> None:
    recipe = replace(RECIPE, target_action="buy")
    with pytest.raises(ValueError, match=r"target_action: .*view, cart, purchase.* got 'buy'"):
        journey_contract(recipe, *shop())


def test_a_fingerprint_knows_every_event_and_item() -> None:
    journeys, catalogue = shop()
    known = journeys_fingerprint(journeys, catalogue)
    assert known == journeys_fingerprint(*shop())
    item = np.array(journeys.item)
    item[-1] = 2 if item[-1] != 2 else 3
    others = [
        (replace(journeys, item=item), catalogue),
        (replace(journeys, visitor_id=journeys.visitor_id + 1), catalogue),
        (journeys, replace(catalogue, categories=("boty", "x", "coats", "Ünter"))),
        (journeys, replace(catalogue, item_id=catalogue.item_id[::-1])),
    ]
    assert len({known, *(journeys_fingerprint(*other) for other in others)}) == 5
