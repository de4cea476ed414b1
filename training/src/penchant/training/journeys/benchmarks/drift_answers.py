"""Bought boots, now browsing coats: which share of the answers follows the session?

Letters: B cases, L events of a history, N item codes, K answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.baselines import Baseline
from penchant.training.journeys.batches import hours_of_week
from penchant.training.journeys.blend import Blend
from penchant.training.journeys.catalogue import FIRST_CODE, Catalogue
from penchant.training.journeys.history_batch import History, HistoryBatch
from penchant.training.journeys.journey_module import target_logits
from penchant.training.journeys.journey_net import JourneyNet
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import Scores
from penchant.training.journeys.targets import Histories
from penchant.training.simulation.drift_cases import DriftCase, share_of_browsed

TOP: Final = 10
"""Answers that are looked at."""


@dataclass(frozen=True, kw_only=True)
class DriftShares:
    """Share of the first `TOP` answers, mean over cases."""

    browsed: float
    """Of the category that is browsed."""
    usual: float
    """Of the category that most of the past was about."""


def drift_histories(
    cases: Sequence[DriftCase], journeys: Journeys, catalogue: Catalogue, length: int
) -> HistoryBatch:
    """What a shop would send at the moment of each case, asking for the next view.

    Args:
        cases: B histories.
        journeys: Names of actions and channels, and the zone.
        catalogue: Items by code.
        length: L.
    """
    shape = (len(cases), length)
    item, action, channel = (np.zeros(shape, np.int32) for _ in range(3))
    age = np.zeros(shape, np.float32)
    for row, case in enumerate(cases):
        some = min(length, len(case.item_ids))
        at = slice(length - some, length)
        item[row, at] = catalogue.encode(np.array(case.item_ids[-some:], object))
        action[row, at] = [journeys.actions.index(name) + 1 for name in case.actions[-some:]]
        channel[row, at] = [journeys.channels.index(name) + 1 for name in case.channels[-some:]]
        age[row, at] = case.now_s - np.array(case.times_s[-some:])
    now = hours_of_week(np.array([case.now_s for case in cases]), journeys.timezone)
    view = journeys.actions.index("view") + 1
    return HistoryBatch(
        history=History(
            item=torch.from_numpy(item),
            action=torch.from_numpy(action),
            channel=torch.from_numpy(channel),
            age=torch.from_numpy(age),
            now_hour=torch.from_numpy(now[:, None]),
        ),
        target=torch.zeros(len(cases), dtype=torch.int64),
        target_action=torch.full((len(cases),), view),
        met=(np.zeros(0, np.int64), np.zeros(0, np.int32)),
    )


def drift_scores(
    net: JourneyNet,
    blend: Blend,
    tables: AssociationTables,
    baselines: Mapping[str, Baseline],
    batch: HistoryBatch,
) -> dict[str, Scores]:
    """Scores (B, N) by model: what is served, the network alone, the baselines."""
    history = batch.history
    item = history.item.numpy()
    network = target_logits(net, batch).numpy()
    kept = tables.keep(tuple(blend.alpha))
    seen = Histories(
        item=item, action=history.action.numpy().astype(np.uint8), age_s=history.age.numpy()
    )
    return {
        "JourneyNet": blend.combine(network, kept.scores(item)),
        "network alone": network,
        **{name: each.scores(seen) for name, each in baselines.items()},
    }


def drift_shares(
    cases: Sequence[DriftCase],
    scores: Scores,
    catalogue: Catalogue,
    category_of: Mapping[str, str],
) -> DriftShares:
    """How many of the first `TOP` of scores (B, N) are of the category browsed, and of the usual.

    Raises:
        ValueError: A score is NaN.
    """
    if np.isnan(scores).any():
        raise ValueError("scores: expected numbers, got NaN; look for a loss that diverged")
    items = scores[:, FIRST_CODE:]
    best = np.argsort(-items, axis=1, kind="stable")[:, :TOP]
    answers: list[list[Any]] = catalogue.item_id[best].tolist()
    usual = [
        category_of[item_id] == case.usual
        for case, answer in zip(cases, answers, strict=True)
        for item_id in answer
    ]
    return DriftShares(
        browsed=share_of_browsed(cases, answers, category_of),
        usual=float(np.mean(usual)),
    )
