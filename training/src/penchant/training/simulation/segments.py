"""Segments of visitors: when they are about, through which channel they come, what they answer.

Letters: S segments, H = 168 hours of the week (Monday 00:00 = 0), A channels that ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from penchant.training.simulation.draws import Floats

CHANNELS: Final = ("web", "app", "email", "push", "store", "ad")
"""All channels; an event's channel is one of them."""
WEB, APP, EMAIL, PUSH, STORE, AD = range(len(CHANNELS))
VISITED: Final = (WEB, APP, STORE)
"""Channels that visitors come through of themselves."""
ASKING: Final = (EMAIL, PUSH, AD)
"""Channels that ask visitors to come: they send, visitors open and click."""
HOURS: Final = 168
"""Hours of a week."""

_OPENS: Final = (
    0.26,
    0.16,
    0.07,
)  # of e-mail, push and ad, by the middling segment at her best hour
_CLICKS: Final = (0.24, 0.30, 0.25)  # of those that were opened
_UNSUBSCRIBES: Final = (0.012, 0.006, 0.0)  # of those that were opened and not clicked


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Visitors who live alike."""

    name: str
    """As in the truth."""
    share: float
    """Share of all visitors."""
    weekday: tuple[tuple[float, float], ...]
    """Hours from Monday to Friday about which they are there, each with its weight."""
    weekend: tuple[tuple[float, float], ...]
    """The same on Saturday and Sunday."""
    visited: tuple[float, float, float]
    """How many of them prefer web, app and store."""
    answers: tuple[float, float, float]
    """How readily they open e-mail, push and ad; 1 is middling."""
    appetite: float
    """Added to the logit of a purchase."""

    @property
    def hours(self) -> Floats:
        """Share of their visits that falls into each hour of the week (H,)."""
        hour = np.arange(24)
        days = [
            sum(weight * np.exp(-(_apart(hour, peak) ** 2) / 4.5) for peak, weight in peaks)
            for peaks in (*(self.weekday,) * 5, *(self.weekend,) * 2)
        ]
        week = np.concatenate(days) + 0.01
        return np.asarray(week / week.sum(), dtype=np.float64)


def _apart(hour: np.ndarray, peak: float) -> np.ndarray:
    """Hours between two times of the day, around the clock."""
    return np.abs((hour - peak + 12) % 24 - 12)


SEGMENTS: Final = (
    Segment(
        name="commuters",
        share=0.3,
        weekday=((7.5, 1.0), (17.5, 0.9)),
        weekend=((11.0, 0.3),),
        visited=(0.2, 0.65, 0.15),
        answers=(0.7, 1.6, 1.0),
        appetite=0.0,
    ),
    Segment(
        name="office",
        share=0.3,
        weekday=((10.0, 0.9), (13.0, 1.0)),
        weekend=((20.0, 0.15),),
        visited=(0.75, 0.1, 0.15),
        answers=(1.6, 0.5, 0.8),
        appetite=0.2,
    ),
    Segment(
        name="night_owls",
        share=0.2,
        weekday=((23.0, 1.0), (1.0, 0.5)),
        weekend=((23.5, 1.0), (2.0, 0.6)),
        visited=(0.45, 0.5, 0.05),
        answers=(0.8, 1.0, 1.5),
        appetite=-0.3,
    ),
    Segment(
        name="weekenders",
        share=0.2,
        weekday=((19.5, 0.25),),
        weekend=((11.0, 1.0), (16.0, 1.2)),
        visited=(0.35, 0.15, 0.5),
        answers=(1.0, 0.7, 1.1),
        appetite=0.3,
    ),
)
"""All segments."""


def hour_shares() -> Floats:
    """Share of a segment's visits in each hour of the week (S, H)."""
    return np.stack([segment.hours for segment in SEGMENTS])


def visited_shares() -> Floats:
    """Share of a segment's visitors who prefer each channel; 0 for those that ask (S, channels)."""
    shares = np.zeros((len(SEGMENTS), len(CHANNELS)))
    shares[:, VISITED] = [segment.visited for segment in SEGMENTS]
    return shares


def open_rates() -> Floats:
    """Chance that what is sent through a channel in an hour is opened (A, S, H)."""
    hours = hour_shares()
    liveliness = 0.2 + 0.8 * hours / hours.max(axis=1, keepdims=True)
    ready = np.array([segment.answers for segment in SEGMENTS]).T  # (A, S)
    rates: Floats = np.array(_OPENS)[:, None, None] * ready[:, :, None] * liveliness
    return rates


def click_rates() -> Floats:
    """Chance that what was opened is clicked (A,)."""
    return np.array(_CLICKS)


def unsubscribe_rates() -> Floats:
    """Chance that who opened it and did not click unsubscribes from the channel (A,)."""
    return np.array(_UNSUBSCRIBES)
