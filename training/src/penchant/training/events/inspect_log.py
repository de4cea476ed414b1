"""A log's profile as text and tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from penchant.training.events.log_profile import KindProfile, LogProfile

_ODD_MIDNIGHT: Final = 0.2
_DAY_S: Final = 86_400


def render_log_profile(profile: LogProfile) -> RenderableType:
    """The profile as text and tables for a terminal."""
    counts = profile.counts
    lines: list[RenderableType] = [
        *(Text(f"{table}: {place}", overflow="fold") for table, place in profile.places.items()),
        Text(f"{counts.num_read:,} rows, {counts.num_kept:,} events after cleaning"),
    ]
    if counts.num_kept:
        lines += [Text(line) for line in (_span(profile), *_sizes(profile))]
        lines.append(_kinds("action", profile.actions, profile.more_actions, counts.num_kept))
        if profile.channels:
            shown, more = profile.channels, profile.more_channels
            lines.append(_kinds("channel", shown, more, counts.num_kept))
    lines.append(_rules(profile))
    lines += [Text(line, style="yellow") for line in _oddities(profile)]
    lines += [Text(line, style="bold red") for line in profile.problems]
    return Group(*lines)


def _span(profile: LogProfile) -> str:
    first, last = profile.first, profile.last
    assert first is not None
    assert last is not None
    if not profile.has_clock:
        return f"Order from {first:,} to {last:,}, no clock"
    zone = ZoneInfo(profile.timezone)
    begin, end = (
        datetime.fromtimestamp(second, zone).strftime("%Y-%m-%d %H:%M") for second in (first, last)
    )
    text = f"{begin} to {end} ({profile.timezone}), {(last - first) / _DAY_S:,.1f} days"
    if profile.longest_gap is None:
        return f"{text}, none without events"
    gap = profile.longest_gap
    return (
        f"{text}; {_number(profile.gap_days, 'day')} without events, at most {gap.days:,} in a "
        f"row, from {gap.first}"
    )


def _sizes(profile: LogProfile) -> Iterator[str]:
    visitors = profile.visitors
    yield (
        f"{_number(visitors, 'visitor')}, {profile.counts.num_kept / visitors:,.1f} events each, "
        f"at most {profile.most_events:,}; {profile.single:,} ({profile.single / visitors:.1%}) "
        "with one event only"
    )
    sizes = [_number(profile.items, "item")]
    if profile.orders:
        sizes.append(_number(profile.orders, "order"))
    if profile.sessions is not None:
        sizes.append(_number(profile.sessions, "session"))
    yield ", ".join(sizes)
    if profile.catalogue is not None:
        yield (
            f"{profile.catalogue:,} items in the item table; {profile.unknown_items:.2%} of the "
            "events with an item have one that is not in it"
        )


def _kinds(noun: str, kinds: tuple[KindProfile, ...], num_more: int, num_events: int) -> Grid:
    grid = Grid(noun, title=f"{noun.title()}s", title_justify="left", box=SIMPLE_HEAD)
    if num_more:
        grid.caption = f"and {num_more:,} more {noun}s"
        grid.caption_justify = "left"
    for name in ("events", "share", "visitors", "items"):
        grid.add_column(name, justify="right")
    for kind in kinds:
        grid.add_row(
            Text(kind.name or "(none)"),
            f"{kind.events:,}",
            f"{kind.events / num_events:.1%}",
            f"{kind.visitors:,}",
            f"{kind.items:,}",
        )
    return grid


def _rules(profile: LogProfile) -> Grid:
    grid = Grid("rule", "says", title="Cleaning", title_justify="left", box=SIMPLE_HEAD)
    for name in ("rows", "share"):
        grid.add_column(name, justify="right")
    for count in profile.counts.rules:
        share = count.rows / profile.counts.num_read if profile.counts.num_read else 0.0
        grid.add_row(
            count.rule,
            count.setting,
            f"{count.rows:,}",
            "" if count.rule == "duplicate_keys" else f"{share:.1%}",
            style="red" if count.rows and count.setting == "refuse" else None,
        )
    return grid


def _oddities(profile: LogProfile) -> Iterator[str]:
    clock = profile.clock
    if clock is not None:
        if clock.before_1990:
            yield (
                f"Clock: {_number(clock.before_1990, 'row')} before 1990; is events.time_unit "
                "right?"
            )
        if clock.midnight > _ODD_MIDNIGHT:
            yield (
                f"Clock: {clock.midnight:.1%} of the rows are exactly at midnight; the hour of "
                "such an event is not known"
            )
        if clock.backwards:
            yield (
                f"Clock: {_number(clock.backwards, 'row')} earlier than the one before; events are "
                "sorted by time when they are used"
            )
    for each in profile.ids:
        if each.missing:
            yield f"{each.name}: {each.missing:.1%} of the rows have none"
        if each.is_mixed:
            yield (
                f"{each.name}: text with whole numbers among it ({each.integers:.1%} of the ids); "
                "all are kept as text"
            )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + "s" * (count != 1)
