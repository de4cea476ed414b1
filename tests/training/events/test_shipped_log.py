"""The shop log that comes with penchant, read by its own recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from penchant.training.events.event_log import EventLog, open_event_log, read_log_recipe
from penchant.training.recipe import SHIPPED_LOGS, shipped_recipe


@pytest.fixture(scope="module")
def log() -> EventLog:
    return open_event_log(read_log_recipe(shipped_recipe("online_retail_log")))


@pytest.mark.parametrize("name", SHIPPED_LOGS)
def test_shipped_log_recipes_find_their_data(name: str) -> None:
    recipe = read_log_recipe(shipped_recipe(name))
    assert recipe.items is not None
    for table in (recipe.events.table, recipe.items.table):
        assert table.path is not None
        assert Path(table.path).is_file()


def test_all_lines_are_there_and_each_rule_is_counted(log: EventLog) -> None:
    assert log.counts.num_read == 541_909
    assert {each.rule: each.rows for each in log.counts.rules if each.rows} == {
        "no_visitor": 135_080,
        "excluded_items": 1_920,
        "returns": 8_539,
        "duplicates": 5_189,
    }
    assert log.events.count().to_pyarrow().as_py() == log.counts.num_kept == 391_181


def test_products_have_one_title_and_about_forty_categories(log: EventLog) -> None:
    assert log.items is not None
    items = log.items.to_pyarrow().to_pylist()
    by_id = {item["item_id"]: item for item in items}
    assert len(by_id) == len(items) == 4_070
    assert by_id["85123A"]["title"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    categories = {item["category"] for item in items} - {None}
    assert 35 <= len(categories) <= 40
    assert by_id["85123A"]["category"] == "light holder hanging"
    assert all((item["title"] is None) == (item["category"] is None) for item in items)


def test_times_are_london_time(log: EventLog) -> None:
    first = log.events.filter(log.events.order_id == "536365").select("time_s", "hour").limit(1)
    assert first.to_pyarrow().to_pylist() == [{"time_s": 1_291_191_960, "hour": 2 * 24 + 8}]
    summer = log.events.filter(log.events.order_id == "558638").select("time_s", "hour").limit(1)
    # 2011-07-01 08:16, a Friday, an hour ahead of UTC.
    assert summer.to_pyarrow().to_pylist() == [{"time_s": 1_309_504_560, "hour": 4 * 24 + 8}]
