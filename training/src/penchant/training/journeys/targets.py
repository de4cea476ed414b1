"""Events to be predicted, and what came before each of them.

Letters: T targets, B targets at a time, L events of a history, V visitors, N item codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.journeys import Journeys

Places = npt.NDArray[np.int64]
HISTORY_CELLS = 4_000_000
"""Most events of histories that are looked at together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """Events to be predicted; the history of each is every earlier event of its visitor."""

    visitor: Places
    """(T,) place of the visitor in the journeys."""
    position: Places
    """(T,) place of the event in the visitor's journey: how many events came before it."""

    def __len__(self) -> int:
        """T."""
        return len(self.visitor)

    def take(self, which: npt.NDArray[np.bool_] | Places | slice) -> Targets:
        """Some of the targets, by mask, places or slice."""
        return Targets(visitor=self.visitor[which], position=self.position[which])

    def rows(self, journeys: Journeys) -> Places:
        """(T,) rows of the events in the columns of the journeys."""
        return journeys.offsets[self.visitor] + self.position

    def chunks(self, size: int) -> Iterator[Targets]:
        """The targets in their order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))

    def history_chunks(self, cells: int = HISTORY_CELLS) -> Iterator[tuple[slice, Targets]]:
        """The targets in their order, as many at a time as have about `cells` events before."""
        block = np.cumsum(self.position) // cells
        starts = np.flatnonzero(np.diff(block, prepend=-1)).tolist()
        for start, stop in pairwise([*starts, len(self)]):
            part = slice(start, stop)
            yield part, self.take(part)


def targets_of(journeys: Journeys, mask: npt.NDArray[np.bool_]) -> Targets:
    """Targets at the rows where `mask` (E,) is true, in the order of the rows."""
    rows = np.flatnonzero(mask)
    visitor = np.searchsorted(journeys.offsets, rows, side="right") - 1
    return Targets(visitor=visitor, position=rows - journeys.offsets[visitor])


def earlier_events(journeys: Journeys, targets: Targets) -> tuple[Places, Places]:
    """Every event before each target, as pairs (place among the targets, row in the columns)."""
    which = np.repeat(np.arange(len(targets)), targets.position)
    first = np.cumsum(targets.position) - targets.position
    start = np.asarray(journeys.offsets[targets.visitor])
    return which, np.arange(len(which)) + np.repeat(start - first, targets.position)


def met_items(journeys: Journeys, targets: Targets) -> tuple[Places, npt.NDArray[np.int32]]:
    """Items met before each target, as pairs (place among the targets, item code)."""
    which, row = earlier_events(journeys, targets)
    code = np.asarray(journeys.item[row])
    known = code >= FIRST_CODE
    return which[known], code[known]


def is_repeat(journeys: Journeys, targets: Targets) -> npt.NDArray[np.bool_]:
    """(T,) whether the visitor had met the target's item before."""
    found = np.zeros(len(targets), np.bool_)
    for part, some in targets.history_chunks():
        which, code = met_items(journeys, some)
        same = code == np.asarray(journeys.item[some.rows(journeys)])[which]
        found[part] = np.bincount(which[same], minlength=len(some)) > 0
    return found


def begins_visit(journeys: Journeys, targets: Targets) -> npt.NDArray[np.bool_]:
    """(T,) whether the target is the first event of its session, in a log with a clock."""
    rows = targets.rows(journeys)
    session = np.asarray(journeys.session)
    earlier = session[rows - np.minimum(targets.position, 1)]
    begins: npt.NDArray[np.bool_] = (targets.position == 0) | (session[rows] != earlier)
    return begins


def last_of_each(targets: Targets, among: Targets) -> npt.NDArray[np.bool_]:
    """(T,) whether the target is its visitor's last one `among` others, itself one of them."""
    last = np.zeros(int(among.visitor.max(initial=-1)) + 1, np.int64)
    np.maximum.at(last, among.visitor, among.position)
    return np.equal(targets.position, last[targets.visitor])


def sample_of(targets: Targets, most: int, *, seed: int) -> Targets:
    """At most so many of the targets, drawn without repeating any, in their order."""
    if len(targets) <= most:
        return targets
    drawn = np.random.default_rng(seed).choice(len(targets), most, replace=False)
    return targets.take(np.sort(drawn))


@dataclass(frozen=True, kw_only=True, eq=False)
class Histories:
    """The newest events before each of B targets, newest last, padded in front with 0."""

    item: npt.NDArray[np.int32]
    """(B, L) item codes; 0 also for an event without an item."""
    action: npt.NDArray[np.uint8]
    """(B, L) action codes; 0 is padding."""
    age_s: npt.NDArray[np.float32]
    """(B, L) seconds from the event to the target; 0 where padded or without a clock."""


def histories(journeys: Journeys, targets: Targets, length: int) -> Histories:
    """The newest `length` events before each target."""
    back = np.arange(length, 0, -1)
    place = targets.position[:, None] - back
    there = place >= 0
    now = targets.rows(journeys)
    row = np.where(there, now[:, None] - back, 0)
    age = np.asarray(journeys.time_s[now])[:, None] - np.asarray(journeys.time_s[row])
    return Histories(
        item=np.where(there, journeys.item[row], 0).astype(np.int32),
        action=np.where(there, journeys.action[row], 0).astype(np.uint8),
        age_s=np.where(there & journeys.has_clock, age, 0).astype(np.float32),
    )
