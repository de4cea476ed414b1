"""Categories made from titles: named, repeatable, in any script."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training.events.small_logs import log_recipe

from penchant.training.events.event_log import open_event_log
from penchant.training.events.log_recipe import ItemColumns, ItemsConfig
from penchant.training.events.title_categories import categorize_titles
from penchant.training.recipe import TableSource

KINDS = ("winter boot", "کفش چرمی", "płaszcz zimowy", "hat")
TITLES = [f"{kind} {number}" for number in range(5) for kind in KINDS]


def test_titles_with_the_same_words_share_a_category_named_by_them() -> None:
    categories = categorize_titles(TITLES, 4)
    assert len(set(categories)) == 4
    for place, kind in enumerate(KINDS):
        (name,) = set(categories[place :: len(KINDS)])
        assert set(name.split()) == set(kind.split())


def test_the_same_seed_gives_the_same_categories() -> None:
    titles = [f"{a} {b}" for a in ("red", "blue", "green") for b in ("bag", "box", "mug", "tin")]
    assert categorize_titles(titles, 3, seed=1) == categorize_titles(titles, 3, seed=1)


def test_more_categories_than_titles_are_as_many_as_there_can_be() -> None:
    assert len(set(categorize_titles(TITLES, 100))) == 4


def test_titles_without_a_word_in_common_are_refused() -> None:
    with pytest.raises(ValueError, match="categories_from_titles: expected titles with words"):
        categorize_titles(["one", "two", "12"], 2)


def test_items_get_the_category_of_their_title(tmp_path: Path) -> None:
    items = {"sku": [f"i{n}" for n in range(21)], "title": [*TITLES, None]}
    recipe = log_recipe(tmp_path, items=items)
    assert recipe.items is not None
    made = ItemsConfig(
        table=recipe.items.table, columns=recipe.items.columns, categories_from_titles=4
    )
    log = open_event_log(type(recipe)(name="made", events=recipe.events, items=made))
    assert log.items is not None
    found = log.items.order_by("title").to_pyarrow().to_pylist()
    assert [item["category"] for item in found if item["title"] is None] == [None]
    assert {item["category"] for item in found if (item["title"] or "").startswith("hat")} == {
        "hat"
    }


def test_categories_from_titles_need_titles_and_no_categories() -> None:
    with pytest.raises(ValueError, match=r"no items.columns.category, got title None"):
        ItemsConfig(
            table=TableSource(path="items.csv"),
            columns=ItemColumns(item_id="sku"),
            categories_from_titles=3,
        )
