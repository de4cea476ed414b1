"""What the time bias is worth: `python -m penchant.training.journeys.benchmarks.time_bias`.

MovieLens-100K, whose ratings have a clock, on a global time split. Both networks know gaps and
hours; they differ in the bias of attention by the time between an event and the request alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import torch

from penchant.training.journeys.benchmarks.benchmark import fit_and_rank, write_result
from penchant.training.journeys.benchmarks.public_data import movielens_100k
from penchant.training.journeys.journey_recipe import (
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
    JourneySplit,
)
from penchant.training.journeys.journey_split import split_journeys
from penchant.training.journeys.ranking import RankingMetrics

RECIPE = JourneyRecipe(
    name="movielens_100k",
    log="movielens_100k.yaml",
    split=JourneySplit(by="time", test=0.1, validation=0.1, repeats=False),
    network=JourneyNetworkConfig(
        window=50, profile=0, width=64, num_blocks=2, dropout=0.3, similarity="cosine"
    ),
    fit=JourneyFitConfig(batch_size=32, max_epochs=20, patience=20, loss="full", head_weight=0.0),
    trainer={"accelerator": "cpu"},
)


def main(
    folder: Path = Path("time_bias"),
    seeds: int = 3,
    max_epochs: int = RECIPE.fit.max_epochs,
    num_threads: int = 0,
) -> None:
    """Fit with and without the bias, with as many epochs and several seeds, and compare NDCG@10.

    Args:
        folder: Where checkpoints and result.json go.
        seeds: Seeds of weights, dropout and order.
        max_epochs: Passes over the training events; the best by validation is ranked.
        num_threads: Threads of torch; 0 for as many as it takes.
    """
    if num_threads:
        torch.set_num_threads(num_threads)
    journeys, catalogue = movielens_100k()
    parts = split_journeys(journeys, RECIPE.split)
    rows: dict[str, RankingMetrics] = {}
    found: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(seeds):
        for has_bias in (True, False):
            recipe = replace(
                RECIPE,
                network=replace(RECIPE.network, time_bias=has_bias),
                fit=replace(RECIPE.fit, seed=seed, max_epochs=max_epochs),
            )
            name = f"{'with' if has_bias else 'without'} time bias, seed {seed}"
            place = folder / name.replace(", ", "_").replace(" ", "_")
            _, rows[name] = fit_and_rank(journeys, catalogue, parts, recipe, place, resume=False)
            found[has_bias].append(rows[name].ndcg_10)
    summary = {
        "ndcg_10_with": mean(found[True]),
        "ndcg_10_without": mean(found[False]),
        "ratio": mean(found[True]) / mean(found[False]),
    }
    if seeds > 1:
        pairs = zip(found[True], found[False], strict=True)
        summary["stdev_of_difference"] = stdev(one - other for one, other in pairs)
    write_result("MovieLens-100K, time bias", RECIPE, parts, rows, folder, **summary)


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main, as_positional=False)
