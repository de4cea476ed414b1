"""What a simulated log is told: how large, of what time, with which visitors and which errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

from penchant.training.recipe_checks import check_least
from penchant.training.simulation.product_words import CATEGORIES

MOST_PAIRS: Final = 2 * len(CATEGORIES)
"""Most planted pairs of a kind: two a category, so that every pair has items to itself."""
LEAST_ITEMS: Final = 20 * len(CATEGORIES)
"""Fewest items: twenty a category, so that planted pairs leave ordinary items."""
WEEK_S: Final = 7 * 24 * 3600
"""Seconds of a week."""


@dataclass(frozen=True, kw_only=True)
class PlantedErrors:
    """Shares of rows that are made wrong; no row gets two errors, each kind is counted."""

    enabled: bool = True
    """false plants none of them, whatever the shares say; the other rows stay the same."""
    duplicates: float = 0.004
    """Rows of any kind but returns, repeated exactly."""
    no_visitor: float = 0.002
    """Views without a visitor."""
    missing_time: float = 0.001
    """Views without a time."""
    future_time: float = 0.001
    """Views of a device whose clock is 30 years ahead."""
    unknown_item: float = 0.002
    """Views of an item that is not in the item table."""
    negative_price: float = 0.01
    """Carts with a negative price."""

    def __post_init__(self) -> None:
        """Refuse shares out of range."""
        for name in ERROR_KINDS:
            _check_share(f"errors.{name}", getattr(self, name), most=0.2)


ERROR_KINDS: Final = (
    "duplicates",
    "no_visitor",
    "missing_time",
    "future_time",
    "unknown_item",
    "negative_price",
)
"""Kinds of planted errors, by the names of their shares."""


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """A log to be simulated. One seed gives one log; a larger one begins with the smaller one."""

    events: int = 1_000_000
    """Rows of the event table; the last visitor is written whole, so there may be a few more."""
    seed: int = 0
    """Seed of everything that is drawn."""
    start: str = "2024-01-01"
    """First day, a Monday, as YYYY-MM-DD; hours are in UTC."""
    weeks: int = 52
    """Length of the log in weeks."""
    items: int = 2_000
    """Items of the catalogue."""
    cold_items: float = 0.03
    """Share of items that are in the catalogue, but in no event."""
    sessions: float = 9.0
    """Mean number of sessions of a known visitor; a few have many more."""
    views: float = 5.0
    """Mean number of views of a session."""
    intent: float = 0.9
    """Share of a session's views that are of the category it is about."""
    continued: float = 0.5
    """Share of sessions that go on with the category of the session before."""
    anonymous: float = 0.25
    """Share of visitors without a row in the customer table; they come once or a few times."""
    no_consent: float = 0.15
    """Share of customers who said no to personalization."""
    missing_consent: float = 0.1
    """Share of customers of whom consent is not known."""
    bots: float = 0.001
    """Share of visitors that are programs: many quick views, no purchase."""
    returns: float = 0.06
    """Share of order lines that are sent back."""
    pairs: int = 24
    """Planted pairs of each kind: bought together; viewed, then bought."""
    pair_rate: float = 0.5
    """Chance that the second item of a planted pair goes along with the first."""
    errors: PlantedErrors = field(default_factory=PlantedErrors)
    """Wrong rows."""

    def __post_init__(self) -> None:
        """Refuse values out of range, and a start that is no Monday or lies too late."""
        for name in ("events", "sessions", "views"):
            check_least(name, getattr(self, name), 1)
        check_least("seed", self.seed, 0)
        check_least("items", self.items, LEAST_ITEMS)
        check_least("weeks", self.weeks, 4)
        for name in ("intent", "continued", "pair_rate", "anonymous", "returns"):
            _check_share(name, getattr(self, name))
        _check_share("cold_items", self.cold_items, most=0.5)
        _check_share("bots", self.bots, most=0.5)
        _check_share("no_consent + missing_consent", self.no_consent + self.missing_consent)
        if not 0 <= self.pairs <= MOST_PAIRS:
            raise ValueError(
                f"pairs: expected 0 to {MOST_PAIRS}, two a category at most, got {self.pairs}"
            )
        self._check_span()

    @property
    def start_s(self) -> int:
        """Monday 00:00 UTC of the first week, in seconds since 1970."""
        first = date.fromisoformat(self.start)
        return int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())

    @property
    def end_s(self) -> int:
        """End of the last week, in seconds since 1970; no true event is later."""
        return self.start_s + self.weeks * WEEK_S

    def _check_span(self) -> None:
        try:
            first = date.fromisoformat(self.start)
        except ValueError as error:
            raise ValueError(f"start: expected a day as YYYY-MM-DD, got {self.start!r}") from error
        if first.weekday() or first.year < 1971:
            raise ValueError(
                f"start: expected a Monday of 1971 or later, as in 2024-01-01, got {self.start!r}"
            )
        if self.end_s > datetime.now(tz=UTC).timestamp():
            raise ValueError(
                f"weeks: a log of {self.weeks} weeks from {self.start} would end in the future; "
                "take fewer weeks or an earlier start"
            )


def _check_share(name: str, share: float, *, most: float = 1.0) -> None:
    if not 0 <= share <= most:
        raise ValueError(f"{name}: expected a share from 0 to {most:g}, got {share}")
