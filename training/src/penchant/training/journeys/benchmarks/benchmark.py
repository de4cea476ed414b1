"""What the runs have in common: fit with a line an epoch, rank the test targets, print, write."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.table import Table

from penchant.training.journeys.baselines import (
    Baseline,
    baseline_scorer,
    fit_item_knn,
    fit_popularity,
)
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.fit import FittedJourneys, fit_journeys
from penchant.training.journeys.journey_module import MONITOR
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journey_split import JourneyParts
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import (
    RankingMetrics,
    Scorer,
    rank_targets,
    ranking_metrics,
)
from penchant.training.journeys.session_knn import fit_session_knn


class EpochLines(Callback):
    """One line an epoch on standard output, for runs that are left alone for an hour."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch's loss and the newest validation metrics."""
        names = ("train/loss", MONITOR, "validation/hr_10")
        known = {name: trainer.callback_metrics.get(name) for name in names}
        line = " ".join(f"{name} {float(value):.4f}" for name, value in known.items() if value)
        passed = time.perf_counter() - self._started
        sys.stdout.write(f"epoch {trainer.current_epoch + 1} {line} {passed:.0f} s\n")
        sys.stdout.flush()


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run on public data is told."""

    folder: Path | None = None
    """Where checkpoints and result.json go; a folder of the recipe's name when None."""
    resume: bool = False
    """Go on from the last checkpoint."""
    seed: int = 0
    """Seed of weights, dropout, order and negatives."""
    max_epochs: int | None = None
    """Most passes over the training events; the recipe's when None."""
    num_threads: int = 0
    """Threads of torch; 0 for as many as it takes."""


def run_benchmark(
    name: str,
    recipe: JourneyRecipe,
    read: Callable[[], tuple[Journeys, Catalogue, JourneyParts]],
) -> None:
    """Fit a recipe, rank all test targets and write the result, as the command line asks.

    Args:
        name: What the data set is called.
        recipe: What is fitted.
        read: Reads and divides the data set.
    """
    import jsonargparse

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    options = jsonargparse.auto_cli(RunOptions, as_positional=False)
    if options.num_threads:
        torch.set_num_threads(options.num_threads)
    epochs = options.max_epochs or recipe.fit.max_epochs
    recipe = replace(recipe, fit=replace(recipe.fit, seed=options.seed, max_epochs=epochs))
    folder = options.folder or Path(recipe.name)
    data = read()
    fitted, metrics = fit_and_rank(*data, recipe, folder, resume=options.resume)
    rows = {"JourneyNet": metrics} | rank_baselines(*data, recipe)
    write_result(name, recipe, data[2], rows, folder, epochs=fitted.epochs, fit_s=fitted.fit_s)


def fit_and_rank(
    journeys: Journeys,
    catalogue: Catalogue,
    parts: JourneyParts,
    recipe: JourneyRecipe,
    folder: Path,
    *,
    resume: bool,
) -> tuple[FittedJourneys, RankingMetrics]:
    """Fit the recipe and rank every test target."""
    fitted = fit_journeys(
        journeys, catalogue, parts, recipe, folder, resume=resume, callbacks=[EpochLines()]
    )
    return fitted, rank(partial(fitted.scores, journeys), journeys, parts, recipe)


def rank_baselines(
    journeys: Journeys, catalogue: Catalogue, parts: JourneyParts, recipe: JourneyRecipe
) -> dict[str, RankingMetrics]:
    """Metrics of models that are counted, not trained, on the test targets.

    They count everything before the test part, validation included.
    """
    until = parts.test_from
    popular = fit_popularity(journeys, until, catalogue.num_codes, half_life_days=None)
    baselines: dict[str, Baseline] = {
        "popularity": popular,
        "item-kNN": fit_item_knn(journeys, until, popular),
        "session-kNN": fit_session_knn(journeys, until, popular),
    }
    return {
        name: rank(baseline_scorer(each, journeys), journeys, parts, recipe)
        for name, each in baselines.items()
    }


def rank(
    score: Scorer, journeys: Journeys, parts: JourneyParts, recipe: JourneyRecipe
) -> RankingMetrics:
    """Metrics of a model on the test targets."""
    found = rank_targets(score, journeys, parts.test, repeats=recipe.split.repeats)
    return ranking_metrics(found.rank, parts.test.visitor)


def write_result(
    name: str,
    recipe: JourneyRecipe,
    parts: JourneyParts,
    rows: Mapping[str, RankingMetrics],
    folder: Path,
    **more: Any,
) -> None:
    """Print a table and write `result.json` beside the checkpoints."""
    table = Table(title=name, caption=f"{parts.protocol}; seed {recipe.fit.seed}")
    for column in ("model", "HR@10", "NDCG@10", "recall@20", "MRR@20", "targets"):
        table.add_column(column)
    for model, metrics in rows.items():
        numbers = (metrics.hr_10, metrics.ndcg_10, metrics.hr_20, metrics.mrr_20)
        table.add_row(model, *(f"{number:.4f}" for number in numbers), f"{metrics.targets:,}")
    Console().print(table)
    result = {
        "name": name,
        "protocol": parts.protocol,
        "seed": recipe.fit.seed,
        "recipe": asdict(recipe),
        "threads": torch.get_num_threads(),
        "models": {model: metrics.as_dict() for model, metrics in rows.items()},
        **more,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
