"""MovieLens-1M, leave one out, in order only.

Run it with `python -m penchant.training.journeys.benchmarks.movielens`.

Published on these 1,000,209 events and 3,706 items with seen items left out: eSASRec .1772 NDCG@10
and .3133 HR@10 (2025, arXiv 2508.06450), SASRec with 256 sampled negatives .1684 and .2929.
"""

from __future__ import annotations

from penchant.training.journeys.benchmarks.benchmark import run_benchmark
from penchant.training.journeys.benchmarks.public_data import movielens_1m
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.journey_recipe import (
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
    JourneySplit,
)
from penchant.training.journeys.journey_split import JourneyParts, split_journeys
from penchant.training.journeys.journeys import Journeys

RECIPE = JourneyRecipe(
    name="movielens_1m",
    log="movielens_1m.yaml",
    split=JourneySplit(by="leave_one_out", repeats=False),
    network=JourneyNetworkConfig(window=200, profile=0, similarity="cosine"),
    fit=JourneyFitConfig(max_epochs=100, patience=10, loss="full"),
    trainer={"accelerator": "cpu"},
)


def read() -> tuple[Journeys, Catalogue, JourneyParts]:
    """The ratings; each visitor's last one is a test target, 6,040 in all."""
    journeys, catalogue = movielens_1m()
    return journeys, catalogue, split_journeys(journeys, RECIPE.split)


if __name__ == "__main__":
    run_benchmark("MovieLens-1M", RECIPE, read)
