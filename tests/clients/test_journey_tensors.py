"""Histories as tensors, against a plain way of making them, event by event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journey_packages import NUMBERS, TEXT

from penchant.clients import Event, Histories, History, InvalidRows
from penchant.clients.gather import gather
from penchant.clients.journey_contract import JourneyContract
from penchant.clients.journey_tensors import Wish, to_tensors

CONTRACT = TEXT.contract
NOW_S = 1_700_000_000.0  # Tuesday 14 November 2023, 22:13:20 UTC
NOW = datetime.fromtimestamp(NOW_S, UTC)
ITEMS = ("but-0", "kožich-1", "حذاء-2", "", None, "7")


def tensors(histories: Any, contract: JourneyContract = CONTRACT, **wish: Any) -> dict[str, Any]:
    return to_tensors(gather(histories), contract, Wish(**{"now": NOW_S, **wish}))


EVENTS = st.fixed_dictionaries(
    {
        "item": st.sampled_from(ITEMS),
        "action": st.sampled_from(CONTRACT.actions),
        "channel": st.sampled_from((*CONTRACT.channels, None)),
        "age_s": st.one_of(
            st.integers(-9, 9), st.floats(-1e9, 1e9, width=32), st.sampled_from([np.nan, np.inf])
        ),
    }
)


def _plainly(events: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """One history's tensors."""

    def newness(event: dict[str, Any]) -> float:
        return -float(event["age_s"]) if np.isfinite(event["age_s"]) else 0.0

    newest = sorted(events, key=newness)[-CONTRACT.length :]
    padding = CONTRACT.length - len(newest)
    names = {name: code for code, name in enumerate(CONTRACT.actions, start=1)}
    channels = {name: code for code, name in enumerate(CONTRACT.channels, start=1)}
    return {
        "item": [""] * padding + ["" if e["item"] is None else str(e["item"]) for e in newest],
        "action": [0] * padding + [names[e["action"]] for e in newest],
        "channel": [0] * padding + [channels.get(e["channel"], 0) for e in newest],
        "age_s": [0] * padding + [np.float32(e["age_s"]) for e in newest],
    }


@given(st.lists(st.lists(EVENTS, max_size=9), min_size=1, max_size=5))
def test_any_histories_are_sorted_cut_and_padded(histories: list[list[dict[str, Any]]]) -> None:
    got = tensors(histories)
    for row, events in enumerate(histories):
        for name, expected in _plainly(events).items():
            np.testing.assert_array_equal(got[name][row], np.array(expected, got[name].dtype))
    assert {spec.name: (len(histories), *spec.shape) for spec in CONTRACT.inputs} == {
        name: tensor.shape for name, tensor in got.items()
    }


@given(st.lists(st.lists(EVENTS, max_size=9), min_size=1, max_size=5))
def test_columns_give_the_tensors_of_objects(histories: list[list[dict[str, Any]]]) -> None:
    flat = [event for events in histories for event in events]
    columns = Histories(
        offsets=np.cumsum([0, *map(len, histories)]),
        item=[event["item"] for event in flat],
        action=np.array([event["action"] for event in flat]),
        channel=pa.array([event["channel"] for event in flat], pa.string()),
        age_s=np.array([event["age_s"] for event in flat], float),
    )
    objects = tensors([[Event(**event) for event in events] for events in histories])
    for name, tensor in tensors(columns).items():
        np.testing.assert_array_equal(tensor, objects[name])


TIMES = [NOW - timedelta(hours=3), NOW - timedelta(seconds=90)]


@pytest.mark.parametrize(
    "times",
    [
        TIMES,
        [each.timestamp() for each in TIMES],
        [each.replace(tzinfo=None) for each in TIMES],
        np.array([each.replace(tzinfo=None) for each in TIMES], "datetime64[ms]"),
        pd.Series(TIMES),
        pd.Series(pd.to_datetime(TIMES)).dt.tz_convert("Asia/Tokyo"),
        pa.array(TIMES, pa.timestamp("us", "Asia/Tokyo")),
        pa.array(TIMES, pa.timestamp("us", "Asia/Tokyo")).cast(pa.timestamp("us", "UTC")),
        pa.chunked_array([pa.array([each.replace(tzinfo=None) for each in TIMES])]),
    ],
    ids=lambda times: f"{type(times).__module__}.{type(times).__name__}",
)
def test_times_of_every_kind(times: Any) -> None:
    columns = Histories(offsets=[0, 2], item=["a", "b"], action=["view"] * 2, time=times)
    assert tensors(columns)["age_s"][0, -2:].tolist() == [3 * 3600, 90]
    assert tensors(columns, now=NOW)["age_s"][0, -2:].tolist() == [3 * 3600, 90]


def test_times_without_a_zone_and_hours_are_of_the_models_zone() -> None:
    contract = JourneyContract(model="m", actions=("view",), timezone="Asia/Kathmandu")
    local = datetime(2023, 11, 15, 3, 58, 20)  # 5:45 ahead of UTC: Wednesday there
    for time in (local, np.datetime64(local), NOW - timedelta(seconds=0)):
        got = tensors([[{"item": "a", "time": time}]], contract, now=NOW_S + 5)
        assert got["age_s"][0, -1] == 5
    columns = Histories(offsets=[0, 1], item=["a"], time=np.array([local], "datetime64[s]"))
    assert tensors(columns, contract)["age_s"][0, -1] == 0
    assert tensors([[]], contract, now=local)["hour"].tolist() == [[2 * 24 + 3]]
    assert tensors([[]])["hour"].tolist() == [[1 * 24 + 22]]


def test_an_hour_that_a_zone_skips_or_repeats() -> None:
    contract = JourneyContract(model="m", actions=("view",), timezone="Europe/Warsaw")
    before, after = 1711846800.0 - 1, 1711846800.0  # 31 March 2024: 02:00 becomes 03:00
    hours = [tensors([[]], contract, now=now)["hour"].item() for now in (before, after)]
    assert hours == [6 * 24 + 1, 6 * 24 + 3]
    repeated = tensors([[], []], contract, now=[1729990799.0, 1729990801.0])["hour"]
    assert repeated.ravel().tolist() == [6 * 24 + 2, 6 * 24 + 2]


def test_now_may_be_one_a_visitor() -> None:
    events = [{"item": "a", "action": "view", "time": NOW_S - 10}]
    got = tensors([events, events], now=np.array([NOW_S, NOW_S + 3600]))
    assert got["age_s"][:, -1].tolist() == [10, 3610]
    assert got["hour"].ravel().tolist() == [46, 47]


def test_a_history_without_times_keeps_its_order() -> None:
    got = tensors([[{"item": each, "action": "view"} for each in "abcdefgh"]])
    assert got["item"][0].tolist() == list("cdefgh")
    assert np.isnan(got["age_s"]).all()


def test_what_is_wanted_for_all_and_for_one() -> None:
    histories = [
        History([], exclude=["a", "b"], allow=["boots"], target_action="cart"),
        {"events": [], "exclude": np.array(["b", "a"])},
        History(),
    ]
    got = tensors(histories, exclude=["c", "a"], target_action="view")
    assert [list(filter(None, row)) for row in got["exclude"].tolist()] == [
        ["c", "a", "b"],
        ["c", "a", "b"],
        ["c", "a"],
    ]
    assert got["target_action"].ravel().tolist() == [2, 1, 1]
    assert got["allow"].tolist() == [["boots", ""], ["", ""], ["", ""]]
    assert tensors([[]])["target_action"].tolist() == [[0]]


def test_ids_that_are_integers() -> None:
    events = [
        {"item": item, "action": "view"}
        for item in (7, 5_000_000_000, 7.0, None, np.nan, np.int8(3))
    ]
    got = tensors([events], NUMBERS.contract, exclude=[7, 7.0, 8])
    assert got["item"].dtype == np.int64
    assert got["item"][0].tolist() == [7, 5_000_000_000, 7, -1, -1, 3]
    assert got["exclude"][0].tolist() == [7, 8] + [-1] * 10
    assert set(got) == {spec.name for spec in NUMBERS.contract.inputs}


ONE = {"item": "a", "action": "view"}


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ([], "expected at least one"),
        ({}, r"expected a list of them.*pass one as \[history\]"),
        ("ab", "expected a list of them"),
        ([ONE], r"history 0: expected a visitor's events, got one event.*\[\[event, \.\.\.\]"),
        ([Event()], "history 0: expected a visitor's events"),
        ([[], 3], "history 1: expected a visitor's events"),
        ([{"event": []}], "history 0: has a key 'event' .*did you mean 'events'"),
        ([[{**ONE, "chanel": "web"}]], "event 0: has a key 'chanel' .*did you mean 'channel'"),
        ([[ONE, "b"]], "history 0, event 1: expected a dict"),
        ([[], [ONE, {**ONE, "action": "veiw"}]], "history 1, event 1, action.*did you mean 'view'"),
        ([[{"item": "a"}]], "action: is missing; expected one of"),
        ([[{**ONE, "channel": "wep"}]], "channel: the model knows no 'wep'; did you mean 'web'"),
        ([[{**ONE, "channel": "fax machine"}]], "the model knows no 'fax machine'; it knows"),
        ([[{**ONE, "time": NOW_S * 1000}]], "divide milliseconds by 1000"),
        ([[{**ONE, "time": -7e10}]], "from the year 2 to 5138"),
        ([[{**ONE, "time": 10**400}]], "expected a datetime or seconds since 1970"),
        ([{"events": 5}], "events: expected a list of events, got 5"),
        ([[{**ONE, "time": "2024-01-01"}]], "event 0, time: expected a datetime or seconds"),
        ([[{**ONE, "time": NOW.date()}]], "event 0, time: expected a datetime or seconds"),
        ([[{**ONE, "age_s": "5"}]], "age_s: expected seconds as a number, got '5'"),
        ([[{**ONE, "age_s": True}]], "age_s: expected seconds as a number, got True"),
        ([[{**ONE, "age_s": 5, "time": NOW}]], "has both a time and an age_s"),
        ([History([], exclude="a")], "history 0, exclude: expected a list, got 'a'"),
        ([History([], target_action="buy")], "history 0, target_action.*knows no 'buy'"),
        ([History([], allow=list("abc"))], "history 0, allow: the model takes at most 2 categ"),
        (
            [[], History([], exclude=list("abcdefghijklm"))],
            "history 1, exclude: the model takes at most 12 items a visitor, got 13",
        ),
    ],
)
def test_histories_that_cannot_be(histories: Any, message: str) -> None:
    with pytest.raises(InvalidRows, match=message):
        tensors(histories)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": [0, 1]}, "from 0 to the number of events, 2"),
        ({"offsets": [0, 3, 2]}, "from 0 to the number of events, 2"),
        ({"offsets": [0.0, 2.0]}, "expected integers"),
        ({"offsets": []}, "expected integers"),
        ({"action": ["view"]}, "action: has 1 values, but item has 2"),
        ({"item": "ab"}, "item: expected one value an event"),
        ({"item": np.zeros((2, 2))}, "item: expected one value an event"),
        ({"exclude": [[]]}, "exclude: has 1 values for 2 visitors"),
        ({"allow": ["boots", []]}, "history 0, allow: expected a list, got 'boots'"),
        ({"action": None}, "action: every event needs one of"),
    ],
)
def test_columns_that_cannot_be(change: dict[str, Any], message: str) -> None:
    columns = {"offsets": [0, 1, 2], "item": ["a", "b"], "action": ["view", "cart"], **change}
    with pytest.raises(InvalidRows, match=message):
        tensors(Histories(**columns))


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"now": [1.0, 2.0]}, r"now: expected one time or 1, got the shape \(2,\)"),
        ({"now": np.nan}, "now: expected a time, got a missing one"),
        ({"now": NOW_S * 1000}, "now: expected a time from the year 2.*divide milliseconds"),
        ({"now": "today"}, "now: expected a datetime or seconds"),
        ({"exclude": "a"}, "exclude: expected a list, got 'a'"),
        ({"exclude": map(str, range(13))}, "takes at most 12"),
        ({"exclude": [["a"], ["b"]]}, "exclude: expected ids, got .'a'..*in each visitor's"),
        ({"target_action": "purchas"}, "target_action: .*did you mean 'purchase'"),
    ],
)
def test_wishes_that_cannot_be(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRows, match=message):
        tensors([[]], **wish)


def test_categories_of_a_model_without_any() -> None:
    with pytest.raises(InvalidRows, match="have no categories"):
        tensors([[]], NUMBERS.contract, allow=["boots"])
