"""Events of one moment, put into an order that tells nothing.

A shop writes the lines of an order at one moment, and a log does not say which came first. Any rule
that ranks items, as by their ids, would say something of the next line that nobody knows when the
model is asked: a network learns that the next item ranks behind the last one, and its ranks on held
out orders look better than they are. The same holds of actions: by their names a cart would come
before the view that filled it. So the order of all events of one visitor and moment is drawn, from
what an event is: differently each time, and equally each time that the log is read.

Letters: E events.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

CHUNK_EVENTS: Final = 4_000_000
"""Events that are held at a time, but for a visitor who has more."""
_MOVED: Final = ("item", "action", "channel")
"""Columns in which events of one visitor and moment may differ."""

Draws = npt.NDArray[np.uint64]


def draw_order_of_ties(folder: Path) -> None:
    """Reorder events of one visitor and moment in columns that lie in a folder.

    Args:
        folder: With the columns of journeys as ``.npy``; visitors and moments are in order.
    """
    offsets = np.load(folder / "offsets.npy")
    time = np.load(folder / "time_s.npy", mmap_mode="r")
    moved = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _MOVED}
    first = 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + CHUNK_EVENTS, side="right")) - 1
        last = max(last, first + 1)
        rows = slice(int(offsets[first]), int(offsets[last]))
        visitor = np.repeat(np.arange(first, last), np.diff(offsets[first : last + 1]))
        differing = (np.asarray(column[rows]) for column in moved.values())
        drawn = _draws(visitor, np.asarray(time[rows]), *differing)
        order = np.lexsort((drawn, time[rows], visitor))
        for column in moved.values():
            column[rows] = np.asarray(column[rows])[order]
        first = last
    for column in moved.values():
        column.flush()


def _draws(visitor: npt.NDArray[np.int64], *columns: npt.NDArray[np.integer]) -> Draws:
    """(E,) numbers as good as random, made of what an event is."""
    mixed = _mixed(visitor.astype(np.uint64))
    for column in columns:
        mixed = _mixed(mixed ^ column.astype(np.uint64))
    return mixed


def _mixed(number: Draws) -> Draws:
    """Each number through the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    number = number + np.uint64(0x9E3779B97F4A7C15)
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))
