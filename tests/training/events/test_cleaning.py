"""Each cleaning rule: counted, and dropped, kept or refused as the recipe says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.training.events.small_logs import (
    DAY_S,
    NOW_S,
    events_of,
    log_recipe,
    log_rows,
    opened,
)

from penchant.training.events.cleaning import RULES
from penchant.training.events.event_log import open_event_log
from penchant.training.events.log_recipe import Cleaning

SALES: dict[str, Any] = {
    "columns": {"price": "price", "quantity": "pieces", "order_id": "basket"},
    "cancelled_order": "^C",
}


def sales(**columns: Any) -> dict[str, Any]:
    rows = log_rows(price=[1.0] * 4, pieces=[1] * 4, basket=["1", "2", "3", "4"])
    return {**rows, **columns}


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no_visitor": (log_rows(who=["v0", "", None, "v3"]), {}, "row 2 of .*who=''"),
    "unparsable_time": (
        log_rows(at=["2023-11-01", "soon", "2023-11-03", None]),
        {"time_unit": "timestamp"},
        "row 2 of .*at='soon'.*events.time_unit",
    ),
    "future_time": (
        log_rows(at=[NOW_S, NOW_S - 1, NOW_S + 1, NOW_S + DAY_S]),
        {},
        "later than now, 2023-11-14 22:13.*row 3 of .*milliseconds",
    ),
    "duplicates": (
        log_rows(who=["a"] * 4, at=[NOW_S] * 4, sku=["x", "y", "x", "x"]),
        {},
        "equal to an earlier one.*row 3 of .*sku='x'",
    ),
    "negative_value": (sales(price=[1.0, 2.0, -3.0, -0.01]), SALES, "row 3 of .*price=-3.0"),
    "returns": (
        sales(basket=["1", "C2", "3", "4"], pieces=[1, 2, 1, -1]),
        SALES,
        "row 2 of .*basket='C2'",
    ),
    "unknown_item": (log_rows(), {"items": {"sku": ["i0", "i3", "i9"]}}, "row 2 of .*sku='i1'"),
    "no_consent": (
        log_rows(),
        {"customers": {"who": ["v0", "v1", "v3"], "agreed": [True, False, True]}},
        "row 2 of .*who='v1'",
    ),
}
"""Rule to rows of which two break it, what else the recipe says, and how a refusal begins."""


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_drops_and_counts_its_rows_alone(tmp_path: Path, rule: str) -> None:
    rows, settings, _ = CASES[rule]
    log = opened(tmp_path, rows, cleaning={rule: "drop"}, **settings)
    assert {count.rule: count.rows for count in log.counts.rules if count.rows} == {rule: 2}
    assert (log.counts.num_read, log.counts.num_kept) == (4, 2)
    assert len(events_of(log)) == 2


@pytest.mark.parametrize("rule", sorted(set(CASES) - {"no_visitor", "unparsable_time"}))
def test_a_rule_that_keeps_counts_its_rows_all_the_same(tmp_path: Path, rule: str) -> None:
    rows, settings, _ = CASES[rule]
    log = opened(tmp_path, rows, cleaning={rule: "keep"}, **settings)
    assert log.counts.rows(rule) == 2
    assert log.counts.num_kept == len(events_of(log)) == 4


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_that_refuses_shows_the_first_row_and_the_remedy(tmp_path: Path, rule: str) -> None:
    rows, settings, shown = CASES[rule]
    with pytest.raises(ValueError, match=rf"cleaning\.{rule}: 2 rows .*{shown}") as caught:
        opened(tmp_path, rows, cleaning={rule: "refuse"}, **settings)
    assert f"set cleaning.{rule} to drop" in str(caught.value)


def test_times_that_cannot_be_read_and_future_ones_are_refused_by_default(tmp_path: Path) -> None:
    for rule in ("unparsable_time", "future_time"):
        rows, settings, _ = CASES[rule]
        with pytest.raises(ValueError, match=rule):
            opened(tmp_path, rows, **settings)


def test_a_row_is_counted_by_the_first_rule_that_drops_it(tmp_path: Path) -> None:
    rows = sales(
        who=[None, "v", "v", "v"],
        at=[NOW_S + 9, NOW_S + 9, NOW_S - 9, NOW_S - 9],
        sku=["POST", "POST", "POST", "i"],
        pieces=[-1, -1, -1, -1],
        price=[-1.0] * 4,
    )
    settings = {"future_time": "drop", "excluded_items": ("POST",), "returns": "drop"}
    with pytest.raises(ValueError, match="no row of 4 is left") as caught:
        opened(tmp_path, rows, cleaning=settings, **SALES)
    assert "no_visitor 1, future_time 1, excluded_items 1, returns 1" in str(caught.value)


def test_a_return_is_not_counted_as_a_negative_value_too(tmp_path: Path) -> None:
    rows = sales(pieces=[1, -2, 1, 1])
    log = opened(tmp_path, rows, cleaning={"returns": "keep"}, **SALES)
    assert log.counts.rows("returns") == 1
    assert log.counts.rows("negative_value") == 0
    assert min(row["value"] for row in events_of(log)) == -2.0


def test_rows_that_differ_in_one_mapped_column_are_no_duplicates(tmp_path: Path) -> None:
    same = log_rows(who=["a"] * 4, at=[NOW_S] * 4, sku=["x"] * 4, note=list("abcd"))
    assert opened(tmp_path, same).counts.rows("duplicates") == 3
    assert opened(tmp_path, same, columns={"query": "note"}).counts.rows("duplicates") == 0


def test_the_newest_events_of_a_busy_visitor_are_kept(tmp_path: Path) -> None:
    num = 100_000
    rows = log_rows(num, who=["bot"] * (num - 1) + ["once"], at=list(range(num)))
    log = opened(tmp_path, rows, cleaning={"most_events": 1_000})
    assert log.counts.rows("most_events") == num - 1 - 1_000
    assert log.counts.num_kept == 1_001
    bot = log.events.filter(log.events.visitor_id == "bot")
    assert bot.time_s.min().to_pyarrow().as_py() == num - 1 - 1_000
    assert log.events.visitor_id.nunique().to_pyarrow().as_py() == 2


def test_what_a_visitor_has_too_much_is_told_without_duplicates(tmp_path: Path) -> None:
    rows = log_rows(who=["a"] * 4, at=[NOW_S, NOW_S, NOW_S - 1, NOW_S - 2], sku=["x"] * 4)
    log = opened(tmp_path, rows, cleaning={"most_events": 2})
    assert (log.counts.rows("duplicates"), log.counts.rows("most_events")) == (1, 1)
    assert [row["time_s"] for row in events_of(log)] == [NOW_S - 1, NOW_S]


def test_unsorted_rows_are_the_same_log(tmp_path: Path) -> None:
    rows = pa.table(log_rows(9, who=["a"] * 9))
    mixed = rows.take([4, 8, 0, 3, 1, 7, 2, 6, 5])
    assert events_of(opened(tmp_path, mixed)) == events_of(opened(tmp_path, rows))


def test_items_and_customers_have_each_key_once(tmp_path: Path) -> None:
    items = {"sku": ["i0", "i0", None, "i1"], "category": ["b", "a", "c", "d"]}
    customers = {"who": ["v0", "v0"], "agreed": [False, False]}
    log = opened(tmp_path, items=items, customers=customers)
    assert log.counts.rows("duplicate_keys") == 3
    assert log.counts.num_kept == 4
    assert log.items is not None
    found = log.items.order_by("item_id").to_pyarrow()
    assert found["category"].to_pylist() == ["a", "d"]
    with pytest.raises(ValueError, match=r"cleaning.duplicate_keys: 3 rows of the item or cust"):
        opened(tmp_path, items=items, customers=customers, cleaning={"duplicate_keys": "refuse"})


@pytest.mark.parametrize("agreed", [["yes", "no", None], [1, 0, None], ["TRUE", "f", ""]])
def test_consent_is_read_as_people_write_it(tmp_path: Path, agreed: list[Any]) -> None:
    customers = {"who": ["v0", "v1", "v2"], "agreed": agreed}
    log = opened(tmp_path, customers=customers, cleaning={"no_consent": "drop"})
    assert [row["visitor_id"] for row in events_of(log)] == ["v0"]


def test_consent_is_not_asked_without_a_column_of_it(tmp_path: Path) -> None:
    customers = {"who": ["v0"], "city": ["Brno"]}
    config = log_recipe(tmp_path, customers=customers | {"agreed": [True]}).customers
    assert config is not None
    recipe = log_recipe(tmp_path)
    silent = replace(config, columns=replace(config.columns, consent=None))
    log = open_event_log(replace(recipe, customers=silent), now_s=NOW_S)
    assert log.counts.rows("no_consent") == 0
    with pytest.raises(ValueError, match=r"cleaning\.no_consent: drop needs customers\.columns"):
        replace(recipe, customers=silent, cleaning=Cleaning(no_consent="drop"))


def test_every_rule_is_in_the_counts(tmp_path: Path) -> None:
    rules = [count.rule for count in opened(tmp_path).counts.rules]
    assert rules == [*RULES, "duplicate_keys"]
