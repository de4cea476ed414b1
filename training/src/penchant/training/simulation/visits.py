"""Visits: sessions that visitors begin of themselves, and messages that may lead to one.

A visitor's visits begin at least `APART_S` apart and last at most `LONGEST_S`, so that a gap of
30 minutes finds them again. Letters: T visits, V visitors, C categories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from penchant.training.simulation.arrivals import devices, sources
from penchant.training.simulation.draws import (
    Flags,
    Floats,
    Ints,
    choices,
    draw_each,
    happens,
    repeat_last,
    starts,
)
from penchant.training.simulation.messages import (
    ASKING_PLACE,
    answers,
    sent_messages,
    still_subscribed,
)
from penchant.training.simulation.segments import ASKING, STORE, hour_shares, visited_shares
from penchant.training.simulation.simulation_config import WEEK_S, SimulationConfig
from penchant.training.simulation.visitors import Visitors, times_s

APART_S: Final = 2 * 3600
"""Least time between the beginnings of two visits of one visitor, in seconds."""
LONGEST_S: Final = 80 * 60
"""Most time that a visit lasts, from the message that led to it on, in seconds."""
NO_INTENT: Final = -1
"""Intent of a message that led to no session."""
PREFERRED: Final = 0.75
"""Share of sessions through the preferred channel."""

_FOLLOWED: Final = 0.7  # share of clicks that lead to a session about the campaign's category


@dataclass(frozen=True, kw_only=True, eq=False)
class Visits:
    """Visits of some visitors, by visitor and time; each field is (T,)."""

    visitor: Ints
    """Place of the visitor among the `Visitors`."""
    time_s: Ints
    """When it begins."""
    channel: Ints
    """Through which channel; that of the message where there is one."""
    sent: Flags
    """Whether it begins with a message."""
    opened: Flags
    """Whether the message was opened."""
    clicked: Flags
    """Whether the message was clicked; a session follows."""
    unsubscribed: Flags
    """Whether the message made the visitor unsubscribe from the channel."""
    device: Ints
    """Place in `DEVICES`."""
    source: Ints
    """Place in `SOURCES`."""
    week: Ints
    """Week of the log."""
    hour: Ints
    """Hour of the week."""
    intent: Ints
    """Category that the session is about, -1 where no session is."""
    continued: Flags
    """Whether the session goes on with the category of the one before."""

    def __len__(self) -> int:
        """T."""
        return len(self.visitor)

    @property
    def is_session(self) -> Flags:
        """Whether the visitor does anything but answer."""
        return np.not_equal(self.intent, NO_INTENT)

    @property
    def in_store(self) -> Flags:
        """Whether it takes place in a store."""
        return np.equal(self.channel, STORE)

    @property
    def campaign(self) -> Ints:
        """Number of the campaign that sent the message, -1 where there is none."""
        number = self.week * len(ASKING) + ASKING_PLACE[self.channel]
        return np.where(self.sent, number, -1)

    def where(self, keep: Flags) -> Visits:
        """Some of the visits."""
        return Visits(**{name: values[keep] for name, values in vars(self).items()})


def make_visits(
    visitors: Visitors,
    config: SimulationConfig,
    *,
    seasons: Floats,
    plan: Ints,
    rng: np.random.Generator,
) -> Visits:
    """Draw all visits of some visitors; `seasons` and `plan` are those of `campaigns.py`."""
    visitor, time_s, channel = _begun_visits(visitors, config, rng)
    week, in_week = np.divmod(time_s - config.start_s, WEEK_S)
    drafted = Visits(
        visitor=visitor,
        time_s=time_s,
        channel=channel,
        sent=ASKING_PLACE[channel] >= 0,
        week=week,
        hour=in_week // 3600,
        **answers(channel, in_week // 3600, visitors.segment[visitor], rng),
        device=devices(channel, rng),
        source=sources(channel, rng),
        intent=np.full(len(visitor), NO_INTENT),
        continued=np.zeros(len(visitor), dtype=np.bool_),
    )
    kept = drafted.where(still_subscribed(drafted.visitor, drafted.channel, drafted.unsubscribed))
    return _with_intents(kept, visitors, config, seasons=seasons, plan=plan, rng=rng)


def _begun_visits(
    visitors: Visitors, config: SimulationConfig, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Visitor, time and channel of each visit and message, by visitor and time."""
    begun = [_own_visits(visitors, config, rng), *sent_messages(visitors, config, rng)]
    visitor, time_s, channel = (np.concatenate(column) for column in zip(*begun, strict=True))
    order = np.lexsort((time_s, visitor))
    visitor, time_s, channel = visitor[order], time_s[order], channel[order]
    crowded = ~starts(visitor) & (np.diff(time_s, prepend=0) < APART_S)
    fits = ~crowded & (time_s <= config.end_s - APART_S)
    return visitor[fits], time_s[fits], channel[fits]


def _own_visits(
    visitors: Visitors, config: SimulationConfig, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    visitor = np.repeat(np.arange(len(visitors)), visitors.num_sessions)
    hour = choices(hour_shares()).draw(visitors.segment[visitor], rng)
    other = choices(visited_shares()).draw(visitors.segment[visitor], rng)
    prefers = happens(PREFERRED, len(visitor), rng)
    channel = np.where(prefers, visitors.channel[visitor], other)
    return visitor, times_s(visitors, visitor, hour, config, rng), channel


# What it is about


def _with_intents(
    visits: Visits,
    visitors: Visitors,
    config: SimulationConfig,
    *,
    seasons: Floats,
    plan: Ints,
    rng: np.random.Generator,
) -> Visits:
    """The visits with what each session is about: as before, as praised, or by taste and season."""
    session = ~visits.sent | visits.clicked
    visitor, week = visits.visitor[session], visits.week[session]
    fresh = draw_each(visitors.taste[visitor] * seasons[week], rng)
    praised = visits.sent[session] & happens(_FOLLOWED, len(visitor), rng)
    place = ASKING_PLACE[visits.channel[session]]
    fresh = np.where(praised, plan[week, place], fresh)
    goes_on = happens(config.continued, len(visitor), rng) & ~praised & ~starts(visitor)
    intent = np.full(len(visits), NO_INTENT)
    intent[session] = fresh[repeat_last(~goes_on)]
    continued = np.zeros(len(visits), dtype=np.bool_)
    continued[session] = goes_on
    return Visits(**(vars(visits) | {"intent": intent, "continued": continued}))
