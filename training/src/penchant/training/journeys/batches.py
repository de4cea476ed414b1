"""Batches of journeys, cut straight from the jagged columns: no Python for a single journey.

Every event of the training part is a target once an epoch, the first of a journey included: what
comes before it is nothing, and that is what a visitor without a history looks like. Journeys longer
than the window are cut at places that change with the epoch. Windows of like length go together,
so that a batch is nearly free of padding.

Letters: V visitors, R windows, B windows of a batch, W slots, P profile events.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penchant.training.journeys.event_columns import EventColumns, at
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.targets import Places

MONDAY_S: Final = 4 * 86_400
"""Seconds from 1970-01-01, a Thursday, to the first Monday after."""
LENGTH_JITTER: Final = 0.1
"""Lengths are sorted after a change of up to this share, so that no two epochs batch alike."""


class JourneyBatch(NamedTuple):
    """Windows with the event after each of their events: slot w knows what came up to it."""

    profile: Tensor
    """INT32 (B, P) item codes of the events before the window; 0 is padding."""
    item: Tensor
    """INT32 (B, W) item codes."""
    action: Tensor
    """INT32 (B, W) action codes; 0 is padding, also before a journey's first event."""
    channel: Tensor
    """INT32 (B, W) channel codes."""
    age: Tensor
    """FP32 (B, W) seconds before the last target; 0 where padded."""
    now_hour: Tensor
    """FP32 (B, 1) hour of the week of the last target; -1 without a clock."""
    next_item: Tensor
    """INT32 (B, W) item code of the target; 0 where there is no target."""
    next_action: Tensor
    """INT32 (B, W) action code of the target; 0 where there is no target."""
    next_channel: Tensor
    """INT32 (B, W) channel code of the target, where it begins a visit or there is no clock."""
    next_hour: Tensor
    """INT32 (B, W) hour of the week in which the target begins a visit; -1 where it does not."""
    purchase: Tensor
    """FP32 (B, W) whether a purchase follows in the session of the slot's event; NaN unknown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Targets of R windows: rows ``start`` up to ``stop`` of one visitor's columns."""

    start: Places
    """(R,) row of the first target."""
    stop: Places
    """(R,) row behind the last target."""
    begin: Places
    """(R,) row of the visitor's first event."""

    def __len__(self) -> int:
        """R."""
        return len(self.start)

    def take(self, index: Places) -> Windows:
        """Some of the windows."""
        return Windows(start=self.start[index], stop=self.stop[index], begin=self.begin[index])


def cut_windows(
    begin: Places, stop: Places, length: int, rng: np.random.Generator | None
) -> Windows:
    """Cut journeys into windows of at most `length` targets, each target in one of them.

    Args:
        begin: (V,) row of each visitor's first event.
        stop: (V,) row behind each visitor's last training event.
        length: Most targets of a window.
        rng: Where the cuts are moved at random; None leaves the newest window whole.
    """
    total = stop - begin
    long = total > length
    last = np.where(long, length, total)
    if rng is not None:
        last = np.where(long, rng.integers((length + 1) // 2, length + 1, len(total)), total)
    count = np.where(total > 0, 1 + -(-(total - last) // length), 0)
    visitor = np.repeat(np.arange(len(total)), count)
    number = np.arange(len(visitor)) - np.repeat(np.cumsum(count) - count, count)
    behind = stop[visitor] - np.where(number > 0, last[visitor] + (number - 1) * length, 0)
    size = np.where(number > 0, length, last[visitor])
    start = np.maximum(behind - size, begin[visitor])
    return Windows(start=start, stop=behind, begin=begin[visitor])


def group_windows(
    windows: Windows, *, num_events: int, rng: np.random.Generator | None, least: int = 1
) -> list[Places]:
    """Windows that make a batch each: of like length, about `num_events` slots together.

    Args:
        windows: What to batch.
        num_events: Slots of a batch, padding included.
        rng: Where the order comes from; None for the order of lengths.
        least: Fewest windows of a batch: a smaller one joins the one before.
    """
    length = (windows.stop - windows.start).astype(np.float64)
    if rng is not None:
        length *= 1.0 + LENGTH_JITTER * rng.uniform(-1.0, 1.0, len(length))
    order = np.argsort(length, kind="stable")
    slots = np.cumsum((windows.stop - windows.start)[order])
    batch = (slots - 1) // num_events
    groups = _at_least(least, np.split(order, np.flatnonzero(np.diff(batch)) + 1))
    if rng is not None:
        groups = [groups[at] for at in rng.permutation(len(groups))]
    return [group for group in groups if len(group)]


def _at_least(least: int, groups: list[Places]) -> list[Places]:
    """Groups of at least so many windows, where there are as many at all."""
    joined: list[Places] = []
    for group in groups:
        if joined and min(len(group), len(joined[-1])) < least:
            joined[-1] = np.concatenate([joined[-1], group])
        else:
            joined.append(group)
    return joined


@dataclass(frozen=True, kw_only=True, eq=False)
class JourneyBatches:
    """Cuts batches out of journeys."""

    journeys: Journeys
    """Where events are."""
    stop: Places
    """(V,) row behind each visitor's last event that may be learnt from."""
    window: int
    """W: most slots of a batch."""
    profile: int
    """P: events before the window."""
    purchase_actions: tuple[int, ...] = ()
    """Codes of the actions that are purchases."""

    def epoch(
        self, *, num_events: int, rng: np.random.Generator, least: int = 1
    ) -> tuple[Windows, list[Places]]:
        """Windows of one pass over the events, and which of them make a batch."""
        windows = cut_windows(self.journeys.offsets[:-1], self.stop, self.window, rng)
        return windows, group_windows(windows, num_events=num_events, rng=rng, least=least)

    def batch(self, windows: Windows, columns: EventColumns | None = None) -> JourneyBatch:
        """Cut one batch; W is the most targets that one of its windows has.

        Args:
            windows: What to cut.
            columns: :attr:`columns` on the device where the batch is wanted; the CPU when None.
        """
        columns = self.columns if columns is None else columns
        size = int((windows.stop - windows.start).max())
        start, stop, begin = columns.places(windows.start, windows.stop, windows.begin)
        row = stop + torch.arange(-size, 0, device=start.device)  # (B, W) of the targets
        is_target = row >= start
        row = torch.where(is_target, row, start)
        before = row - 1
        is_event = is_target & (before >= begin)
        before = torch.where(is_event, before, row)
        age = (at(columns.time_s, stop - 1) - at(columns.time_s, before)) * is_event
        opens = is_target & at(columns.opens_visit, row)
        return JourneyBatch(
            profile=self._older(windows, columns),
            item=at(columns.item, before) * is_event,
            action=_code(at(columns.action, before) * is_event),
            channel=_code(at(columns.channel, before) * is_event),
            age=age.to(torch.float32),
            now_hour=at(columns.hour, stop - 1),
            next_item=at(columns.item, row) * is_target,
            next_action=_code(at(columns.action, row) * is_target),
            next_channel=_code(at(columns.channel, row) * opens),
            next_hour=_code(torch.where(opens, at(columns.hour, row).floor(), -1)),
            purchase=torch.where(is_event, at(columns.purchase_follows, before), torch.nan),
        )

    def _older(self, windows: Windows, columns: EventColumns) -> Tensor:
        """(B, P) items of the events before the window's first, which is one before its target."""
        most = (windows.start - 1 - windows.begin).max(initial=0)
        some = int(min(self.profile, max(0, most)))
        start, begin = columns.places(windows.start, windows.begin)
        row = start - 1 + torch.arange(-some, 0, device=start.device)
        there = row >= begin
        return at(columns.item, torch.where(there, row, 0)) * there

    @cached_property
    def columns(self) -> EventColumns:
        """What batches are gathered from, on the CPU: the journeys' own memory and more."""
        journeys = self.journeys
        return EventColumns.of(
            item=journeys.item,
            action=journeys.action,
            channel=journeys.channel,
            time_s=journeys.time_s,
            hour=self.hour,
            opens_visit=self.opens_visit,
            purchase_follows=self.purchase_follows,
        )

    @cached_property
    def hour(self) -> npt.NDArray[np.float32]:
        """(E,) hour of the week, with fractions; -1 without a clock."""
        if not self.journeys.has_clock:
            return np.full(self.journeys.num_events, -1, np.float32)
        return hours_of_week(self.journeys.time_s, self.journeys.timezone)

    @cached_property
    def opens_visit(self) -> npt.NDArray[np.bool_]:
        """(E,) whether the event begins a session; without a clock each counts as if it did."""
        if not self.journeys.has_clock:
            return np.ones(self.journeys.num_events, np.bool_)
        opens: npt.NDArray[np.bool_] = np.diff(self.journeys.session, prepend=-1) != 0
        starts = self.journeys.offsets[:-1]
        opens[starts[starts < len(opens)]] = True
        return opens

    @cached_property
    def purchase_follows(self) -> npt.NDArray[np.float32]:
        """(E,) 1 where a later event of the session is a purchase that may be learnt from.

        NaN where nothing says which actions are purchases, or the session goes on after `stop`.
        """
        total = self.journeys.num_events
        if not self.purchase_actions:
            return np.full(total, np.nan, np.float32)
        row = np.arange(total)
        bought = np.isin(self.journeys.action, self.purchase_actions)
        visitor = np.repeat(np.arange(len(self.journeys)), self.journeys.lengths)
        bought &= row < self.stop[visitor]
        changes = np.diff(self.journeys.session) != 0
        changes |= np.diff(visitor) != 0
        ends = np.flatnonzero(np.append(changes, True))  # last row of each session
        end = ends[np.searchsorted(ends, row)]
        after = np.cumsum(bought)
        follows = (after[end] > after[row]).astype(np.float32)
        follows[(end >= self.stop[visitor]) & (follows == 0)] = np.nan
        return follows


def hours_of_week(time_s: npt.NDArray[np.int64], timezone: str) -> npt.NDArray[np.float32]:
    """Hours since Monday 00:00 in a zone, with fractions, of seconds since 1970 UTC."""
    offset = np.zeros(len(time_s), np.int64)
    if timezone != "UTC":
        offset = _utc_offsets(np.asarray(time_s), timezone)
    return (((time_s + offset - MONDAY_S) % (7 * 86_400)) / 3600).astype(np.float32)


def _utc_offsets(time_s: Places, timezone: str) -> Places:
    """(E,) seconds that the zone is ahead of UTC, looked up once for each hour that occurs."""
    from datetime import datetime
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(timezone)
    hour, place = np.unique(time_s // 3600, return_inverse=True)
    ahead = []
    for each in hour.tolist():
        gap = datetime.fromtimestamp(each * 3600, zone).utcoffset()
        ahead.append(int(gap.total_seconds()) if gap else 0)
    return np.array(ahead, np.int64)[place]


def _code(values: Tensor) -> Tensor:
    return values.to(torch.int32)
