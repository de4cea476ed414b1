"""When an event happened: seconds since 1970 UTC, and the hour of the week in the log's zone.

All of it is plain arithmetic in Ibis, so that DuckDB and Spark give the same seconds: offsets of a
zone are written into the expression, not left to a server's own time zone tables.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import ibis
import ibis.expr.types as ir

from penchant.training.recipe_checks import nearest

WEEK_S: Final = 7 * 86_400
_MONDAY_S: Final = 4 * 86_400
"""1970-01-05, the first Monday."""
_DIVISORS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "order": 1}
_OFFSET: Final = r"(Z|[+-]\d\d:?\d\d)$"
_LARGEST: Final = 9e18
_LATEST_S: Final = 4_102_444_800
"""2100-01-01: zones are followed no further."""

Offsets = list[tuple[int, int]]
"""(from which second on, offset from UTC in seconds), oldest first."""


def check_zone(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        ValueError: There is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError) as error:
        from zoneinfo import available_timezones

        raise ValueError(
            f"events.timezone: expected a zone as in Europe/London, got {name!r}"
            f"{nearest(name, available_timezones())}"
        ) from error


def clock_seconds(column: ir.Value, unit: str) -> tuple[ir.Value, bool | ir.Value]:
    """Whole seconds (or the order) of a time column, and whether they count from 1970 UTC.

    Args:
        column: The user's time column.
        unit: `time_unit` of the recipe.

    Returns:
        Seconds (int64), null where they cannot be read, and True where they are UTC, False where
        they are what a clock in the log's zone showed.

    Raises:
        ValueError: The column's type does not go with the unit.
    """
    kind = column.type()
    if unit == "timestamp":
        if kind.is_timestamp():
            return _floor(column.epoch_seconds()), kind.timezone is not None
        if kind.is_date():
            return _floor(column.cast("timestamp").epoch_seconds()), False
        if kind.is_string():
            return _text_seconds(column)
    elif kind.is_numeric() or kind.is_string():
        number = column.try_cast("float64") if kind.is_string() else column
        if kind.is_integer():
            return (column.cast("int64") // _DIVISORS[unit]).cast("int64"), True
        number = number.cast("float64")
        number = (number.abs() < _LARGEST).ifelse(number, ibis.null("float64"))
        return _floor(number / _DIVISORS[unit]), True
    wanted = "a timestamp, date or text" if unit == "timestamp" else "numbers"
    other = "s, ms, us or order" if unit == "timestamp" else "timestamp"
    raise ValueError(
        f"events.time_unit: expected {wanted} in the time column '{column.get_name()}' with "
        f"time_unit {unit}, got {kind}; set events.time_unit to {other}"
    )


def zone_offsets(zone: ZoneInfo, low_s: int, high_s: int) -> Offsets:
    """Offsets of a zone between two seconds since 1970 UTC, with the second each begins."""
    low, high = (min(max(second, 0), _LATEST_S) for second in (low_s - 2 * 86_400, high_s))
    offsets = [(low, _offset_at(zone, low))]
    while low <= high:
        later = low + WEEK_S
        while _offset_at(zone, later) != offsets[-1][1] and low < later:
            first, last = low, later
            while last - first > 1:
                middle = (first + last) // 2
                same = _offset_at(zone, middle) == offsets[-1][1]
                first, last = (middle, last) if same else (first, middle)
            offsets.append((last, _offset_at(zone, last)))
            low = last
        low = later
    return offsets


def utc_seconds(local: ir.Value, offsets: Offsets) -> ir.Value:
    """Seconds since 1970 UTC of what a clock in the zone showed.

    An hour that a clock shows twice is the first of the two, as in Python.
    """
    before = [offset for _, offset in offsets[:-1]]
    starts = [
        (start + max(old, new), new) for (start, new), old in zip(offsets[1:], before, strict=True)
    ]
    return (local - _piecewise(local, [offsets[0], *starts])).cast("int64")


def local_seconds(time_s: ir.Value, offsets: Offsets) -> ir.Value:
    """What a clock in the zone showed, as seconds since its own 1970."""
    return time_s + _piecewise(time_s, offsets)


def hour_of_week(time_s: ir.Value, offsets: Offsets) -> ir.Value:
    """Hour 0 to 167 (int32) since Monday 00:00 in the zone."""
    local = local_seconds(time_s, offsets)
    return (((local - _MONDAY_S) % WEEK_S + WEEK_S) % WEEK_S // 3600).cast("int32")


def _piecewise(seconds: ir.Value, offsets: Offsets) -> Any:
    """The offset in force, as a tree of comparisons."""
    if len(offsets) == 1:
        return ibis.literal(offsets[0][1], type="int64")
    middle = len(offsets) // 2
    return (seconds < offsets[middle][0]).ifelse(
        _piecewise(seconds, offsets[:middle]), _piecewise(seconds, offsets[middle:])
    )


def _text_seconds(column: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Seconds of text in ISO form, which may end in Z or an offset as in +02:00."""
    text = column.strip()
    is_utc = text.re_search(r"\d\d:\d\d.*" + _OFFSET)
    plain = is_utc.ifelse(text.re_replace(_OFFSET, ""), text)
    seconds = _floor(plain.strip().try_cast("timestamp").epoch_seconds())
    digits = text.right(6).re_replace(r"[^0-9+-]", "").right(5)
    has_offset = is_utc & digits.re_search(r"^[+-]\d\d\d\d$")
    minutes = digits.substr(1, 2).try_cast("int64") * 60 + digits.substr(3, 2).try_cast("int64")
    sign = (digits.substr(0, 1) == "-").ifelse(-1, 1)
    shift = has_offset.ifelse(sign * minutes * 60, 0)
    return (seconds - shift).cast("int64"), is_utc


def _floor(number: ir.Value) -> ir.Value:
    # DuckDB's seconds are a float, whatever Ibis says, and its cast rounds.
    return number.cast("float64").floor().cast("int64")


def _offset_at(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
