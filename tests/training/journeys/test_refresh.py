"""What is served has learnt from the newest events before the test part, and from none after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.journeys.small_journeys import catalogue_of, journeys_of

from penchant.training.journeys.fit import FittedJourneys, fit_journeys
from penchant.training.journeys.journey_recipe import (
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
    JourneySplit,
)
from penchant.training.journeys.journey_split import JourneyParts, split_journeys
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import rank_targets
from penchant.training.journeys.refresh import refresh_journeys

RECIPE = JourneyRecipe(
    name="small",
    log="small.yaml",
    split=JourneySplit(test=0.15, validation=0.3),
    network=JourneyNetworkConfig(window=8, profile=0, width=16, num_blocks=1, dropout=0.0),
    fit=JourneyFitConfig(batch_size=4, max_epochs=2, learning_rate=1e-2, refresh_epochs=2),
    trainer={"accelerator": "cpu"},
)
ITEMS, OLD, NEW = 12, 3, 13
WEEK_S = 7 * 86_400
"""Visitors come at one hour of the week: hours that are new in the test part say nothing."""
CATALOGUE = catalogue_of([None] * ITEMS)


def season(*, last: int = NEW) -> tuple[Journeys, JourneyParts]:
    """Early visitors meet some old item after item 2; from a moment on it is a new item.

    Args:
        last: The item that visitors of the test part meet instead.
    """
    rng = np.random.default_rng(0)
    rows, times = [], []
    for visitor in range(400):
        after = int(rng.integers(OLD, NEW)) if visitor < 220 else NEW
        rows.append([2, after if visitor < 340 else last])
        times.append([visitor * WEEK_S, visitor * WEEK_S + 60])
    journeys = journeys_of(rows, times=times)
    return journeys, split_journeys(journeys, RECIPE.split)


def rank_of_new(fitted: FittedJourneys, journeys: Journeys, parts: JourneyParts) -> float:
    def score(visitor: np.ndarray, position: np.ndarray) -> np.ndarray:
        return fitted.scores(journeys, visitor, position)

    return float(rank_targets(score, journeys, parts.test).rank.mean())


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[FittedJourneys, Path]:
    """A fit that has never seen the new item, and where its checkpoints are."""
    folder = tmp_path_factory.mktemp("refresh")
    journeys, parts = season()
    learnt = journeys.item[np.asarray(journeys.time_s) < 219 * WEEK_S]
    assert NEW not in learnt.tolist()
    return fit_journeys(journeys, CATALOGUE, parts, RECIPE, folder), folder


def test_the_newest_events_are_learnt(fitted: tuple[FittedJourneys, Path]) -> None:
    before, folder = fitted
    journeys, parts = season()
    after = refresh_journeys(before, journeys, CATALOGUE, parts, RECIPE, folder)
    assert rank_of_new(before, journeys, parts) > 5
    assert rank_of_new(after, journeys, parts) == 1
    assert after.epochs == before.epochs
    assert after.fit_s > before.fit_s


def test_the_test_part_is_not(fitted: tuple[FittedJourneys, Path]) -> None:
    before, folder = fitted
    found = [
        refresh_journeys(before, journeys, CATALOGUE, parts, RECIPE, folder).net.state_dict()
        for journeys, parts in (season(), season(last=OLD))
    ]
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_nothing_is_done_where_the_recipe_asks_for_none(
    fitted: tuple[FittedJourneys, Path],
) -> None:
    before, folder = fitted
    recipe = replace(RECIPE, fit=replace(RECIPE.fit, refresh_epochs=0))
    journeys, parts = season()
    assert refresh_journeys(before, journeys, CATALOGUE, parts, recipe, folder) is before
    with pytest.raises(ValueError, match=r"fit\.refresh_epochs"):
        replace(RECIPE.fit, refresh_epochs=-1)
