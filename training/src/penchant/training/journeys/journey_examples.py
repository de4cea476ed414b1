"""Example journeys for readers: what visitors did, what was suggested, what they did then."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.journey_data import JourneyData
from penchant.training.journeys.journey_model import JourneyModel
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.raw_histories import title_of
from penchant.training.journeys.targets import Targets, met_items

SHOWN_EXAMPLES: Final = 9
SHOWN_EVENTS: Final = 5
SHOWN_ANSWERS: Final = 5


def journey_examples(
    model: JourneyModel, data: JourneyData, recipe: JourneyRecipe
) -> list[dict[str, Any]]:
    """Test targets of different visitors, drawn at random, with the best answers to each."""
    some = _drawn(data.parts.test, seed=recipe.fit.seed)
    scores = np.array(model.scorer(data)(some.visitor, some.position), np.float64)
    target = np.asarray(data.journeys.item[some.rows(data.journeys)])
    if not recipe.split.repeats:
        which, code = met_items(data.journeys, some)
        scores[which, code] = np.where(target[which] == code, scores[which, code], -np.inf)
    scores[:, :FIRST_CODE] = -np.inf
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return [_example(data, some, row, shares[row]) for row in range(len(some))]


def _drawn(test: Targets, *, seed: int) -> Targets:
    _, first = np.unique(test.visitor, return_index=True)
    random = np.random.default_rng(seed)
    chosen = random.choice(first, min(SHOWN_EXAMPLES, len(first)), replace=False)
    return test.take(np.sort(chosen))


def _example(data: JourneyData, some: Targets, row: int, share: Any) -> dict[str, Any]:
    journeys = data.journeys
    now = int(some.rows(journeys)[row])
    oldest = max(now - int(some.position[row]), now - SHOWN_EVENTS)
    target = int(journeys.item[now])
    best = np.argsort(-share, kind="stable")[:SHOWN_ANSWERS]
    return {
        "history": [
            {
                "when": _ago(int(journeys.time_s[now] - journeys.time_s[at]))
                if journeys.has_clock
                else "",
                "action": journeys.actions[int(journeys.action[at]) - 1],
                "title": title_of(int(journeys.item[at]), data.catalogue),
            }
            for at in range(oldest, now)
        ],
        "answers": [
            {
                "title": title_of(int(code), data.catalogue),
                "score": float(share[code]),
                "hit": int(code) == target,
            }
            for code in best
        ],
        "action": journeys.actions[int(journeys.action[now]) - 1],
        "next": title_of(target, data.catalogue),
        "rank": int((share > share[target]).sum()) + 1,
    }


def _ago(seconds: int) -> str:
    """How long ago, in the unit that a reader would take."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} before:"
    return "just before:"
