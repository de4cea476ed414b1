"""Messages: what is sent through the channels that ask, and what visitors answer.

Letters: T visits and messages, V visitors.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from penchant.training.simulation.draws import Flags, Ints, happens, repeat_last, starts
from penchant.training.simulation.segments import (
    AD,
    ASKING,
    CHANNELS,
    HOURS,
    click_rates,
    open_rates,
    unsubscribe_rates,
)
from penchant.training.simulation.simulation_config import SimulationConfig
from penchant.training.simulation.visitors import AGREED, Visitors, times_s

_SENT_A_WEEK: Final = (0.25, 0.15, 0.08)  # by e-mail, push and ad
ASKING_PLACE: Final = np.array(
    [ASKING.index(channel) if channel in ASKING else -1 for channel in range(len(CHANNELS))]
)
"""Place of each channel among those that ask, -1 for one that does not."""


def sent_messages(
    visitors: Visitors, config: SimulationConfig, rng: np.random.Generator
) -> list[tuple[Ints, Ints, Ints]]:
    """Visitor, time and channel of what is sent, at any hour; only ads reach everybody."""
    agreed = visitors.known & (visitors.consent == AGREED)
    messages = []
    for channel, weekly in zip(ASKING, _SENT_A_WEEK, strict=True):
        reached = ~visitors.bot if channel == AD else agreed
        count = np.where(reached, rng.poisson(weekly * visitors.num_weeks), 0)
        visitor = np.repeat(np.arange(len(visitors)), count)
        hour = rng.integers(0, HOURS, len(visitor))
        time_s = times_s(visitors, visitor, hour, config, rng)
        messages.append((visitor, time_s, np.full(len(visitor), channel)))
    return messages


def answers(channel: Ints, hour: Ints, segment: Ints, rng: np.random.Generator) -> dict[str, Flags]:
    """Which messages are opened, then clicked or the reason to unsubscribe; each (T,).

    Args:
        channel: Channel of each visit (T,); those that do not ask are answered by nobody.
        hour: Hour of the week (T,).
        segment: Segment of the visitor (T,).
        rng: What to draw from.
    """
    place, count = ASKING_PLACE[channel], len(channel)
    opened = (place >= 0) & happens(open_rates()[place, segment, hour], count, rng)
    clicked = opened & happens(click_rates()[place], count, rng)
    leaves = opened & ~clicked & happens(unsubscribe_rates()[place], count, rng)
    return {"opened": opened, "clicked": clicked, "unsubscribed": leaves}


def still_subscribed(visitor: Ints, channel: Ints, unsubscribed: Flags) -> Flags:
    """Whether no earlier message through the channel made the visitor unsubscribe (T,).

    Visits are in the order of visitor and time.
    """
    group = visitor * len(CHANNELS) + channel
    order = np.argsort(group, kind="stable")
    gone: Ints = np.cumsum(unsubscribed[order]) - unsubscribed[order]
    before: Ints = gone[repeat_last(starts(group[order]))]
    subscribed = np.empty(len(visitor), dtype=np.bool_)
    subscribed[order] = gone == before
    return subscribed
