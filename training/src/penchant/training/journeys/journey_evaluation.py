"""One table of all models on the same test targets, and whether the network earned its place.

Letters: T targets, V visitors, R rounds of a bootstrap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from rich.table import Table

from penchant.training.bootstrap import interval
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.journey_split import JourneyParts
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import (
    RankingMetrics,
    Ranks,
    Scorer,
    gains,
    leaves_usual_category,
    rank_targets,
    ranking_metrics,
)
from penchant.training.journeys.targets import Places, Targets, is_repeat

SERVED: Final = "JourneyNet"
"""Name of what is served: the network with its blend."""
NETWORK_ALONE: Final = "network alone"
"""Name of the network without the blend."""
NEW_CATEGORY: Final = "new category"
"""Slice of targets whose category is not the visitor's usual one."""
MOST_TARGETS: Final = 50_000
"""Most test targets that are ranked; of more, a sample that is the same for every model."""
ROUNDS: Final = 1000
"""Rounds of the bootstrap over visitors."""


@dataclass(frozen=True, kw_only=True)
class ModelRanking:
    """What one model does on the test targets."""

    every: RankingMetrics
    """All targets, each counting alike."""
    by_visitor: RankingMetrics
    """All targets, each visitor counting alike."""
    slices: dict[str, RankingMetrics]
    """Slice -> its targets, each counting alike."""
    coverage_20: float
    """Share of the catalogue that is among the first 20 of any target."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """NDCG@10 of what is served less that of the best baseline, on the same targets."""

    baseline: str
    """The baseline with the best NDCG@10."""
    ndcg_10: float
    """The difference; above 0 the network is better."""
    low: float
    """Lower end of the 95 % interval, by a bootstrap over visitors."""
    high: float
    """Upper end."""
    standard_error: float
    """Standard deviation of the bootstrap's differences."""


@dataclass(frozen=True, kw_only=True)
class JourneyEvaluation:
    """All models on the same test targets."""

    protocol: str
    """How the log was split and what may be answered, in words."""
    num_items: int
    """Items of the catalogue, all of which are ranked."""
    left_out: dict[str, int]
    """Why events of the test part are no targets -> how many."""
    sampled_from: int
    """Test targets there are; more than are ranked where a sample was drawn."""
    models: dict[str, ModelRanking]
    """Model -> what it does; `SERVED` and `NETWORK_ALONE` are ours, the others baselines."""
    difference: Difference | None
    """To the best baseline; None where there is no baseline."""

    @property
    def earned(self) -> bool:
        """Whether what is served is ahead of every baseline by more than chance."""
        return self.difference is not None and self.difference.low > 0

    @property
    def sentence(self) -> str:
        """Whether the network earned its place, in words, and where it did not."""
        if self.difference is None:
            return f"{SERVED} was compared with nothing."
        found, served = self.difference, self.models[SERVED]
        rival = self.models[found.baseline]
        numbers = (
            f"NDCG@10 {served.every.ndcg_10:.4f} against {rival.every.ndcg_10:.4f} of "
            f"{found.baseline} (difference {found.ndcg_10:+.4f}, 95 % interval {found.low:+.4f} to "
            f"{found.high:+.4f} over visitors)"
        )
        if self.earned:
            return f"{SERVED} is ahead of every baseline: {numbers}."
        behind = [
            name
            for name, ours in served.slices.items()
            if ours.targets and ours.ndcg_10 < rival.slices[name].ndcg_10
        ]
        where = f" It is behind in: {', '.join(behind)}." if behind else ""
        if found.ndcg_10 > 0:
            return f"{SERVED} is ahead of every baseline, but within chance: {numbers}.{where}"
        return (
            f"{SERVED} is not ahead of every baseline: {numbers}.{where} "
            f"{found.baseline} would do on these data."
        )

    def to_json(self) -> str:
        """Everything, with the sentence, as indented JSON."""
        content = asdict(self) | {"earned": self.earned, "sentence": self.sentence}
        return json.dumps(content, indent=2, ensure_ascii=False)

    def save(self, path: Path) -> None:
        """Write the JSON."""
        path.write_text(self.to_json(), encoding="utf-8")

    def table(self) -> Table:
        """The table for the terminal: one row a model, best NDCG@10 first."""
        every = next(iter(self.models.values())).every
        caption = f"{self.protocol}; {self.num_items:,} items, {every.targets:,} targets"
        if every.targets < self.sampled_from:
            caption += f" drawn from {self.sampled_from:,}"
        table = Table(caption=f"{caption} of {every.visitors:,} visitors", caption_justify="left")
        table.add_column("model", no_wrap=True)
        heads = ("HR@10", "NDCG@10", "MRR@20", "coverage", "NDCG@10 by visitor")
        for head in heads:
            table.add_column(head, justify="right")
        for name in sorted(self.models, key=lambda each: -self.models[each].every.ndcg_10):
            model = self.models[name]
            numbers = [model.every.hr_10, model.every.ndcg_10, model.every.mrr_20]
            numbers += [model.coverage_20, model.by_visitor.ndcg_10]
            table.add_row(name, *(f"{number:.4f}" for number in numbers))
        return table

    def slice_table(self) -> Table:
        """NDCG@10 of what is served and of the best baseline, one row a slice."""
        rivals = [] if self.difference is None else [self.difference.baseline]
        alone = [NETWORK_ALONE] if NETWORK_ALONE in self.models else []
        names = [SERVED, *alone, *rivals]
        table = Table()
        table.add_column("NDCG@10, by kind", no_wrap=True)
        for head in ("targets", *names):
            table.add_column(head, justify="right")
        for place, own in self.models[SERVED].slices.items():
            found = [self.models[name].slices[place].ndcg_10 for name in names]
            table.add_row(place, f"{own.targets:,}", *(f"{number:.4f}" for number in found))
        return table


def evaluate_journeys(
    models: Mapping[str, Scorer],
    journeys: Journeys,
    catalogue: Catalogue,
    parts: JourneyParts,
    *,
    repeats: bool,
    most_targets: int = MOST_TARGETS,
    seed: int = 0,
) -> JourneyEvaluation:
    """Rank the test targets by every model.

    Args:
        models: Name -> model; `SERVED` has to be among them, `NETWORK_ALONE` may be.
        journeys: All journeys.
        catalogue: Items by code.
        parts: How the journeys are divided.
        repeats: Whether items met before may be answered.
        most_targets: Test targets that are ranked; of more, a sample.
        seed: Seed of the sample and of the bootstrap.

    Raises:
        ValueError: `SERVED` is missing, or a model's scores are NaN or of another shape.
    """
    if SERVED not in models:
        raise ValueError(f"models: expected one named {SERVED}, got {', '.join(models) or 'none'}")
    targets = parts.test
    if len(targets) > most_targets:
        drawn = np.random.default_rng(seed).choice(len(targets), most_targets, replace=False)
        targets = targets.take(np.sort(drawn))
    masks = slices_of(journeys, catalogue, targets, repeats=repeats)
    ranks = {
        name: rank_targets(model, journeys, targets, repeats=repeats)
        for name, model in models.items()
    }
    return JourneyEvaluation(
        protocol=parts.protocol,
        num_items=len(catalogue.item_id),
        left_out=dict(parts.left_out),
        sampled_from=len(parts.test),
        models={name: _model(found, targets, masks) for name, found in ranks.items()},
        difference=_difference(ranks, targets.visitor, seed=seed),
    )


def slices_of(
    journeys: Journeys, catalogue: Catalogue, targets: Targets, *, repeats: bool
) -> dict[str, npt.NDArray[np.bool_]]:
    """Slice -> (T,) which targets are in it: each action, the new category, met before or not."""
    action = np.asarray(journeys.action[targets.rows(journeys)])
    masks = {
        f"action {name}": action == code
        for code, name in enumerate(journeys.actions, 1)
        if (action == code).any()
    }
    if catalogue.categories:
        masks[NEW_CATEGORY] = leaves_usual_category(journeys, catalogue.category_of_code, targets)
    if repeats:
        met = is_repeat(journeys, targets)
        masks |= {"met before": met, "new to the visitor": ~met}
    return masks


def _model(found: Ranks, targets: Targets, masks: dict[str, npt.NDArray[np.bool_]]) -> ModelRanking:
    return ModelRanking(
        every=ranking_metrics(found.rank, targets.visitor),
        by_visitor=ranking_metrics(found.rank, targets.visitor, by_visitor=True),
        slices={
            name: ranking_metrics(found.rank[mask], targets.visitor[mask])
            for name, mask in masks.items()
        },
        coverage_20=found.coverage,
    )


def _difference(ranks: Mapping[str, Ranks], visitor: Places, *, seed: int) -> Difference | None:
    quality = {
        name: float(gains(found.rank, 10).mean())
        for name, found in ranks.items()
        if name not in (SERVED, NETWORK_ALONE)
    }
    if not quality:
        return None
    best = max(quality, key=lambda name: quality[name])
    gap = gains(ranks[SERVED].rank, 10) - gains(ranks[best].rank, 10)
    draws = drawn_means(gap, visitor, seed=seed)
    ends = interval(draws)
    return Difference(
        baseline=best,
        ndcg_10=float(gap.mean()),
        low=ends.low,
        high=ends.high,
        standard_error=float(draws.std()),
    )


def drawn_means(
    value: npt.NDArray[np.float64], visitor: Places, *, rounds: int = ROUNDS, seed: int = 0
) -> npt.NDArray[np.float64]:
    """(R,) what the mean of `value` (T,) would have been on other samples of the same visitors.

    Visitors are drawn with all their targets, by Poisson(1) counts.
    """
    _, place, count = np.unique(visitor, return_inverse=True, return_counts=True)
    total = np.bincount(place, value)
    rng = np.random.default_rng(seed)
    draws = np.empty(rounds)
    for at in range(rounds):
        weight = rng.poisson(1.0, len(count))
        draws[at] = (weight @ total) / np.maximum(weight @ count, 1)
    return draws
