"""Category and purchase of visits, told by the network, by the prior and by who knows the visit.

The truth of a visit is what it was drawn from: the category that it is about, and the chance of a
purchase. It is looked at where that says nearly all: what is viewed next, and whether a purchase
follows a view.

Letters: T cases, K categories, S visits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.metrics import roc_auc_score

from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.head_priors import Floats
from penchant.training.journeys.head_quality import INTENT, PURCHASE, HeadCases, head_cases
from penchant.training.journeys.journey_net import JourneyNet
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journey_split import JourneyParts
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.network_states import states_before
from penchant.training.journeys.targets import Places, sample_of
from penchant.training.simulation.simulated_log import SimulatedLog
from penchant.training.simulation.simulation_config import WEEK_S, SimulationConfig

VIEW: Final = "view"
MOST_CASES: Final = 10_000
"""Most test targets whose category is told."""


@dataclass(frozen=True, kw_only=True)
class ToldAnswer:
    """What one of them says of the same cases."""

    cases: int
    """Number of cases T."""
    logloss: float
    """Mean, in nats."""
    auc: float | None = None
    """Of a purchase."""


def sampled_cases(
    net: JourneyNet,
    journeys: Journeys,
    catalogue: Catalogue,
    parts: JourneyParts,
    recipe: JourneyRecipe,
) -> dict[str, HeadCases]:
    """What the answers beside the items say of the test part, the category of a sample of it."""
    targets = sample_of(parts.test, MOST_CASES, seed=recipe.fit.seed)
    states = states_before(net, journeys, targets, action=1)
    return head_cases(states, journeys, catalogue, parts, recipe)


def told_answers(
    cases: Mapping[str, HeadCases], log: SimulatedLog, journeys: Journeys, catalogue: Catalogue
) -> dict[str, dict[str, ToldAnswer]]:
    """Answer -> prior, JourneyNet or truth -> how well it is told.

    Args:
        cases: Those of the test part, `INTENT` and `PURCHASE` among them.
        log: The truth.
        journeys: Where the events of the cases are.
        catalogue: Names of categories.
    """
    truth = _Truth(log)
    intent, visit = _of_views(cases[INTENT], truth, journeys, back=0)
    shares = truth.categories(visit, catalogue.categories)
    purchase, visit = _of_views(cases[PURCHASE], truth, journeys, back=1)
    chance = truth.chance[visit]
    return {
        INTENT: _told(intent, shares),
        PURCHASE: _told(purchase, np.column_stack([1 - chance, chance])),
    }


def _of_views(
    cases: HeadCases, truth: _Truth, journeys: Journeys, *, back: int
) -> tuple[HeadCases, Places]:
    """The cases about a view in a visit whose truth is known, and which visit it is.

    Args:
        cases: All.
        truth: The visits.
        journeys: Where the events are.
        back: Events from the target back to the view: 0 where it is the target.
    """
    row = cases.targets.rows(journeys) - back
    visit = truth.visit_of(
        journeys.visitor_id[cases.targets.visitor], np.asarray(journeys.time_s[row])
    )
    is_view = np.asarray(journeys.action[row]) == journeys.actions.index(VIEW) + 1
    kept = is_view & (visit >= 0)
    some = replace(
        cases,
        targets=cases.targets.take(kept),
        label=cases.label[kept],
        network=cases.network[kept],
    )
    return some, visit[kept]


def _told(cases: HeadCases, truth: Floats) -> dict[str, ToldAnswer]:
    count = len(cases.label)
    told = {"prior": cases.prior, "JourneyNet": cases.network, "truth": truth}
    return {
        name: ToldAnswer(
            cases=count,
            logloss=float(cases.losses(shares).mean()),
            auc=float(roc_auc_score(cases.label, np.broadcast_to(shares, (count, 2))[:, 1]))
            if shares.shape[-1] == 2
            else None,
        )
        for name, shares in told.items()
    }


class _Truth:
    """The visits of a log that a session came of, and what each was drawn from."""

    def __init__(self, log: SimulatedLog) -> None:
        facts = log.facts()
        self.config = SimulationConfig(**facts["config"])
        self.names: list[str] = facts["categories"]
        self.visitors = log.visitors()
        self.season: npt.NDArray[Any] = np.zeros((self.config.weeks, len(self.names)))
        seasons = log.seasons()
        place = {name: at for at, name in enumerate(self.names)}
        category = [place[name] for name in seasons["category"].to_pylist()]
        self.season[seasons["week"].to_numpy(), category] = seasons["weight"].to_numpy()
        sessions = log.sessions()
        sessions = sessions.filter(pa.compute.is_valid(sessions["intent"]))
        self.start, self.end = (sessions[name].to_numpy() for name in ("start_s", "end_s"))
        self.visitor = self._place(sessions["visitor_id"].to_numpy())
        self.intent = np.array([place[name] for name in sessions["intent"].to_pylist()])
        self.chance = sessions["purchase_probability"].to_numpy().astype(np.float64)

    def visit_of(self, visitor_id: npt.NDArray[Any], time_s: Places) -> Places:
        """(T,) place of the visit that goes on at each moment, -1 where there is none."""
        visitor, width = self._place(visitor_id), np.int64(1) << 34
        key, keys = visitor * width + time_s, self.visitor * width + self.start
        found = np.searchsorted(keys, key, side="right") - 1
        is_it = (found >= 0) & (self.visitor[found] == visitor) & (time_s <= self.end[found])
        return np.where(is_it, found, -1)

    def categories(self, visit: Places, names: tuple[str, ...]) -> Floats:
        """(T, K) shares of what is viewed in each visit, in the order of `names`."""
        taste = np.array(self.visitors["taste"].to_pylist())[self.visitor[visit]]
        week = (self.start[visit] - self.config.start_s) // WEEK_S
        strays = taste * self.season[week]
        shares = (1 - self.config.intent) * strays / strays.sum(axis=1, keepdims=True)
        shares[np.arange(len(visit)), self.intent[visit]] += self.config.intent
        found: Floats = shares[:, [self.names.index(name) for name in names]]
        return found

    def _place(self, visitor_id: npt.NDArray[Any]) -> Places:
        return np.searchsorted(self.visitors["visitor_id"].to_numpy(), visitor_id)
