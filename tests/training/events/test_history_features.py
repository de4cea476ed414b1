"""Features against a plain reading of each visitor's events, and against the future."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby
from typing import Any

import ibis
import pyarrow as pa
import pytest
from tests.training.events.small_events import (
    ACTIONS,
    DAY_S,
    SCHEMA,
    START_S,
    assert_same,
    random_events,
)

from penchant.training.events.history_features import (
    KEYS,
    PLURALS,
    HistoryConfig,
    history_features,
)

CONFIG = HistoryConfig(actions=ACTIONS, windows_days=(1, 7, 30), columns=tuple(PLURALS))
CUTOFFS = (START_S + 20 * DAY_S, START_S + 45 * DAY_S + 60)


def features(events: pa.Table, config: HistoryConfig = CONFIG) -> list[dict[str, Any]]:
    table = history_features(ibis.memtable(events), CUTOFFS, config)
    rows: list[dict[str, Any]] = table.to_pyarrow().to_pylist()
    return rows


def plainly(events: pa.Table) -> list[dict[str, Any]]:
    """The same features, visitor by visitor in plain Python."""
    rows = sorted(events.to_pylist(), key=lambda row: row["visitor_id"])
    return [
        _plain_row(visitor, past, cutoff_s)
        for visitor, group in groupby(rows, key=lambda row: row["visitor_id"])
        for cutoff_s, past in _pasts(list(group))
        if past
    ]


def _pasts(own: list[dict[str, Any]]) -> list[tuple[int, list[dict[str, Any]]]]:
    return [(cutoff, [row for row in own if row["time_s"] < cutoff]) for cutoff in CUTOFFS]


def _plain_row(visitor: int, past: list[dict[str, Any]], cutoff_s: int) -> dict[str, Any]:
    windows = {"1d": 1, "7d": 7, "30d": 30, "ever": 10_000}
    row: dict[str, Any] = {"visitor_id": visitor, "cutoff_s": cutoff_s}

    def inside(time_s: int, days: int) -> bool:
        return cutoff_s - days * DAY_S <= time_s

    def since(times: list[int]) -> float | None:
        return (cutoff_s - max(times)) / DAY_S if times else None

    times = [event["time_s"] for event in past]
    for window, days in windows.items():
        row[f"events_{window}"] = sum(inside(time_s, days) for time_s in times)
    for action in ACTIONS:
        word = action.replace(" ", "_")
        own = [event["time_s"] for event in past if event["action"] == action]
        for window, days in windows.items():
            row[f"{word}_{window}"] = sum(inside(time_s, days) for time_s in own)
        row[f"days_since_{word}"] = since(own)
    days_seen = sorted({time_s // DAY_S for time_s in times})
    gaps = len(days_seen) - 1
    row |= {
        "days_since_first_event": (cutoff_s - min(times)) / DAY_S,
        "days_since_last_event": since(times),
        "active_days": len(days_seen),
        "mean_gap_days": (days_seen[-1] - days_seen[0]) / gaps if gaps else None,
    }
    row |= _plain_orders(past, cutoff_s, windows)
    for column, name in {"item_id": "items", **PLURALS}.items():
        row[f"distinct_{name}"] = len({event[column] for event in past} - {None})
    hours = [event["hour"] for event in past if event["hour"] is not None]
    parts = {"night": 0, "morning": 6, "afternoon": 12, "evening": 18}
    row["share_weekend"] = sum(hour >= 120 for hour in hours) / len(hours) if hours else None
    for part, begin in parts.items():
        of_part = sum(begin <= hour % 24 < begin + 6 for hour in hours)
        row[f"share_{part}"] = of_part / len(hours) if hours else None
    for column in ("category", "brand", "channel", "device", "source", "campaign"):
        count = Counter(event[column] for event in past if event[column] is not None)
        ranked = sorted(count, key=lambda name, count=count: (-count[name], name))  # type: ignore[misc]
        row[f"favourite_{column}"] = ranked[0] if ranked else None
    for column in ("device", "source", "campaign"):
        having = [(-event["time_s"], event[column]) for event in past if event[column] is not None]
        row[f"last_{column}"] = min(having)[1] if having else None
    return row


def _plain_orders(
    past: list[dict[str, Any]], cutoff_s: int, windows: dict[str, int]
) -> dict[str, Any]:
    baskets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in past:
        if event["action"] == "purchase":
            baskets[event["order_id"] or f"session {event['session']}"].append(event)
    ends = [max(event["time_s"] for event in basket) for basket in baskets.values()]
    valued = []
    for basket, end in zip(baskets.values(), ends, strict=True):
        known = [event["value"] for event in basket if event["value"] is not None]
        if known:
            valued.append((end, sum(known)))
    row: dict[str, Any] = {}
    for window, days in windows.items():
        begin = cutoff_s - days * DAY_S
        row[f"orders_{window}"] = sum(end >= begin for end in ends)
        row[f"value_{window}"] = sum(
            event["value"] or 0.0
            for basket in baskets.values()
            for event in basket
            if event["time_s"] >= begin
        )
    gaps = len(ends) - 1
    return row | {
        "days_since_first_order": (cutoff_s - min(ends)) / DAY_S if ends else None,
        "days_since_last_order": (cutoff_s - max(ends)) / DAY_S if ends else None,
        "mean_order_gap_days": (max(ends) - min(ends)) / gaps / DAY_S if gaps > 0 else None,
        "basket_mean": sum(value for _, value in valued) / len(valued) if valued else None,
        "basket_max": max(value for _, value in valued) if valued else None,
        "basket_last": max(valued)[1] if valued else None,
    }


@pytest.mark.parametrize("seed", range(3))
def test_features_are_those_of_a_plain_reading(seed: int) -> None:
    events = random_events(seed=seed, num_events=300 + 200 * seed)
    assert_same(features(events), plainly(events), KEYS)


def test_columns_come_in_the_order_that_is_announced() -> None:
    table = history_features(ibis.memtable(random_events(50)), CUTOFFS[:1], CONFIG)
    assert table.columns == (*KEYS, *CONFIG.numeric, *CONFIG.categorical)


def test_no_feature_moves_when_the_future_is_planted() -> None:
    events = random_events(200)
    past = events.filter(pa.compute.less(events["time_s"], CUTOFFS[0]))
    planted = [
        {
            "visitor_id": visitor,
            "time_s": CUTOFFS[0] + later_s,
            "action": action,
            "item_id": 77,
            "value": 9999.0,
            "order_id": None,
            "hour": 3,
            "session": 10_000,
            **dict.fromkeys(PLURALS, "a"),
            "channel": "fax",
        }
        for visitor in range(12)
        for later_s in (0, 1, DAY_S)  # the cut-off's own moment is not before it
        for action in ACTIONS
    ]
    with_future = pa.concat_tables([past, pa.Table.from_pylist(planted, schema=SCHEMA)])
    before = [row for row in features(past) if row["cutoff_s"] == CUTOFFS[0]]
    after = [row for row in features(with_future) if row["cutoff_s"] == CUTOFFS[0]]
    assert_same(after, before, KEYS)
    # The plant is no dud: one second later it is seen.
    moved = history_features(ibis.memtable(with_future), [CUTOFFS[0] + 1], CONFIG)
    assert moved["basket_max"].max().to_pyarrow().as_py() >= 9999.0
    assert moved["last_source"].to_pyarrow().to_pylist() == ["a"] * 12


def test_a_window_holds_its_first_second_and_not_the_one_before() -> None:
    rows = [
        {"visitor_id": 1, "time_s": CUTOFFS[0] - DAY_S - early, "action": "view"}
        for early in (0, 1)
    ]
    (row,) = features(pa.Table.from_pylist(rows, schema=SCHEMA))[:1]
    assert (row["view_1d"], row["view_7d"], row["view_ever"]) == (1, 2, 2)


def test_a_visitor_who_was_not_there_yet_has_no_row() -> None:
    rows = [{"visitor_id": 1, "time_s": CUTOFFS[0], "action": "view"}]
    found = features(pa.Table.from_pylist(rows, schema=SCHEMA))
    assert [row["cutoff_s"] for row in found] == [CUTOFFS[1]]


def test_without_purchases_items_or_channels_their_columns_are_gone() -> None:
    config = HistoryConfig(actions=("view",), purchase_actions=(), with_items=False, columns=())
    events = random_events(80).drop(["channel", "item_id", "value", "order_id"])
    (row,) = features(events, config)[:1]
    assert tuple(row) == (*KEYS, *config.numeric)
    assert not [name for name in row if "order" in name or "basket" in name or "favourite" in name]


def test_actions_whose_columns_would_have_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="'e-mail open', 'e mail open'"):
        HistoryConfig(actions=("e-mail open", "view", "e mail open"))
