"""Next clicks of Diginetica: `python -m penchant.training.journeys.benchmarks.diginetica`.

Published on this split: SR-GNN .507 recall@20 and .176 MRR@20 (Wu et al., 2019, arXiv 1811.00855).
Lengths are left out of the comparison by cosine similarity, as in NISER (Gupta et al., 2019, arXiv
1909.04276).
"""

from __future__ import annotations

from penchant.training.journeys.benchmarks.benchmark import run_benchmark
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
    split=JourneySplit(by="leave_one_out"),
    network=JourneyNetworkConfig(
        profile=0, width=96, num_blocks=1, feedforward=2, dropout=0.3, similarity="cosine"
    ),
    fit=JourneyFitConfig(
        batch_size=400, max_epochs=25, patience=3, loss="sampled", num_negatives=4096
    ),
    trainer={"accelerator": "cpu"},
)

if __name__ == "__main__":
    run_benchmark("Diginetica", RECIPE, diginetica)
