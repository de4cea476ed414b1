"""The baselines of a report, each at its best: their options are chosen on validation targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np

from penchant.training.journeys.association_tables import POPULAR, AssociationTables
from penchant.training.journeys.baselines import (
    AssociationsAlone,
    Baseline,
    Popularity,
    baseline_scorer,
    fit_item_knn,
    fit_popularity,
)
from penchant.training.journeys.journey_split import JourneyParts
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import Scorer, gains, rank_targets
from penchant.training.journeys.session_knn import fit_session_knn
from penchant.training.journeys.targets import Places, sample_of

Option = TypeVar("Option")

RECENT_POPULARITY: Final = "recent popularity"
ITEM_KNN: Final = "item-kNN"
SESSION_KNN: Final = "session-kNN"
HALF_LIVES: Final = (None, 1.0, 7.0, 30.0, 90.0)
"""Half-lives in days that are tried for popularity; None counts all events alike."""
ITEM_NEWEST: Final = (1, 3, 10, 50)
"""Events of a history that are tried for item-kNN."""
SESSION_NEWEST: Final = (3, 10)
"""Events of a history that are tried for session-kNN."""
CHOICE_TARGETS: Final = 1000
"""Validation targets that choose; of more, a sample."""


def rival_scorers(
    journeys: Journeys,
    parts: JourneyParts,
    num_codes: int,
    *,
    repeats: bool,
    tables: AssociationTables | None = None,
    seed: int = 0,
) -> dict[str, Scorer]:
    """Baselines fitted on all events before the test part, ready to be ranked by.

    Args:
        journeys: All journeys.
        parts: How they are divided; options are chosen by NDCG@10 on the validation targets, after
            a fit on the events before those.
        num_codes: N.
        repeats: Whether items met before may be answered.
        tables: Association statistics of the events before the test part; each about pairs
            becomes a baseline of its own.
        seed: Seed of the sample of validation targets.

    Returns:
        Name -> model: recent popularity, item-kNN, session-kNN, and the statistics alone.
    """
    choice = _Choice(journeys, parts, num_codes, repeats=repeats, seed=seed)
    half_lives = HALF_LIVES if journeys.has_clock else HALF_LIVES[:1]
    half_life = choice.best(half_lives, lambda days: choice.popular(days, parts.train_until))
    early = choice.popular(half_life, parts.train_until)
    late = choice.popular(half_life, parts.test_from)
    items = fit_item_knn(journeys, parts.train_until, early)
    newest_items = choice.best(ITEM_NEWEST, lambda newest: replace(items, newest=newest))
    newest_events = choice.best(
        SESSION_NEWEST,
        lambda newest: fit_session_knn(journeys, parts.train_until, early, newest=newest),
    )
    models: dict[str, Baseline] = {
        RECENT_POPULARITY: late,
        ITEM_KNN: fit_item_knn(journeys, parts.test_from, late, newest=newest_items),
        SESSION_KNN: fit_session_knn(journeys, parts.test_from, late, newest=newest_events),
    }
    for name in tables.names if tables is not None else ():
        if name != POPULAR and tables is not None:
            only = tables.keep((name,))
            if only.weight.any():  # else it would be popularity by another name
                models[f"{name.replace('_', ' ')} alone"] = AssociationsAlone(only, late)
    return {name: baseline_scorer(model, journeys) for name, model in models.items()}


class _Choice:
    """Chooses options by NDCG@10 on validation targets."""

    def __init__(
        self, journeys: Journeys, parts: JourneyParts, num_codes: int, *, repeats: bool, seed: int
    ) -> None:
        self.journeys, self.num_codes, self.repeats = journeys, num_codes, repeats
        self.targets = sample_of(parts.validation, CHOICE_TARGETS, seed=seed)

    def popular(self, half_life_days: float | None, until: Places) -> Popularity:
        return fit_popularity(self.journeys, until, self.num_codes, half_life_days=half_life_days)

    def best(self, options: Sequence[Option], make: Callable[[Option], Baseline]) -> Option:
        """The option whose model ranks best, of equal ones the first."""
        quality = [self._ndcg(make(option)) for option in options] if len(options) > 1 else [0.0]
        return options[int(np.argmax(quality))]

    def _ndcg(self, model: Baseline) -> float:
        scorer = baseline_scorer(model, self.journeys)
        ranks = rank_targets(scorer, self.journeys, self.targets, repeats=self.repeats)
        return float(gains(ranks.rank, 10).mean())
