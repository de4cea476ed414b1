"""One table of all models on the same test targets, and whether the network earned its place.

Letters: T targets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from penchant.training.bootstrap import drawn_means, interval
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.head_quality import HeadQualities
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
from penchant.training.journeys.targets import (
    Places,
    Targets,
    begins_visit,
    is_repeat,
    last_of_each,
)

SERVED: Final = "JourneyNet"
"""Name of what is served: the network with its blend."""
NETWORK_ALONE: Final = "network alone"
"""Name of the network without the blend."""
UNTOLD: Final = "JourneyNet told nothing"
"""Name of what is served, asked without a word about the target."""
OURS: Final = (SERVED, UNTOLD, NETWORK_ALONE)
"""Rows that are no baselines."""
UNTOLD_PROTOCOL: Final = (
    f"in the row “{UNTOLD}” the question is put right after the visitor's last event and for the "
    "model's own action, as a page that shows that event would put it: nothing is known of the "
    "target but that it comes"
)
"""What the row is, in words."""
NEW_CATEGORY: Final = "new category"
"""Slice of targets whose category is not the visitor's usual one."""
BEGINS: Final = "begins a visit"
"""Slice of targets that are the first event of a session."""
LAST: Final = "last of each visitor"
"""Slice of targets after which none of the visitor's comes: leave one out, within the test part."""
LAST_PROTOCOL: Final = (
    "Leave one out, for comparison with papers: the last target of every visitor who has one in "
    "the test part, predicted from all before it. Papers take the last event of every visitor, "
    "whenever it was, and let the model learn from all but the last two of each, later ones of "
    "other visitors included; here nothing of the test part was learnt from, which is harder. "
    "Their protocol itself is split.by: leave_one_out in a recipe, and another fit"
)
"""What the slice is, in words."""
MOST_TARGETS: Final = 50_000
"""Most test targets that are ranked; of more, a sample that is the same for every model."""


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
    """NDCG@10 of one of our models less that of the best baseline, on the same targets."""

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
    """Model -> what it does; those of `OURS` are ours, the others baselines."""
    difference: Difference | None
    """Of what is served to the best baseline; None where there is no baseline."""
    untold: Difference | None = None
    """The same of `UNTOLD`; None where it is not among the models."""
    heads: HeadQualities = field(default_factory=HeadQualities)
    """Quality of the answers beside the items."""

    @property
    def earned(self) -> bool:
        """Whether what is served is ahead of every baseline by more than chance."""
        return self.difference is not None and self.difference.low > 0

    @property
    def sentence(self) -> str:
        """Whether the network earned its place, in words, and where it did not."""
        if self.difference is None:
            return f"{SERVED} was compared with nothing."
        found = self.difference
        numbers = (
            f"NDCG@10 {self.models[SERVED].every.ndcg_10:.4f} against "
            f"{self.models[found.baseline].every.ndcg_10:.4f} of {found.baseline} "
            f"({_in_words(found)} over visitors)"
        )
        if self.earned:
            return f"{SERVED} is ahead of every baseline: {numbers}.{self._if_untold}"
        where = f" It is behind in: {', '.join(self._behind)}." if self._behind else ""
        if found.ndcg_10 > 0:
            return (
                f"{SERVED} is ahead of every baseline, but within chance: {numbers}.{where}"
                f"{self._if_untold}"
            )
        return (
            f"{SERVED} is not ahead of every baseline: {numbers}.{where} "
            f"{found.baseline} would do on these data.{self._if_untold}"
        )

    @property
    def _behind(self) -> list[str]:
        assert self.difference is not None
        rival = self.models[self.difference.baseline]
        return [
            name
            for name, ours in self.models[SERVED].slices.items()
            if ours.targets and ours.ndcg_10 < rival.slices[name].ndcg_10
        ]

    @property
    def _if_untold(self) -> str:
        if self.untold is None:
            return ""
        return (
            " Told neither when the next event comes nor of what action it is, as no baseline is, "
            f"it has {self.models[UNTOLD].every.ndcg_10:.4f} ({_in_words(self.untold)})."
        )

    def to_json(self) -> str:
        """Everything, with the sentence, as indented JSON."""
        content = asdict(self) | {"earned": self.earned, "sentence": self.sentence}
        return json.dumps(content, indent=2, ensure_ascii=False)

    def save(self, path: Path) -> None:
        """Write the JSON."""
        path.write_text(self.to_json(), encoding="utf-8")


def _in_words(found: Difference) -> str:
    return f"difference {found.ndcg_10:+.4f}, 95 % interval {found.low:+.4f} to {found.high:+.4f}"


def evaluate_journeys(
    models: Mapping[str, Scorer],
    journeys: Journeys,
    catalogue: Catalogue,
    parts: JourneyParts,
    *,
    targets: Targets,
    repeats: bool,
    heads: HeadQualities | None = None,
    seed: int = 0,
) -> JourneyEvaluation:
    """Rank test targets by every model.

    Args:
        models: Name -> model; `SERVED` has to be among them, the others of `OURS` may be.
        journeys: All journeys.
        catalogue: Items by code.
        parts: How the journeys are divided.
        targets: Those of the test part that are ranked, all or a sample.
        repeats: Whether items met before may be answered.
        heads: Quality of the answers beside the items, to be kept with the ranks.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: `SERVED` is missing, or a model's scores are NaN or of another shape.
    """
    if SERVED not in models:
        raise ValueError(f"models: expected one named {SERVED}, got {', '.join(models) or 'none'}")
    masks = slices_of(journeys, catalogue, targets, repeats=repeats)
    if parts.test_from_s is not None:
        masks[LAST] = last_of_each(targets, parts.test)
    ranks = {
        name: rank_targets(model, journeys, targets, repeats=repeats)
        for name, model in models.items()
    }
    return JourneyEvaluation(
        protocol=parts.protocol + (f"; {UNTOLD_PROTOCOL}" if UNTOLD in models else ""),
        num_items=len(catalogue.item_id),
        left_out=dict(parts.left_out),
        sampled_from=len(parts.test),
        models={name: _model(found, targets, masks) for name, found in ranks.items()},
        difference=_difference(SERVED, ranks, targets.visitor, seed=seed),
        untold=_difference(UNTOLD, ranks, targets.visitor, seed=seed),
        heads=heads or HeadQualities(),
    )


def slices_of(
    journeys: Journeys, catalogue: Catalogue, targets: Targets, *, repeats: bool
) -> dict[str, npt.NDArray[np.bool_]]:
    """Slice -> (T,) which targets are in it.

    Each action, beginnings of visits, the new category, items met before and others.
    """
    action = np.asarray(journeys.action[targets.rows(journeys)])
    masks = {
        f"action {name}": action == code
        for code, name in enumerate(journeys.actions, 1)
        if (action == code).any()
    }
    if journeys.has_clock:
        masks[BEGINS] = begins_visit(journeys, targets)
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


def _difference(
    ours: str, ranks: Mapping[str, Ranks], visitor: Places, *, seed: int
) -> Difference | None:
    quality = {
        name: float(gains(found.rank, 10).mean())
        for name, found in ranks.items()
        if name not in OURS
    }
    if not quality or ours not in ranks:
        return None
    best = max(quality, key=lambda name: quality[name])
    gap = gains(ranks[ours].rank, 10) - gains(ranks[best].rank, 10)
    draws = drawn_means(gap, visitor, seed=seed)
    ends = interval(draws)
    return Difference(
        baseline=best,
        ndcg_10=float(gap.mean()),
        low=ends.low,
        high=ends.high,
        standard_error=float(draws.std()),
    )
