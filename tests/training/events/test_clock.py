"""Seconds and hours of the week, against Python's own time zones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pyarrow as pa
import pytest

from penchant.training.events.clock import (
    check_zone,
    clock_seconds,
    hour_of_week,
    utc_seconds,
    zone_offsets,
)

ZONES = ("Europe/London", "Asia/Tehran", "Australia/Lord_Howe", "Africa/Casablanca", "UTC")
LOW, HIGH = 1_262_304_000, 1_767_225_600  # 2010 to 2026


def moments() -> list[int]:
    """Random seconds, and those around each change of Casablanca's and London's clocks."""
    random = [int(second) for second in np.random.default_rng(0).integers(LOW, HIGH, 2_000)]
    changes = [
        start
        for name in ZONES
        for start, _ in zone_offsets(ZoneInfo(name), LOW, HIGH)[1:]
        if start <= HIGH
    ]
    steps = (-3601, -3600, -1801, -1, 0, 1, 1799, 1800, 3599, 3600)
    return random + [change + step for change in changes for step in steps]


def answers(expression: Any) -> list[Any]:
    found: list[Any] = expression.to_pyarrow().to_pylist()
    return found


@pytest.mark.parametrize("name", ZONES)
def test_hours_of_the_week_are_those_of_the_zone(name: str) -> None:
    zone, seconds = ZoneInfo(name), moments()
    rows = ibis.memtable(pa.table({"s": seconds}))
    found = answers(hour_of_week(rows.s, zone_offsets(zone, min(seconds), max(seconds))))
    wanted = []
    for second in seconds:
        local = datetime.fromtimestamp(second, zone)
        wanted.append(local.weekday() * 24 + local.hour)
    assert found == wanted


@pytest.mark.parametrize("name", ZONES)
def test_local_times_become_utc_as_in_python(name: str) -> None:
    zone, seconds = ZoneInfo(name), moments()
    rows = ibis.memtable(pa.table({"s": seconds}))  # read as what a clock in the zone showed
    found = answers(utc_seconds(rows.s, zone_offsets(zone, min(seconds), max(seconds))))
    wanted = [
        int(datetime.fromtimestamp(second, UTC).replace(tzinfo=zone).timestamp())
        for second in seconds
    ]
    assert found == wanted


@pytest.mark.parametrize(
    ("text", "second", "is_utc"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000, True),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000, True),
        ("2023-11-14 18:43:20-0330", 1_700_000_000, True),
        ("2023-11-14 22:13:20.75", 1_700_000_000, False),
        (" 2023-11-14 22:13 ", 1_699_999_980, False),
        ("2023-11-14", 1_699_920_000, False),
        ("14/11/2023", None, False),
        ("yesterday", None, False),
        ("", None, False),
    ],
)
def test_text_is_read_in_iso_form_with_its_offset(
    text: str, second: int | None, is_utc: bool
) -> None:
    rows = ibis.memtable(pa.table({"t": [text]}))
    seconds, utc = clock_seconds(rows.t, "timestamp")
    found = rows.select(seconds=seconds, utc=utc).to_pyarrow().to_pylist()
    assert found == [{"seconds": second, "utc": is_utc}]


@pytest.mark.parametrize(
    ("values", "unit", "wanted"),
    [
        ([1_700_000_000, -1], "s", [1_700_000_000, -1]),
        ([1_700_000_000_999, -1], "ms", [1_700_000_000, -1]),
        ([1_700_000_000_999_999], "us", [1_700_000_000]),
        ([1.75, float("nan"), float("inf"), None], "s", [1, None, None, None]),
        (["12", "x", ""], "order", [12, None, None]),
        ([datetime(1969, 12, 31, 23, 59, 59, 700_000)], "timestamp", [-1]),
        ([datetime(2023, 11, 14, 22, 13, 20, 700_000, UTC)], "timestamp", [1_700_000_000]),
    ],
)
def test_each_unit_gives_whole_seconds(values: list[Any], unit: str, wanted: list[Any]) -> None:
    rows = ibis.memtable(pa.table({"t": values}))
    assert answers(clock_seconds(rows.t, unit)[0]) == wanted


@pytest.mark.parametrize(
    ("values", "unit", "remedy"),
    [([1], "timestamp", "s, ms, us or order"), ([datetime(2023, 1, 1)], "s", "timestamp")],
)
def test_a_unit_that_does_not_go_with_the_column_is_refused(
    values: list[Any], unit: str, remedy: str
) -> None:
    rows = ibis.memtable(pa.table({"t": values}))
    with pytest.raises(ValueError, match=rf"events.time_unit: expected .* '?t'?.*to {remedy}"):
        clock_seconds(rows.t, unit)


def test_a_mistyped_zone_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean Europe/London"):
        check_zone("Europe/Londn")
