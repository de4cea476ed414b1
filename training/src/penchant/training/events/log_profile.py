"""What an event log holds, in numbers: span, actions, visitors, gaps, odd clocks, wrong rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final

import ibis
import ibis.expr.types as ir

from penchant.training.events.cleaning import CleaningCounts
from penchant.training.events.clock import local_seconds
from penchant.training.events.event_log import StagedLog, stage_log
from penchant.training.events.log_recipe import LogRecipe
from penchant.training.events.log_tables import open_tables
from penchant.training.events.refusal import check_left, refuse_first
from penchant.training.events.sessions import with_sessions

_DAY_S: Final = 86_400
_YEAR_1990_S: Final = 631_152_000
_MOST_KINDS: Final = 20
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class KindProfile:
    """One action or channel."""

    name: str
    """What it is called; "" for events that have none."""
    events: int
    """Events of it."""
    visitors: int
    """Visitors with one."""
    items: int
    """Different items."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Days in a row without an event."""

    first: date
    """The first of them."""
    days: int
    """How many."""


@dataclass(frozen=True, kw_only=True)
class ClockProfile:
    """Of all rows that were read, cleaned or not: what is odd about their times."""

    before_1990: int
    """Rows earlier than 1990."""
    midnight: float
    """Share of rows exactly at midnight in the log's zone, in [0, 1]; 1: times are days."""
    backwards: int | None
    """Rows earlier than the row before them; None where rows have no order of their own."""


@dataclass(frozen=True, kw_only=True)
class IdProfile:
    """Of all rows that were read: one kind of id."""

    name: str
    """visitor_id or item_id."""
    kind: str
    """int64 or string."""
    missing: float
    """Share of rows without one, in [0, 1]."""
    integers: float
    """Share of the text ids that are whole numbers, in [0, 1]; 0 where ids are integers."""

    @property
    def is_mixed(self) -> bool:
        """Whether whole numbers are among other text."""
        return 0 < self.integers < 1


@dataclass(frozen=True, kw_only=True)
class LogProfile:
    """All that `penchant inspect data` shows of a log; but for clock and ids, after cleaning."""

    name: str
    """The log's name."""
    places: dict[str, str]
    """Table to where it is."""
    timezone: str
    """Zone in which days and hours are told."""
    counts: CleaningCounts
    """What each cleaning rule found."""
    problems: tuple[str, ...]
    """Why the log would be refused."""
    first: int | None
    """Seconds since 1970 UTC (or the order) of the oldest event; None where none is left."""
    last: int | None
    """The same of the newest."""
    visitors: int
    """Different visitors."""
    single: int
    """Visitors with one event only."""
    most_events: int
    """Events of the busiest visitor."""
    items: int
    """Different items."""
    orders: int
    """Different orders."""
    sessions: int | None
    """Sessions; None without a clock."""
    actions: tuple[KindProfile, ...]
    """By action, the most frequent first, at most 20."""
    more_actions: int
    """Actions beyond those."""
    channels: tuple[KindProfile, ...]
    """By channel, the most frequent first, at most 20; empty where the log knows none."""
    more_channels: int
    """Channels beyond those."""
    gap_days: int
    """Days without an event between the first and the last."""
    longest_gap: Gap | None
    """The longest of the gaps."""
    clock: ClockProfile | None
    """What is odd about times; None without a clock."""
    ids: tuple[IdProfile, ...]
    """Visitor and item ids."""
    unknown_items: float
    """Share of the events with an item whose item is not in the item table; 0 without one."""
    catalogue: int | None
    """Items of the item table."""

    @property
    def has_clock(self) -> bool:
        """Whether times are seconds."""
        return self.clock is not None


def profile_log(recipe: LogRecipe, *, now_s: int | None = None) -> LogProfile:
    """Read the tables of a log and measure them; what would be refused is told, not raised.

    Args:
        recipe: Where the tables are and what they mean.
        now_s: Now, in seconds since 1970 UTC; the clock's when None.

    Raises:
        ValueError: A table cannot be opened, or a column is of another kind than the recipe says.
    """
    log = stage_log(recipe, open_tables(recipe), now_s=now_s)
    problems = _problems(log)
    events = log.events
    gap_minutes = None if log.offsets is None else recipe.session_gap_minutes
    visitors = _visitors(events, gap_minutes)
    gap_days, longest = _gaps(events, log)
    known = log.items.count().to_pyarrow().as_py() if log.items is not None else None
    has_channels = recipe.events.columns.channel is not None
    totals = (
        events.aggregate(
            first=events.time_s.min(),
            last=events.time_s.max(),
            items=events.item_id.nunique(),
            orders=events.order_id.nunique(),
            with_item=events.item_id.count(),
        )
        .to_pyarrow()
        .to_pylist()[0]
    )
    with_item = totals.pop("with_item")
    actions, more_actions = _kinds(events, "action")
    channels, more_channels = _kinds(events, "channel") if has_channels else ((), 0)
    return LogProfile(
        name=recipe.name,
        places=log.tables.places,
        timezone=recipe.events.timezone,
        counts=log.counts,
        problems=problems,
        **totals,
        **visitors,
        actions=actions,
        more_actions=more_actions,
        channels=channels,
        more_channels=more_channels,
        gap_days=gap_days,
        longest_gap=longest,
        clock=_clock(log),
        ids=_ids(log),
        unknown_items=_unknown_items(log, events) / with_item if with_item else 0.0,
        catalogue=known,
    )


def _problems(log: StagedLog) -> tuple[str, ...]:
    problems = []
    for count in log.counts.refused:
        try:
            refuse_first(log, count)
        except ValueError as error:  # to be shown beside what was found, not instead of it
            problems.append(str(error))
    try:
        check_left(log)
    except ValueError as error:
        problems.append(str(error))
    return tuple(problems)


def _visitors(events: ir.Table, gap_minutes: float | None) -> dict[str, Any]:
    numbered = with_sessions(events, gap_minutes)
    each = numbered.group_by("visitor_id").aggregate(
        events=numbered.count(), sessions=numbered.session.max() + 1
    )
    found = each.aggregate(
        visitors=each.count(),
        single=(each.events == 1).sum(),
        most_events=each.events.max(),
        sessions=each.sessions.sum(),
    )
    counted = {name: int(n or 0) for name, n in found.to_pyarrow().to_pylist()[0].items()}
    return {**counted, "sessions": None if gap_minutes is None else counted["sessions"]}


def _kinds(events: ir.Table, column: str) -> tuple[tuple[KindProfile, ...], int]:
    """The most frequent ones, and how many there are beyond those."""
    grouped = events.group_by(name=events[column].fill_null("")).aggregate(
        events=events.count(), visitors=events.visitor_id.nunique(), items=events.item_id.nunique()
    )
    counted = grouped.mutate(kinds=grouped.count().over(ibis.window()))
    rows = counted.order_by(ibis.desc("events"), "name").limit(_MOST_KINDS).to_pyarrow().to_pylist()
    totals = [row.pop("kinds") for row in rows]
    return tuple(KindProfile(**row) for row in rows), max(totals, default=0) - len(rows)


def _gaps(events: ir.Table, log: StagedLog) -> tuple[int, Gap | None]:
    if log.offsets is None:
        return 0, None
    day = (local_seconds(events.time_s, log.offsets) // _DAY_S).cast("int64")
    days = events.select(day=day).distinct().order_by("day").to_pyarrow()["day"].to_pylist()
    gaps = [
        Gap(first=_EPOCH + timedelta(days=before + 1), days=after - before - 1)
        for before, after in pairwise(days)
        if after - before > 1
    ]
    return sum(gap.days for gap in gaps), max(gaps, key=lambda gap: gap.days, default=None)


def _clock(log: StagedLog) -> ClockProfile | None:
    if log.offsets is None:
        return None
    events, ordered = log.mapped(log.tables.events), log.tables.ordered
    earlier: Any = events.time_s < events.time_s.lag() if ordered else ibis.literal(False)
    local = local_seconds(events.time_s, log.offsets)
    rows = events.select(
        old=events.time_s < _YEAR_1990_S, midnight=local % _DAY_S == 0, earlier=earlier
    )
    found = rows.aggregate(
        old=rows.old.sum(), midnight=rows.midnight.mean(), earlier=rows.earlier.sum()
    )
    values = found.to_pyarrow().to_pylist()[0]
    return ClockProfile(
        before_1990=int(values["old"] or 0),
        midnight=float(values["midnight"] or 0.0),
        backwards=int(values["earlier"] or 0) if ordered else None,
    )


def _ids(log: StagedLog) -> tuple[IdProfile, ...]:
    rows = log.mapped(log.tables.events)
    names = ["visitor_id", *(["item_id"] if log.recipe.events.columns.item_id else [])]
    sums = {}
    for name in names:
        text = rows[name].cast("string")
        sums[f"{name}_given"] = rows[name].count()
        sums[f"{name}_integers"] = text.re_search(r"^[+-]?\d+$").sum()
    found = rows.aggregate(rows=rows.count(), **sums).to_pyarrow().to_pylist()[0]
    profiles = []
    for name in names:
        given = found[f"{name}_given"]
        is_text = rows[name].type().is_string()
        profiles.append(
            IdProfile(
                name=name,
                kind=str(rows[name].type()),
                missing=1 - given / found["rows"] if found["rows"] else 0.0,
                integers=(found[f"{name}_integers"] or 0) / given if given and is_text else 0.0,
            )
        )
    return tuple(profiles)


def _unknown_items(log: StagedLog, events: ir.Table) -> int:
    if log.items is None or log.recipe.events.columns.item_id is None:
        return 0
    return int(events.anti_join(log.items, "item_id").item_id.count().to_pyarrow().as_py())
