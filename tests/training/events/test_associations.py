"""Association statistics against counting pairs one by one."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import groupby, permutations
from typing import Any

import ibis
import pyarrow as pa
import pytest
from tests.training.events.small_events import DAY_S, SCHEMA, START_S, assert_same, random_events

from penchant.training.events.associations import (
    AFTER_S,
    MOST_ITEMS,
    association_pairs,
    popular_items,
)
from penchant.training.journeys.journey_recipe import AssociationConfig

REFERENCE_S = START_S + 50 * DAY_S
CONFIG = AssociationConfig(
    neighbours=4,
    half_life_days=10.0,
    within_hours=2.0,
    least_support=2,
    action_weights={"cart": 3.0, "email open": 0.0},
)
PAIR = ("item_id", "other_id")

Rows = list[dict[str, Any]]


def pairs(
    events: pa.Table,
    statistic: str,
    config: AssociationConfig = CONFIG,
    reference_s: int | None = REFERENCE_S,
) -> Rows:
    table = association_pairs(ibis.memtable(events), config, statistic, reference_s=reference_s)
    rows: Rows = table.to_pyarrow().to_pylist()
    return rows


def plain_pairs(events: pa.Table, statistic: str) -> Rows:
    """The same, in plain Python."""
    rows = [
        row
        for row in events.to_pylist()
        if row["item_id"] is not None and row["time_s"] <= REFERENCE_S and _weight(row) > 0
    ]
    found: dict[tuple[int, int], list[float]] = defaultdict(list)
    if statistic == "bought_after_viewing":
        for pair, weight in _plain_after(rows).items():
            found[pair[2:]].append(weight)
    else:
        bought = statistic == "bought_together"
        for basket in _baskets(rows, bought):
            for pair, weight in _plain_together(basket, within_s=None if bought else 7200):
                found[pair].append(weight)
    kept = {pair: weights for pair, weights in found.items() if len(weights) >= 2}
    return _plain_weights(kept)


def _weight(row: dict[str, Any]) -> float:
    return CONFIG.action_weights.get(row["action"], 1.0)


def _decay(time_s: int) -> float:
    return math.pow(2.0, -(REFERENCE_S - time_s) / (10 * DAY_S))


def _basket(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["visitor_id"], row["order_id"] or f"session {row['session']}")


def _baskets(rows: Rows, bought: bool) -> list[Rows]:
    own = [row for row in rows if (row["action"] == "purchase") == bought]

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return _basket(row) if bought else (row["visitor_id"], row["session"])

    return [list(group) for _, group in groupby(sorted(own, key=key), key=key)]


def _plain_together(basket: Rows, *, within_s: int | None) -> list[tuple[tuple[int, int], float]]:
    first = {
        row["item_id"]: min(r["time_s"] for r in basket if r["item_id"] == row["item_id"])
        for row in basket
    }
    most = {item: max(_weight(r) for r in basket if r["item_id"] == item) for item in first}
    return [
        ((one, other), most[one] * most[other] * _decay(max(first[one], first[other])))
        for one, other in permutations(first, 2)
        if within_s is None or abs(first[one] - first[other]) <= within_s
    ]


def _plain_after(rows: Rows) -> dict[tuple[Any, ...], float]:
    found: dict[tuple[Any, ...], float] = {}
    for bought in rows:
        for viewed in rows:
            gap_s = bought["time_s"] - viewed["time_s"]
            if (
                bought["action"] == "purchase"
                and viewed["action"] != "purchase"
                and bought["visitor_id"] == viewed["visitor_id"]
                and bought["item_id"] != viewed["item_id"]
                and 0 < gap_s <= AFTER_S
            ):
                key = (*_basket(bought), viewed["item_id"], bought["item_id"])
                weight = _weight(bought) * _weight(viewed) * _decay(bought["time_s"])
                found[key] = max(found.get(key, 0.0), weight)
    return found


def _plain_weights(found: dict[tuple[int, int], list[float]]) -> Rows:
    n = {pair: sum(weights) for pair, weights in found.items()}
    total = sum(n.values())
    of_item: dict[int, float] = defaultdict(float)
    of_other: dict[int, float] = defaultdict(float)
    for (item, other), count in n.items():
        of_item[item] += count
        of_other[other] += count
    rows = []
    for (item, other), count in n.items():
        information = math.log(count * total / (of_item[item] * of_other[other]))
        weight = count / (of_item[item] + 1) * information
        support = len(found[item, other])
        if weight > 1e-12:
            rows.append(
                dict(zip((*PAIR, "weight", "support"), (item, other, weight, support), strict=True))
            )
    best = []
    for item in of_item:
        own = [row for row in rows if row["item_id"] == item]
        best += sorted(own, key=lambda row: -row["weight"])[: CONFIG.neighbours]
    return best


@pytest.mark.parametrize(
    "statistic", ["bought_together", "viewed_together", "bought_after_viewing"]
)
@pytest.mark.parametrize("seed", range(2))
def test_pairs_are_those_counted_one_by_one(statistic: str, seed: int) -> None:
    events = random_events(1500, seed=seed)
    expected = plain_pairs(events, statistic)
    assert len(expected) > 5
    assert_same(pairs(events, statistic), expected, PAIR)


def rows_of(*events: tuple[int, int, str, int]) -> pa.Table:
    """Events as (visitor, seconds before the reference, action, item), one session a visitor."""
    names = ("visitor_id", "time_s", "action", "item_id", "session")
    rows = [(who, REFERENCE_S - age, action, item, 0) for who, age, action, item in events]
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=SCHEMA)


def test_after_viewing_goes_one_way_only() -> None:
    events = rows_of(
        *((who, 2 * DAY_S, "view", 1) for who in range(5)),
        *((who, DAY_S, "purchase", 2) for who in range(5)),
        *((who + 10, 2 * DAY_S, "view", 3) for who in range(5)),
        *((who + 10, DAY_S, "purchase", 4) for who in range(5)),
    )
    found = pairs(events, "bought_after_viewing")
    assert {(row["item_id"], row["other_id"], row["support"]) for row in found} == {
        (1, 2, 5),
        (3, 4, 5),
    }


def test_a_pair_of_today_weighs_more_than_one_of_last_month() -> None:
    """Two neighbours seen as often; the half-life is all that tells them apart."""
    events = rows_of(
        *((who, 60, "view", item) for who in range(6) for item in (1, 2)),
        *((who + 10, 30 * DAY_S, "view", item) for who in range(6) for item in (1, 3)),
        *((who + 20, 60, "view", item) for who in range(20) for item in (7, 8)),
    )
    weight = {
        (row["item_id"], row["other_id"]): row["weight"] for row in pairs(events, "viewed_together")
    }
    assert weight[1, 2] > 4 * weight[1, 3] > 0


def test_without_a_clock_nothing_decays() -> None:
    events = rows_of(
        *((who, 60 + 40 * DAY_S * who, "view", item) for who in range(6) for item in (1, 2)),
        *((who + 20, 60, "view", item) for who in range(6) for item in (7, 8)),
    )
    found = pairs(events, "viewed_together", reference_s=None)
    assert len({row["weight"] for row in found}) == 1
    assert len({row["weight"] for row in pairs(events, "viewed_together")}) == 2


def test_a_huge_session_makes_a_bounded_number_of_pairs() -> None:
    events = rows_of(*((1, item, "view", item) for item in range(1, 401)))
    config = AssociationConfig(least_support=1, neighbours=1000)
    table = association_pairs(
        ibis.memtable(events), config, "viewed_together", reference_s=REFERENCE_S
    )
    items = {row["item_id"] for row in table.to_pyarrow().to_pylist()}
    assert items <= set(range(1, MOST_ITEMS + 1))  # the newest


def test_a_buyer_who_viewed_much_is_paired_with_her_newest_views() -> None:
    viewed = range(1, 301)
    events = rows_of(
        *((1, DAY_S - 60 * item, "view", item) for item in viewed),
        (1, 60, "purchase", 1000),
        *((2, 120, "view", item) for item in (1001, 1002)),
        *((2, 60, "purchase", item) for item in (1003, 1004)),
    )
    config = AssociationConfig(least_support=1, neighbours=1000)
    found = pairs(events, "bought_after_viewing", config)
    own = {row["item_id"] for row in found if row["other_id"] == 1000}
    assert own == set(range(300 - MOST_ITEMS + 1, 301))


def test_popular_items_are_decayed_counts() -> None:
    events = random_events(300)
    table = popular_items(ibis.memtable(events), CONFIG, reference_s=REFERENCE_S)
    expected: dict[int, float] = defaultdict(float)
    for row in events.to_pylist():
        if row["item_id"] is not None and row["time_s"] <= REFERENCE_S and _weight(row):
            expected[row["item_id"]] += _weight(row) * _decay(row["time_s"])
    assert_same(
        table.to_pyarrow().to_pylist(),
        [{"item_id": item, "weight": weight} for item, weight in expected.items()],
        ("item_id",),
    )


def test_an_unknown_statistic_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'popular'"):
        pairs(random_events(10), "popular")
