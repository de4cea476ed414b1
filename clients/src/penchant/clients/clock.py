"""Moments as seconds since 1970, and hours of the week, which run from Monday 00:00.

Letters: E events, B visitors.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from numbers import Real
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from penchant.clients.contract import is_missing
from penchant.clients.errors import InvalidRows
from penchant.clients.values import shown

MOST_S: Final = 1e11
"""Seconds from which a number is no moment in seconds, about the year 5138."""
LEAST_S: Final = -62_135_000_000.0
"""The first days of the year 1, before which a calendar has no hours of the week."""
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_STEP_S: Final = 900
"""Offsets of zones change on quarters of an hour."""
_EPOCH: Final = datetime(1970, 1, 1)

Place = Callable[[int], str]
"""Says where a value stands, for messages."""


def open_zone(name: str) -> tzinfo:
    """The zone of that name, as in Europe/London.

    Raises:
        ValueError: if this machine knows none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"timezone: this machine knows no zone {name!r}; install its zones (the system's "
            "tzdata, or: pip install tzdata)"
        ) from error


def moments_s(values: npt.NDArray[Any], zone: tzinfo, place: Place) -> npt.NDArray[np.float64]:
    """Times as seconds since 1970 UTC, (E,), NaN where missing.

    Args:
        values: (E,) ``datetime64``, numbers (seconds since 1970), or objects that are either or
            ``datetime``; a time that names no zone is one of ``zone``.
        zone: as above.
        place: says where a value stands.

    Raises:
        InvalidRows: a value that is no time, or beyond the year 5138, as milliseconds are and times
            that stand for "never".
    """
    if values.dtype.kind == "M":
        result = _from_wall(values, zone)
    else:
        result = plain_numbers(
            values, place, "a datetime or seconds since 1970", lambda value: _moment_s(value, zone)
        )
    too_large = np.flatnonzero((result > MOST_S) | (result < LEAST_S))
    if len(too_large):
        at = int(too_large[0])
        raise InvalidRows(
            f"{place(at)}: expected a time from the year 2 to 5138, got {_far(values[at])}"
        )
    return result


def _far(value: Any) -> str:
    """A time that is out of range, and what it may come from."""
    if isinstance(value, datetime | np.datetime64):
        return f"{value.isoformat() if isinstance(value, datetime) else value}; leave it out"
    return f"{shown(value)} seconds since 1970; divide milliseconds by 1000"


def ages_s(values: npt.NDArray[Any], place: Place) -> npt.NDArray[np.float64]:
    """Ages in seconds, (E,), NaN where missing; ``timedelta`` is taken, too.

    Raises:
        InvalidRows: a value that is no number.
    """
    if values.dtype.kind == "m":
        seconds: npt.NDArray[np.float64] = values / np.timedelta64(1, "s")
        return seconds
    return plain_numbers(values, place, "seconds as a number", _span_s)


def plain_numbers(
    values: npt.NDArray[Any], place: Place, expected: str, other: Callable[[Any], float | None]
) -> npt.NDArray[np.float64]:
    """Numbers as float64, (E,), NaN where missing; what is none is left to ``other``."""
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    flat = values.tolist()
    if set(map(type, flat)) <= {float, type(None)}:
        return np.array([np.nan if value is None else float(value) for value in flat])
    result = np.empty(len(flat))
    for at, value in enumerate(flat):
        number = _number(value)
        if number is None:
            number = other(value)
        if number is None:
            raise InvalidRows(
                f"{place(at)}: expected {expected}, got {shown(value)} ({type(value).__name__}); "
                "convert it"
            )
        result[at] = number
    return result


def _number(value: Any) -> float | None:
    if is_missing(value):
        return np.nan
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_ | np.timedelta64)
    try:
        return float(value) if is_number else None
    except OverflowError:  # an integer of more than 308 digits
        return None


def _moment_s(value: Any, zone: tzinfo) -> float | None:
    if isinstance(value, datetime):
        try:
            return (value if value.tzinfo is not None else value.replace(tzinfo=zone)).timestamp()
        except OverflowError:  # the first and the last day that a datetime can have
            return np.inf
    if isinstance(value, np.datetime64):
        return float(_from_wall(np.array([value]), zone)[0])
    return None


def _span_s(value: Any) -> float | None:
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "s"))
    return value.total_seconds() if isinstance(value, timedelta) else None


def utc_seconds(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """``datetime64`` in UTC, (E,), as seconds since 1970, NaN where missing."""
    whole = values.astype("datetime64[s]")  # in microseconds the years from 292,279 on overflow
    seconds = whole.astype(np.int64) + (values - whole) / np.timedelta64(1, "s")
    return np.where(np.isnat(values), np.nan, seconds)


def _from_wall(values: npt.NDArray[Any], zone: tzinfo) -> npt.NDArray[np.float64]:
    """What a clock on a wall of that zone shows, as seconds since 1970 UTC."""
    seconds = utc_seconds(values)
    if zone is UTC:
        return seconds
    usable = np.abs(seconds) <= MOST_S  # not for NaN
    steps, inverse = np.unique(np.floor(seconds[usable] / _STEP_S), return_inverse=True)
    offsets = [
        (_EPOCH + timedelta(seconds=step * _STEP_S)).replace(tzinfo=zone).utcoffset()
        for step in steps.tolist()
    ]
    offset_s = np.array([each.total_seconds() if each else 0.0 for each in offsets])
    seconds[usable] -= offset_s[inverse]
    return seconds


def hours_of_week(times_s: npt.NDArray[np.float64], zone: tzinfo) -> npt.NDArray[np.float32]:
    """Whole hours since Monday 00:00 in that zone, from 0 to 167, (B,)."""
    steps, inverse = np.unique(np.floor(times_s / _STEP_S), return_inverse=True)
    hours = np.empty(len(steps), dtype=np.float32)
    for at, step in enumerate(steps.tolist()):
        local = datetime.fromtimestamp(step * _STEP_S, zone)
        hours[at] = 24 * local.weekday() + local.hour
    return hours[inverse]


def hour_name(hour: int) -> str:
    """An hour of the week as a reader has it, as in ``Mon 18:00``."""
    return f"{DAYS[hour // 24]} {hour % 24:02d}:00"
