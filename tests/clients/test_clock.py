"""Times of callers: with and without a zone, odd ones, and ones that are none."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.clients import InvalidRows
from penchant.clients.clock import ages_s, hours_of_week, moments_s, open_zone, utc_seconds
from penchant.clients.values import objects

WARSAW = open_zone("Europe/Warsaw")


def moment(value: Any, zone: str = "Europe/Warsaw") -> float:
    return float(moments_s(objects([value]), open_zone(zone), "event {}".format)[0])


@pytest.mark.parametrize(
    "value",
    [
        datetime(2024, 7, 1, 12),
        datetime(2024, 7, 1, 10, tzinfo=UTC),
        datetime(2024, 7, 1, 5, 30, tzinfo=timezone(timedelta(hours=-4, minutes=-30))),
        datetime(2024, 7, 1, 19, tzinfo=ZoneInfo("Asia/Tokyo")),
        pd.Timestamp("2024-07-01 12:00"),
        pd.Timestamp("2024-07-01 10:00", tz="UTC"),
        np.datetime64("2024-07-01T12:00"),
        1719828000,
        1719828000.0,
        np.int64(1719828000),
    ],
    ids=repr,
)
def test_a_time_without_a_zone_is_of_the_models_and_one_with_it_of_its_own(value: Any) -> None:
    assert moment(value) == 1719828000
    both = moments_s(objects([value, datetime(2024, 7, 1, 10, tzinfo=UTC)]), WARSAW, str)
    assert both.tolist() == [1719828000] * 2


def test_an_hour_that_comes_twice_is_the_one_its_fold_says() -> None:
    first, second = (datetime(2024, 10, 27, 2, 30, fold=fold) for fold in (0, 1))
    assert moment(second) - moment(first) == 3600
    assert moment(first) == datetime(2024, 10, 27, 0, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (datetime.max, "got 9999-12-31T23:59:59.999999; leave it out"),
        (datetime.max.replace(tzinfo=UTC), r"got 9999-12-31T23:59:59.999999\+00:00; leave it"),
        (datetime.min, "got 0001-01-01T00:00:00; leave it out"),
        (datetime.max.replace(tzinfo=ZoneInfo("America/New_York")), "got 9999-12-31"),
        (datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo")), "got 0001-01-01"),
        (np.datetime64("9999-12-31"), "got 9999-12-31; leave it out"),
        (np.datetime64("300000-01-01"), "got 300000-01-01; leave it out"),
        (np.datetime64(2**62, "s"), "got 146138514283-06-19"),
        (1.7e12, r"got 1700000000000\.0 seconds since 1970; divide milliseconds by 1000"),
        (float("inf"), "got inf seconds since 1970"),
    ],
    ids=repr,
)
def test_times_that_are_too_far(value: Any, told: str) -> None:
    with pytest.raises(
        InvalidRows, match=f"event 0: expected a time from the year 2 to 5138, {told}"
    ):
        moment(value)


@pytest.mark.parametrize(
    "value",
    [True, np.True_, time(9), date(2024, 7, 1), timedelta(1), "2024-07-01", b"5", 10**400, [5], 5j],
    ids=repr,
)
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises(
        InvalidRows, match=r"event 0: expected a datetime or seconds since 1970, got"
    ):
        moment(value)


@pytest.mark.parametrize(
    "column", [np.array([True]), pa.array([time(9)]).to_numpy(zero_copy_only=False)], ids=repr
)
def test_columns_that_are_no_times(column: Any) -> None:
    with pytest.raises(InvalidRows, match="expected a datetime or seconds since 1970"):
        moments_s(column, UTC, str)
    with pytest.raises(InvalidRows, match="expected seconds as a number"):
        ages_s(column, str)


@given(st.integers(-62_000_000_000, 99_000_000_000), st.sampled_from(["D", "s", "ms", "us"]))
def test_seconds_are_those_of_datetime(second: int, unit: str) -> None:
    value = np.array([second], "datetime64[s]").astype(f"datetime64[{unit}]")
    expected = second // 86400 * 86400 if unit == "D" else second
    assert utc_seconds(value).tolist() == [expected]
    assert moments_s(value, UTC, str).tolist() == [expected]


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.timezones()))
def test_hours_of_the_week_are_those_on_the_wall(when: datetime) -> None:
    seconds = np.array([when.timestamp()])
    local = datetime.fromtimestamp(when.timestamp(), WARSAW)
    assert hours_of_week(seconds, WARSAW).tolist() == [24 * local.weekday() + local.hour]
