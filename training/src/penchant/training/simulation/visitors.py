"""Visitors with tastes, and what the customer table says of them.

Letters: V visitors, C categories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from penchant.training.simulation.draws import Flags, Floats, Ints, choices, happens
from penchant.training.simulation.product_words import (
    CATEGORIES,
    CATEGORY_NAMES,
    CITIES,
    LANGUAGE_SHARES,
    LANGUAGES,
)
from penchant.training.simulation.segments import CHANNELS, SEGMENTS, visited_shares
from penchant.training.simulation.shop_items import LEVELS
from penchant.training.simulation.simulation_config import WEEK_S, SimulationConfig

FIRST_ID: Final = 1_000_000
"""Id of the first visitor; ids are integers and grow in the order of the file."""
REFUSED, AGREED, UNKNOWN = range(3)  # consent
_TASTE: Final = 0.15  # the smaller, the fewer categories a visitor likes
_TIERS: Final = ("none", "silver", "gold")


@dataclass(frozen=True, kw_only=True, eq=False)
class Visitors:
    """Some visitors in a row; each field is (V,), taste (V, C)."""

    visitor_id: Ints
    segment: Ints
    language: Ints
    level: Ints
    """Price level: 0 cheap, 1 middling, 2 dear."""
    taste: Floats
    """Share of each category in what she wants in the long run, seasons aside."""
    channel: Ints
    """Preferred channel."""
    appetite: Floats
    """Added to the logit of a purchase, the segment's share in it included."""
    known: Flags
    """Whether she is in the customer table."""
    consent: Ints
    """0 refused, 1 agreed, 2 unknown."""
    bot: Flags
    """Whether it is a program."""
    first_week: Ints
    """Week of the log in which she may come first."""
    num_weeks: Ints
    """Weeks from then on in which she may come."""
    num_sessions: Ints
    """Sessions of her own accord."""

    def __len__(self) -> int:
        """V."""
        return len(self.visitor_id)


def make_visitors(
    first: int, count: int, config: SimulationConfig, rng: np.random.Generator
) -> Visitors:
    """Draw `count` visitors, of whom the first is number `first` of the log."""
    segment = rng.choice(len(SEGMENTS), count, p=[each.share for each in SEGMENTS])
    known = ~happens(config.anonymous, count, rng)
    bot = happens(config.bots, count, rng)
    taste = rng.gamma(_TASTE, size=(count, len(CATEGORIES))) + 1e-3
    # Half of them were there before the log began.
    first_week = np.maximum(rng.integers(-config.weeks, config.weeks - 3, count), 0)
    stay = 4 + rng.exponential(0.7 * config.weeks, count).astype(np.int64)
    num_weeks = np.minimum(stay, config.weeks - first_week)
    weekly = rng.gamma(0.8, (config.sessions - 1) / 0.8, count) / num_weeks.mean()
    drawn = 1 + rng.poisson(weekly * num_weeks)
    refused, unknown = config.no_consent, config.missing_consent
    consent = rng.choice(3, count, p=[refused, 1 - refused - unknown, unknown])
    appetite = np.array([each.appetite for each in SEGMENTS])
    return Visitors(
        visitor_id=FIRST_ID + first + np.arange(count),
        segment=segment,
        language=rng.choice(len(LANGUAGES), count, p=LANGUAGE_SHARES),
        level=rng.choice(LEVELS, count, p=[0.3, 0.5, 0.2]),
        taste=taste / taste.sum(axis=1, keepdims=True),
        channel=choices(visited_shares()).draw(segment, rng),
        appetite=appetite[segment] + rng.normal(0, 0.7, count),
        known=known & ~bot,
        consent=consent,
        bot=bot,
        first_week=first_week,
        num_weeks=num_weeks,
        num_sessions=np.where(bot, 0, np.where(known, drawn, np.minimum(drawn, 3))),
    )


def times_s(
    visitors: Visitors,
    visitor: Ints,
    hour: Ints,
    config: SimulationConfig,
    rng: np.random.Generator,
) -> Ints:
    """A moment in an hour of the week (T,), in one of the weeks in which `visitor` (T,) comes."""
    week = visitors.first_week[visitor] + rng.integers(0, visitors.num_weeks[visitor])
    return config.start_s + week * WEEK_S + hour * 3600 + rng.integers(0, 3600, len(visitor))


def customer_rows(visitors: Visitors, rng: np.random.Generator) -> pa.Table:
    """Rows of the customer table: consent and a few columns as a CRM system has them."""
    count = len(visitors)
    older = np.array([38, 44, 27, 49])[visitors.segment]
    consent = pa.array(visitors.consent == AGREED, mask=visitors.consent == UNKNOWN)
    columns = {
        "visitor_id": visitors.visitor_id,
        "consent": consent,
        "age": pa.array(
            np.clip(rng.normal(older, 9), 18, 90).astype(np.int64), mask=happens(0.1, count, rng)
        ),
        "member_years": np.round(rng.exponential(3, count), 1),
        "city": np.array(CITIES)[rng.integers(0, len(CITIES), count)],
        "language": np.array(LANGUAGES)[visitors.language],
        "tier": np.array(_TIERS)[rng.choice(3, count, p=[0.7, 0.22, 0.08])],
    }
    return pa.table(columns).filter(pa.array(visitors.known))


def visitor_truth(visitors: Visitors) -> pa.Table:
    """What no shop knows of its visitors."""
    return pa.table(
        {
            "visitor_id": visitors.visitor_id,
            "segment": np.array([each.name for each in SEGMENTS])[visitors.segment],
            "channel": np.array(CHANNELS)[visitors.channel],
            "price_level": visitors.level,
            "favourite": np.array(CATEGORY_NAMES)[visitors.taste.argmax(axis=1)],
            "taste": pa.FixedSizeListArray.from_arrays(
                visitors.taste.astype(np.float32).ravel(), len(CATEGORIES)
            ),
            "appetite": visitors.appetite,
            "known": visitors.known,
            "bot": visitors.bot,
        }
    )
