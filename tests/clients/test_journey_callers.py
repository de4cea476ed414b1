"""Journey clients as shops and bidders call them, against a real Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.journey_packages import NUMBERS, TEXT

from penchant.clients import (
    AsyncJourneyClient,
    DeadlineExceeded,
    Event,
    Histories,
    History,
    InvalidRequest,
    InvalidRows,
    JourneyClient,
    Overloaded,
)
from penchant.clients.gather import num_events, read_once
from penchant.clients.journey_client import LONG_EVENTS

MODEL = TEXT.contract.model
NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
EVENTS: list[dict[str, Any]] = [
    {"item": "but-0", "action": "view", "channel": "web", "time": NOW - timedelta(hours=3)},
    {"item": "but-1", "action": "cart", "channel": "web", "time": NOW - timedelta(minutes=5)},
    {"item": "kožich-3", "action": "purchase", "time": NOW - timedelta(seconds=9)},
]


@pytest.fixture
def client(journeys: str) -> Iterator[JourneyClient]:
    with JourneyClient(journeys, model=MODEL, deadline_s=20) as client:
        yield client


def rows(client: JourneyClient, histories: Any, **options: Any) -> Any:
    return client.recommend(histories, **{"k": 5, "now": NOW, **options}).to_rows()


@pytest.mark.parametrize(
    "histories",
    [
        lambda: ([*EVENTS] for _ in range(2)),
        lambda: iter([iter(EVENTS), (event for event in EVENTS)]),
        lambda: map(History, [EVENTS, iter(EVENTS)]),
        lambda: [{"events": iter(EVENTS)}, History(Event(**each) for each in EVENTS)],
        lambda: {"anna": EVENTS, "jan": EVENTS}.values(),
        lambda: np.array([EVENTS, EVENTS], object),
        lambda: [EVENTS[::-1], tuple(EVENTS)],
        lambda: [History(EVENTS, exclude=iter(())), History(EVENTS, allow=iter(()))],
    ],
)
def test_histories_however_they_are_held(client: JourneyClient, histories: Any) -> None:
    assert rows(client, histories()) == rows(client, [EVENTS, EVENTS])


def test_options_that_can_be_read_only_once(client: JourneyClient) -> None:
    given: dict[str, Any] = {
        "exclude": ["but-1", "but-2"],
        "allow": ["boots"],
        "want": ["items", "hours"],
    }
    only_once: dict[str, Any] = {name: iter(values) for name, values in given.items()}
    once = client.recommend([EVENTS] * 65, k=5, now=NOW, **only_once)
    again = client.recommend([EVENTS] * 65, k=5, now=NOW, **given)
    assert once.to_rows() == again.to_rows()
    assert once[64].hours == again[64].hours


def test_a_generator_is_read_in_the_callers_thread_and_its_events_are_counted(
    journeys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_threads: list[Any] = []
    to_thread = asyncio.to_thread

    async def recorded(function: Any, *words: Any) -> Any:
        in_threads.append(function)
        return await to_thread(function, *words)

    def generated(count: int) -> Iterator[dict[str, Any]]:
        for at in range(count):
            asyncio.get_running_loop()  # fails in another thread
            yield {"item": "but-0", "action": "view", "age_s": at}

    async def ask(count: int) -> int:
        async with AsyncJourneyClient(journeys, model=MODEL, deadline_s=20) as client:
            monkeypatch.setattr(asyncio, "to_thread", recorded)
            answer = await client.recommend([generated(count)], k=5)
            monkeypatch.setattr(asyncio, "to_thread", to_thread)
            return len(answer)

    assert asyncio.run(ask(3)) == 1
    assert not in_threads
    assert asyncio.run(ask(LONG_EVENTS)) == 1
    assert len(in_threads) == 1
    for histories in ([iter(EVENTS)], [{"events": iter(EVENTS)}], iter([History(iter(EVENTS))])):
        assert num_events(read_once(histories)) == 3


def test_what_is_odd_about_events_has_one_meaning(client: JourneyClient) -> None:
    usual = rows(client, [EVENTS])
    shuffled = [EVENTS[2], EVENTS[0], EVENTS[1]]
    assert rows(client, [shuffled]) == usual
    now = [{**each, "time": NOW} for each in EVENTS]
    later = [{**each, "time": NOW + timedelta(days=n)} for n, each in enumerate(EVENTS, 1)]
    assert rows(client, [later]) == rows(client, [now])
    for age in (-5, float("nan"), float("inf"), None):
        odd = [{**each, "time": None, "age_s": age} for each in EVENTS]
        assert rows(client, [odd]) == rows(client, [now])
    assert rows(client, [EVENTS * 2]) != usual  # what was done twice counts twice
    unheard = [{"item": f"unheard {at}", "action": "view", "age_s": at} for at in range(9)]
    answer = client.recommend([unheard, []], k=5, now=NOW)
    assert answer.unknown.tolist() == [TEXT.contract.length, 0]
    assert [len(each.items) for each in answer] == [5, 5]


def test_times_with_and_without_a_zone_are_the_same_moment(client: JourneyClient) -> None:
    usual = rows(client, [EVENTS])
    for zone in (ZoneInfo("Asia/Tokyo"), None):  # the model's zone is UTC
        moved = [{**each, "time": each["time"].astimezone(zone or UTC)} for each in EVENTS]
        if zone is None:
            moved = [{**each, "time": each["time"].replace(tzinfo=None)} for each in moved]
        assert rows(client, [moved]) == usual
        assert rows(client, [moved], now=NOW.astimezone(zone or UTC)) == usual
    mixed = [{**EVENTS[0], "time": EVENTS[0]["time"].replace(tzinfo=None)}, *EVENTS[1:]]
    assert rows(client, [mixed]) == usual


def test_what_one_visitor_may_have_is_no_other_ones_business(client: JourneyClient) -> None:
    alone = [
        History(EVENTS, exclude=["but-0"]),
        History(EVENTS, allow=["boots"]),
        History(EVENTS, target_action="view"),
        History([], exclude=TEXT.item_id.tolist()),
        History([]),
    ]
    together = client.recommend(alone, k=5, now=NOW)
    for at, each in enumerate(alone):
        one = client.recommend([each], k=5, now=NOW)[0]
        assert one.items == together[at].items
        assert one.scores == pytest.approx(together[at].scores, abs=1e-6)


def test_columns_of_wishes_may_be_of_any_kind(client: JourneyClient) -> None:
    columns: dict[str, Any] = {"offsets": [0, 1, 1], "item": ["but-0"], "action": ["view"]}
    lists = [["but-1", "but-2"], []]
    usual = rows(client, Histories(**columns, exclude=lists, target_action=["view", None]))
    kinds: list[Any] = [iter, pa.array, pd.Series]
    for kind in kinds:
        wishes: dict[str, Any] = {"exclude": kind(lists), "target_action": kind(["view", None])}
        assert rows(client, Histories(**columns, **wishes)) == usual


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        (pd.DataFrame({"item": ["a"]}), r"got DataFrame; .* columns as Histories\(item=\.\.\.\)"),
        ([pd.DataFrame({"item": ["a"]})], "history 0: expected a visitor's events"),
        ([Event(item="a")], r"history 0: .*one visitor is \[\[event, \.\.\.\]\]"),
        (History(EVENTS), r"got History; pass one as \[history\]"),
        ({"anna": EVENTS}, r"got dict; pass one as \[history\]"),
        (5, "histories: expected a list of them, one a visitor"),
        ([None], "history 0: expected a visitor's events, .* got None"),
        ([{"events": None}], r"history 0, events: .* got None; an empty history is \[\]"),
        (iter([EVENTS, 5]), "history 1: expected a visitor's events"),
        ([[{**EVENTS[0], "action": ["view"]}]], "action: the model knows no"),
        ([[{**EVENTS[0], "time": NOW.time()}]], "time: expected a datetime .*; convert it"),
    ],
)
def test_what_is_no_history(client: JourneyClient, histories: Any, message: str) -> None:
    with pytest.raises(InvalidRows, match=message):
        client.recommend(histories, k=1)


@pytest.mark.parametrize("name", ["exclude", "allow", "target_action"])
def test_one_wish_for_many_visitors_is_an_option_of_the_call(name: str) -> None:
    with pytest.raises(InvalidRows, match=f"{name}: expected a list, got 'v'; wrap it in one"):
        Histories(offsets=[0, 1], item=["a"], **{name: "v"})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"k": 0},
            InvalidRequest,
            "k: expected 1 to 5, which is the most items that model 'tiny_j",
        ),
        ({"k": 6}, InvalidRequest, "k: expected 1 to 5"),
        ({"k": 2.0}, InvalidRequest, r"k: expected a number of items, got 2\.0"),
        ({"k": True}, InvalidRequest, "k: expected a number of items, got True"),
        ({"want": "items"}, InvalidRequest, "want: expected a list"),
        ({"want": ["intent"]}, InvalidRequest, "is called 'intent'; did you mean 'intents'"),
        ({"exclude": list("abcdefghijklm")}, InvalidRows, "takes at most 12 items"),
        ({"want": 3}, InvalidRequest, "want: expected a list of answers, got 3"),
        ({"want": [["items"]]}, InvalidRequest, r"want: no answer is called \['items'\]"),
        ({"deadline_s": "1"}, ValueError, "deadline_s: expected a positive number .* got '1'"),
        ({"deadline_s": True}, ValueError, "deadline_s: expected a positive number .* got True"),
        ({"deadline_s": 0}, ValueError, "deadline_s: expected a positive number of seconds, got 0"),
        ({"deadline_s": 1e-6}, DeadlineExceeded, "no answer within 1e-06 s"),
        (
            {"now": datetime.max},
            InvalidRows,
            "now: expected a time from the year 2 to 5138, got 99",
        ),
        ({"now": NOW.date()}, InvalidRows, "now: expected a datetime or seconds since 1970"),
    ],
)
def test_options_of_calls_that_cannot_be(
    client: JourneyClient, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        client.recommend([EVENTS], **{"k": 1, **options})
    assert client.ready()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": None}, "url: expected host:port of the gRPC endpoint, got None"),
        ({"in_flight": 2.5}, r"in_flight: expected at least 1 request, got 2\.5"),
        ({"deadline_s": "1"}, "deadline_s: expected a positive number"),
    ],
)
def test_options_of_clients_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JourneyClient(**{"url": "127.0.0.1:8001", "deadline_s": 1, **options})


def test_a_deadline_is_kept_by_an_event_loop_and_leaves_the_client_usable(journeys: str) -> None:
    async def ask() -> None:
        async with AsyncJourneyClient(journeys, model=MODEL, deadline_s=20) as client:
            await client.contract
            # The server may have time to refuse what has waited in its queue for too long.
            with pytest.raises((DeadlineExceeded, Overloaded)):
                await client.recommend([EVENTS] * 500, k=5, deadline_s=1e-4)
            task = asyncio.ensure_future(client.recommend([EVENTS], k=5))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            answers = await asyncio.gather(
                *(client.recommend([EVENTS], k=5, now=NOW) for _ in range(3))
            )
            assert {each[0].items for each in answers} == {answers[0][0].items}

    asyncio.run(ask())


def test_items_of_integers_come_back_as_integers(journeys: str) -> None:
    with JourneyClient(journeys, model=NUMBERS.contract.model, deadline_s=20) as client:
        answer = client.recommend(
            [[{"item": 5_000_000_003, "action": "view", "age_s": 5}]], k=5, exclude=[0, 7]
        )
    assert all(type(item) is int for item in answer[0].items)
    assert not {0, 7} & set(answer[0].items)
