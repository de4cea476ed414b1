"""Next clicks of Diginetica: `python -m penchant.training.journeys.benchmarks.diginetica`.

Published on this split: SR-GNN .507 recall@20 and .176 MRR@20 (Wu et al., 2019, arXiv 1811.00855).
Lengths are left out of the comparison by cosine similarity, as in NISER (Gupta et al., 2019, arXiv
1909.04276).
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
from penchant.training.journeys.benchmarks.public_data import diginetica
from penchant.training.journeys.journey_recipe import (
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
    JourneySplit,
)

RECIPE = JourneyRecipe(
    name="diginetica",
    log="diginetica.yaml",
    split=JourneySplit(by="leave_one_out", repeats=True),
    network=JourneyNetworkConfig(
        window=50,
        profile=0,
        width=96,
        num_blocks=1,
        feedforward=2,
        dropout=0.3,
        similarity="cosine",
        temperature=0.07,
    ),
    fit=JourneyFitConfig(
        batch_size=400,
        max_epochs=25,
        patience=3,
        loss="sampled",
        num_negatives=4096,
        learning_rate=1e-3,
    ),
    trainer={"accelerator": "cpu"},
)


def main(
    folder: Path = Path("diginetica"),
    resume: bool = False,
    seed: int = 0,
    max_epochs: int = RECIPE.fit.max_epochs,
    num_threads: int = 0,
) -> None:
    """Fit, rank the next click of every prefix of the test sessions and write the result.

    Args:
        folder: Where checkpoints and result.json go.
        resume: Go on from the last checkpoint.
        seed: Seed of weights, dropout, order and negatives.
        max_epochs: Most passes over the training clicks.
        num_threads: Threads of torch; 0 for as many as it takes.
    """
    if num_threads:
        torch.set_num_threads(num_threads)
    journeys, catalogue, parts = diginetica()
    recipe = replace(RECIPE, fit=replace(RECIPE.fit, seed=seed, max_epochs=max_epochs))
    fitted, metrics = fit_and_rank(journeys, catalogue, parts, recipe, folder, resume=resume)
    rows = {"JourneyNet": metrics} | rank_baselines(journeys, catalogue, parts, recipe)
    write_result(
        "Diginetica", recipe, parts, rows, folder, epochs=fitted.epochs, fit_s=fitted.fit_s
    )


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main, as_positional=False)
