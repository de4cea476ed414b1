"""Drawing many things at once.

Letters: N draws, G lists, M values of all lists together, C choices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightedLists:
    """G lists of values with weights, from any of which a draw is one binary search."""

    values: Ints
    """Values of all lists, one list after the other (M,)."""
    cumulative: Floats
    """Number of the list plus the share of its values up to this one (M,)."""
    last: Ints
    """Place of the last value of each list (G,)."""

    @classmethod
    def of(cls, lists: Iterable[tuple[Ints, Floats]]) -> WeightedLists:
        """From the values and the weights of each list; weights need not sum to one."""
        every = list(lists)
        shares = [np.cumsum(weights) / weights.sum() for _, weights in every]
        return cls(
            values=np.concatenate([values for values, _ in every]),
            cumulative=np.concatenate([number + share for number, share in enumerate(shares)]),
            last=np.cumsum([len(values) for values, _ in every]) - 1,
        )

    def draw(self, of: Ints, rng: np.random.Generator) -> Ints:
        """One value from each of the lists `of` (N,)."""
        bar = of + rng.random(len(of))
        place: Ints = np.searchsorted(self.cumulative, bar, side="right")
        # The sum of a list's number and a draw close to 1 may round up into the next list.
        drawn: Ints = self.values[np.minimum(place, self.last[of])]
        return drawn


def choices(weights: Floats) -> WeightedLists:
    """Lists of the numbers 0 to C - 1, with `weights` (G, C)."""
    return WeightedLists.of((np.arange(weights.shape[1]), row) for row in weights)


def draw_each(weights: Floats, rng: np.random.Generator) -> Ints:
    """For each row of `weights` (N, C) a choice 0 to C - 1, likelier where the weight is high."""
    cumulative = np.cumsum(weights, axis=1)
    bar = rng.random(len(weights)) * cumulative[:, -1]
    passed = (cumulative <= bar[:, None]).sum(axis=1)
    drawn: Ints = np.minimum(passed, weights.shape[1] - 1)
    return drawn


def happens(chance: Floats | float, count: int, rng: np.random.Generator) -> Flags:
    """Whether each of `count` things of a given chance happens (N,)."""
    return np.less(rng.random(count), chance)


def repeat_last(flags: Flags) -> Ints:
    """For each place the last place at or before it whose flag is up; the first must be (N,)."""
    return np.maximum.accumulate(np.where(flags, np.arange(len(flags)), 0))


def rank_within(group: Ints) -> Ints:
    """Place of each row among the rows of its group, from 0; groups stand together (N,)."""
    place = np.arange(len(group))
    return place - repeat_last(starts(group)) if len(group) else place


def starts(group: Ints) -> Flags:
    """Whether a row is the first of its group; groups stand together (N,)."""
    return np.not_equal(np.diff(group, prepend=-1), 0)
