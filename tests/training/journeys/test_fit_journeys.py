from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.journeys.small_journeys import catalogue_of, journeys_of

from penchant.training.journeys.catalogue import Catalogue, price_codes
from penchant.training.journeys.fit import FittedJourneys, fit_journeys
from penchant.training.journeys.item_text import item_text
from penchant.training.journeys.journey_recipe import (
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
    JourneySplit,
)
from penchant.training.journeys.journey_split import JourneyParts, split_journeys
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import rank_targets

RECIPE = JourneyRecipe(
    name="small",
    log="small.yaml",
    split=JourneySplit(by="leave_one_out", repeats=True),
    network=JourneyNetworkConfig(window=8, profile=4, width=16, num_blocks=1, dropout=0.0),
    fit=JourneyFitConfig(batch_size=16, max_epochs=3, learning_rate=1e-2),
    trainer={"accelerator": "cpu"},
)
ITEMS = 12


def planted(visitors: int = 150, seed: int = 0) -> tuple[Journeys, Catalogue, JourneyParts]:
    """Visitors for whom item i is followed by item i + 1; some have longer journeys than others."""
    rng = np.random.default_rng(seed)
    rows = [
        ((rng.integers(0, ITEMS) + np.arange(rng.integers(4, 20))) % ITEMS + 2).tolist()
        for _ in range(visitors)
    ]
    journeys = journeys_of(rows, times=[(np.arange(len(row)) * 60).tolist() for row in rows])
    parts = split_journeys(journeys, RECIPE.split)
    return journeys, catalogue_of([f"c{at % 3}" for at in range(ITEMS)]), parts


def first_places(fitted: FittedJourneys, journeys: Journeys, parts: JourneyParts) -> float:
    def score(visitor: np.ndarray, position: np.ndarray) -> np.ndarray:
        return fitted.scores(journeys, visitor, position)

    return float((rank_targets(score, journeys, parts.test).rank == 1).mean())


@pytest.mark.parametrize(
    ("network", "fit"),
    [
        ({}, {}),
        ({"similarity": "cosine"}, {}),
        ({}, {"loss": "sampled", "num_negatives": 8, "in_batch_share": 0.5}),
    ],
    ids=["full", "cosine", "sampled"],
)
def test_it_learns_which_item_follows_which(
    network: dict[str, Any], fit: dict[str, Any], tmp_path: Path
) -> None:
    journeys, catalogue, parts = planted()
    recipe = replace(
        RECIPE,
        network=replace(RECIPE.network, **network),
        fit=replace(RECIPE.fit, max_epochs=8, **fit),
    )
    fitted = fit_journeys(journeys, catalogue, parts, recipe, tmp_path)
    assert first_places(fitted, journeys, parts) > 0.95


def test_a_resumed_fit_ends_like_one_that_was_never_stopped(tmp_path: Path) -> None:
    journeys, catalogue, parts = planted(40)
    recipe = replace(RECIPE, network=replace(RECIPE.network, dropout=0.2))
    whole = fit_journeys(journeys, catalogue, parts, recipe, tmp_path / "whole")
    stopped = replace(recipe, fit=replace(recipe.fit, max_epochs=1))
    fit_journeys(journeys, catalogue, parts, stopped, tmp_path / "parts")
    resumed = fit_journeys(journeys, catalogue, parts, recipe, tmp_path / "parts", resume=True)
    assert (whole.epochs, resumed.epochs) == (3, 3)
    for name, expected in whole.net.state_dict().items():
        torch.testing.assert_close(resumed.net.state_dict()[name], expected, msg=name)


def test_an_item_that_nobody_met_gets_the_neighbours_of_its_category(tmp_path: Path) -> None:
    """Visitors stay in one of two categories; the last item of each category is never met."""
    rng = np.random.default_rng(0)
    rows = []
    for visitor in range(200):
        first = 0 if visitor % 2 else 6
        rows.append((first + rng.integers(0, 5, 10) + 2).tolist())
    journeys = journeys_of(rows)
    categories = ["coats"] * 6 + ["shoes"] * 6
    parts = split_journeys(journeys, RECIPE.split)
    recipe = replace(
        RECIPE,
        network=replace(RECIPE.network, item_dropout=0.3),
        fit=replace(RECIPE.fit, max_epochs=5),
    )
    fitted = fit_journeys(journeys, catalogue_of(categories), parts, recipe, tmp_path)
    cold = np.array([7, 13])
    table = torch.nn.functional.normalize(fitted.net.item_table(), dim=1)
    near = (table[cold] @ table.t())[:, 2:].topk(6, dim=1).indices.numpy()
    share = [(near[0] < 6).mean(), (near[1] >= 6).mean()]
    assert min(share) >= 0.9


CLASSES = 5
OF_CLASS = 8
"""Items of a class; the last two of each are met by nobody in the training part."""


def brands_or_prices(kind: str) -> Catalogue:
    """Items without a category, by class of brand, of price, or with nothing that tells them."""
    catalogue = catalogue_of([None] * CLASSES * OF_CLASS)
    of_class = np.repeat(np.arange(CLASSES), OF_CLASS)
    if kind == "brand":
        brands = tuple("abcde")
        return replace(catalogue, brand=(of_class + 2).astype(np.int32), brands=brands)
    if kind == "price":
        prices = (of_class * 100 + np.arange(len(of_class)) + 1).astype(np.float64)
        return replace(catalogue, price=price_codes(prices, catalogue.category))
    return catalogue


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("brand", 0.9, 1.0), ("price", 0.9, 1.0), ("", 0.0, 0.4)]
)
def test_new_items_of_her_brand_or_price_class_are_found(
    kind: str, least: float, most: float, tmp_path: Path
) -> None:
    """Visitors keep to a class; the newest two items of each are new."""
    rng = np.random.default_rng(0)
    rows = []
    for visitor in range(200):
        first = visitor % CLASSES * OF_CLASS + 2
        met, new = rng.integers(0, OF_CLASS - 2, 8), rng.integers(OF_CLASS - 2, OF_CLASS, 2)
        rows.append((first + np.concatenate([met, new])).tolist())
    journeys = journeys_of(rows)
    parts = split_journeys(journeys, RECIPE.split)
    recipe = replace(
        RECIPE,
        network=replace(RECIPE.network, item_dropout=0.3),
        fit=replace(RECIPE.fit, max_epochs=5),
    )
    fitted = fit_journeys(journeys, brands_or_prices(kind), parts, recipe, tmp_path)

    def score(visitor: np.ndarray, position: np.ndarray) -> np.ndarray:
        return fitted.scores(journeys, visitor, position)

    found = (rank_targets(score, journeys, parts.test).rank <= OF_CLASS).mean()
    assert least <= found <= most


def test_the_other_heads_learn_what_is_planted(tmp_path: Path) -> None:
    """Half of the visitors come on Monday nights, the others on Thursdays at noon."""
    week = 7 * 86_400
    monday, thursday = 4 * 86_400 + 2 * 3600, 7 * 86_400 + 12 * 3600
    times = [
        (np.arange(10) * week + (monday if visitor % 2 else thursday)).tolist()
        for visitor in range(120)
    ]
    rng = np.random.default_rng(0)
    journeys = journeys_of(
        [rng.integers(2, 8, 10).tolist() for _ in times],
        times=times,
        sessions=[list(range(10)) for _ in times],
    )
    parts = split_journeys(journeys, RECIPE.split)
    recipe = replace(RECIPE, fit=replace(RECIPE.fit, max_epochs=15, head_weight=1.0))
    fitted = fit_journeys(journeys, catalogue_of(["a"] * 6), parts, recipe, tmp_path)
    action = torch.ones(2, 12, dtype=torch.int32)
    for visitor, hour in ((1, 2), (0, 3 * 24 + 12)):
        now = times[visitor][-1] + 3 * 86_400  # asked three days after the newest event
        age = now - torch.tensor(times[visitor] * 2).view(2, 10)
        history = torch.nn.functional.pad(age.float(), (2, 0))
        shown = torch.nn.functional.pad(action[:, :10], (2, 0))
        now_hour = torch.full((2, 1), ((now - 4 * 86_400) % week) / 3600)
        hidden = fitted.net.last(shown * 3, shown, None, history, now_hour)
        assert int(fitted.net.hour_logits(hidden)[0].argmax()) == hour


def test_an_action_weight_names_an_action_of_the_log(tmp_path: Path) -> None:
    journeys, catalogue, parts = planted(10)
    recipe = replace(RECIPE, fit=replace(RECIPE.fit, action_weights={"buy": 3.0}))
    with pytest.raises(ValueError, match=r"fit\.action_weights: expected one of"):
        fit_journeys(journeys, catalogue, parts, recipe, tmp_path)


def test_titles_with_like_words_lie_near_each_other() -> None:
    titles = ("red wool coat", "blue wool coat", "пальто шерсть", "garden hose", "")
    catalogue = replace(catalogue_of(["a"] * 5), title=titles)
    vectors = item_text(catalogue)
    assert vectors is not None
    likeness = vectors @ vectors.T
    assert likeness[2, 3] > likeness[2, 5] + 0.2
    assert (vectors[[0, 1, 6]] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(vectors[2:6], axis=1), 1.0, rtol=1e-5)
    assert item_text(catalogue_of(["a"])) is None
