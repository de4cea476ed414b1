"""Campaigns: each week every asking channel praises one category.

Letters: W weeks, A asking channels, C categories.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from penchant.training.simulation.draws import Floats, Ints, draw_each
from penchant.training.simulation.product_words import CATEGORIES, CATEGORY_NAMES
from penchant.training.simulation.segments import ASKING, CHANNELS
from penchant.training.simulation.simulation_config import WEEK_S, SimulationConfig

_YEAR_S: Final = 365.2425 * 24 * 3600


def season_weights(config: SimulationConfig) -> Floats:
    """How much more than usual each category is wanted in each week of the log (W, C)."""
    middle_s = config.start_s + (np.arange(config.weeks) + 0.5) * WEEK_S
    of_year = (middle_s / _YEAR_S) % 1.0
    peak = np.array([category.peak for category in CATEGORIES])
    strength = np.array([category.strength for category in CATEGORIES])
    weights: Floats = np.exp(strength * np.cos(2 * np.pi * (of_year[:, None] - peak)))
    return weights


def plan_campaigns(seasons: Floats, rng: np.random.Generator) -> Ints:
    """The category that each week's campaign in each asking channel is about (W, A)."""
    return np.stack([draw_each(seasons, rng) for _ in ASKING], axis=1)


def campaign_names(plan: Ints) -> tuple[str, ...]:
    """Names of all campaigns, those of one week together."""
    return tuple(
        f"{CHANNELS[channel]}_{week:03d}_{CATEGORY_NAMES[category]}"
        for week, row in enumerate(plan.tolist())
        for channel, category in zip(ASKING, row, strict=True)
    )
