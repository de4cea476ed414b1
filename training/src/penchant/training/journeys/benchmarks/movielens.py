"""MovieLens-1M, leave one out, in order only.

Run it with `python -m penchant.training.journeys.benchmarks.movielens`.

Published on these 1,000,209 events and 3,706 items with seen items left out: eSASRec .1772 NDCG@10
and .3133 HR@10 (2025, arXiv 2508.06450), SASRec with 256 sampled negatives .1684 and .2929.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from penchant.training.journeys.benchmarks.benchmark import (
    fit_and_rank,
    rank_baselines,
    write_result,
)
from penchant.training.journeys.benchmarks.public_data import movielens_1m
from penchant.training.journeys.journey_recipe import (
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
    JourneySplit,
)
from penchant.training.journeys.journey_split import split_journeys

RECIPE = JourneyRecipe(
    name="movielens_1m",
    log="movielens_1m.yaml",
    split=JourneySplit(by="leave_one_out", repeats=False),
    network=JourneyNetworkConfig(
        window=200,
        profile=0,
        width=64,
        num_blocks=2,
        dropout=0.2,
        similarity="cosine",
        temperature=0.07,
    ),
    fit=JourneyFitConfig(
        batch_size=128, max_epochs=100, patience=10, loss="full", learning_rate=1e-3
    ),
    trainer={"check_val_every_n_epoch": 2, "accelerator": "cpu"},
)


def main(
    folder: Path = Path("movielens_1m"),
    resume: bool = False,
    seed: int = 0,
    max_epochs: int = RECIPE.fit.max_epochs,
    num_threads: int = 0,
) -> None:
    """Fit, rank all 6,040 test targets and write the result.

    Args:
        folder: Where checkpoints and result.json go.
        resume: Go on from the last checkpoint.
        seed: Seed of weights, dropout and order.
        max_epochs: Most passes over the training events.
        num_threads: Threads of torch; 0 for as many as it takes.
    """
    if num_threads:
        torch.set_num_threads(num_threads)
    journeys, catalogue = movielens_1m()
    parts = split_journeys(journeys, RECIPE.split)
    recipe = replace(RECIPE, fit=replace(RECIPE.fit, seed=seed, max_epochs=max_epochs))
    fitted, metrics = fit_and_rank(journeys, catalogue, parts, recipe, folder, resume=resume)
    rows = {"JourneyNet": metrics} | rank_baselines(journeys, catalogue, parts, recipe)
    write_result(
        "MovieLens-1M", recipe, parts, rows, folder, epochs=fitted.epochs, fit_s=fitted.fit_s
    )


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main, as_positional=False)
