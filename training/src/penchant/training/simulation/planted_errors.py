"""Wrong rows, as real logs have them, each kind planted apart and counted.

Letters: E events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from penchant.training.simulation.draws import Flags, Ints, happens
from penchant.training.simulation.event_rows import CART, RETURN, UNKNOWN_ITEM, VIEW, EventRows
from penchant.training.simulation.simulation_config import ERROR_KINDS, PlantedErrors

NO_ERROR: Final = -1
"""Kind of a row that is as it should be; others are places in `ERROR_KINDS`."""
_AHEAD_S: Final = 30 * 366 * 24 * 3600
_OF_VIEWS: Final = ("no_visitor", "missing_time", "future_time", "unknown_item")


@dataclass(frozen=True, kw_only=True, eq=False)
class FlawedRows:
    """Events of which some are wrong."""

    rows: EventRows
    """Events (E,), those without visitor or time with what is left out in the table."""
    kind: Ints
    """What is wrong with each (E,)."""

    def has(self, kind: str) -> Flags:
        """Rows with one kind of error (E,)."""
        return np.equal(self.kind, ERROR_KINDS.index(kind))

    def take(self, keep: Flags) -> FlawedRows:
        """Some of the rows."""
        return FlawedRows(rows=self.rows.take(keep), kind=self.kind[keep])

    def counts(self) -> Ints:
        """Rows of each kind of error, in the order of `ERROR_KINDS`."""
        return np.bincount(self.kind[self.kind != NO_ERROR], minlength=len(ERROR_KINDS))


def plant_errors(rows: EventRows, errors: PlantedErrors, rng: np.random.Generator) -> FlawedRows:
    """Make some of the rows wrong, and repeat some of the others."""
    kind = np.full(len(rows), NO_ERROR)
    if not errors.enabled:
        return FlawedRows(rows=rows, kind=kind)
    draw = rng.random(len(rows))
    low = 0.0
    for name in _OF_VIEWS:
        high = low + getattr(errors, name)
        hit = (rows.action == VIEW) & (low <= draw) & (draw < high)
        kind[hit], low = ERROR_KINDS.index(name), high
    kind[(rows.action == CART) & (draw < errors.negative_price)] = ERROR_KINDS.index(
        "negative_price"
    )
    twice = (
        (kind == NO_ERROR) & (rows.action != RETURN) & happens(errors.duplicates, len(rows), rng)
    )
    place = np.repeat(np.arange(len(rows)), 1 + twice)
    copy = np.diff(place, prepend=-1) == 0
    flawed = FlawedRows(
        rows=rows.take(place), kind=np.where(copy, ERROR_KINDS.index("duplicates"), kind[place])
    )
    future, unknown = flawed.has("future_time"), flawed.has("unknown_item")
    flawed.rows.time_s[future] += _AHEAD_S
    flawed.rows.item[unknown] = UNKNOWN_ITEM
    flawed.rows.price[flawed.has("negative_price")] *= -1
    return flawed
