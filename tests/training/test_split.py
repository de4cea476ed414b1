"""Splits and folds: no row twice, goals balanced, groups whole, time in order."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold
from tests.tables import shop_recipe, shop_rows

from penchant.training.recipe import Columns, Goal, Split, read_recipe, shipped_recipe
from penchant.training.split import Parts, folds, split_rows
from penchant.training.table import Table, read_table

BY_GROUP = Split(by="group", column="visitor")
BY_TIME = Split(by="time", column="day")
EVERY_SPLIT = pytest.mark.parametrize("split", [Split(), BY_GROUP, BY_TIME], ids=lambda s: s.by)


@pytest.fixture(scope="module")
def shoppers() -> Table:
    return read_table(read_recipe(shipped_recipe("online_shoppers")))


def in_order(parts: Parts) -> list[np.ndarray]:
    return [parts.train, parts.validation, parts.calibration, parts.test]


def assert_disjoint(parts: Parts) -> None:
    for one, other in combinations(in_order(parts), 2):
        assert not np.intersect1d(one, other).size


@EVERY_SPLIT
def test_a_split_uses_every_row_once(tmp_path: Path, split: Split) -> None:
    table = read_table(shop_recipe(tmp_path, split=split))
    parts = split_rows(table, split)
    np.testing.assert_array_equal(np.sort(np.concatenate(in_order(parts))), np.arange(600))
    shares = [len(rows) / 600 for rows in in_order(parts)]
    np.testing.assert_allclose(shares, [0.6, 0.1, 0.1, 0.2], atol=0.03)


@EVERY_SPLIT
def test_folds_test_disjoint_rows(tmp_path: Path, split: Split) -> None:
    table = read_table(shop_recipe(tmp_path, split=split))
    cut = list(folds(table, 4, seed=3))
    assert len(cut) == 4
    for parts in cut:
        assert_disjoint(parts)
        assert len(parts.validation) / len(parts.train) == pytest.approx(1 / 6, abs=0.05)
    tested = np.concatenate([parts.test for parts in cut])
    assert len(np.unique(tested)) == len(tested)
    if split.by != "time":
        assert len(tested) == 600


def test_goals_are_balanced_together(tmp_path: Path) -> None:
    table = read_table(shop_recipe(tmp_path))
    parts = split_rows(table, Split())
    for both in ([0, 0], [0, 1], [1, 0], [1, 1]):
        counts = [(table.label[rows] == both).all(1).sum() for rows in in_order(parts)]
        whole = sum(counts)
        expected = [whole * share for share in (0.6, 0.1, 0.1, 0.2)]
        np.testing.assert_allclose(counts, expected, rtol=0, atol=2)  # whole rows only


def test_the_seed_decides_the_split(tmp_path: Path) -> None:
    table = read_table(shop_recipe(tmp_path))
    one, same = split_rows(table, Split(seed=1)), split_rows(table, Split(seed=1))
    other = split_rows(table, Split(seed=2))
    np.testing.assert_array_equal(one.test, same.test)
    assert not np.array_equal(one.test, other.test)


def test_groups_stay_whole(tmp_path: Path) -> None:
    table = read_table(shop_recipe(tmp_path, split=BY_GROUP))
    assert table.key is not None
    for parts in (split_rows(table, BY_GROUP), *folds(table, 3, seed=0)):
        groups = [np.unique(table.key[rows]) for rows in in_order(parts)]
        for one, other in combinations(groups, 2):
            assert not np.intersect1d(one, other).size


def test_later_parts_are_later(tmp_path: Path) -> None:
    table = read_table(shop_recipe(tmp_path, split=BY_TIME))
    assert table.key is not None
    for parts in (split_rows(table, BY_TIME), *folds(table, 3, seed=0)):
        times = [table.key[rows] for rows in in_order(parts)]
        for earlier, later in pairwise(times):
            assert earlier.max() < later.min()


def test_times_are_read_from_text_dates_and_numbers(tmp_path: Path) -> None:
    rows = shop_rows(120)
    days = np.datetime64("2026-01-01") + rows["day"]
    expected = read_table(shop_recipe(tmp_path, rows, split=BY_TIME)).key
    for values in (days.astype(str).tolist(), days, days.astype("datetime64[us]")):
        recipe = shop_recipe(tmp_path, rows | {"day": values}, split=BY_TIME)
        np.testing.assert_array_equal(read_table(recipe).key, expected)


def test_stratified_folds_are_those_of_scikit_learn(shoppers: Table) -> None:
    bought = shoppers.arrow["Revenue"].to_numpy()
    expected = StratifiedKFold(5, shuffle=True, random_state=0).split(bought, bought)
    for parts, (learnt, test) in zip(folds(shoppers, 5, seed=0), expected, strict=True):
        np.testing.assert_array_equal(parts.test, test)
        rest = np.concatenate([parts.train, parts.validation, parts.calibration])
        np.testing.assert_array_equal(np.sort(rest), learnt)


def test_without_a_calibration_share_validation_calibrates(tmp_path: Path) -> None:
    table = read_table(shop_recipe(tmp_path))
    parts = split_rows(table, Split(calibration=0.0))
    np.testing.assert_array_equal(parts.calibration, parts.validation)
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 600


def test_a_goal_missing_from_a_part_is_explained(tmp_path: Path) -> None:
    rows = {"x": np.arange(20.0), "bought": [0] * 10 + [1] * 10}
    goals = (Goal(name="purchase", column="bought"),)
    split = Split(by="time", column="x")
    recipe = shop_recipe(tmp_path, rows, columns=Columns(numeric=("x",)), goals=goals, split=split)
    with pytest.raises(
        ValueError, match="the validation part has 2 rows, in which goal 'purchase'"
    ):
        split_rows(read_table(recipe), split)


def test_too_few_rows_are_explained(tmp_path: Path) -> None:
    rows = {"x": [1.0, 2.0, 3.0], "bought": [0, 1, 1]}
    goals = (Goal(name="purchase", column="bought"),)
    recipe = shop_recipe(tmp_path, rows, columns=Columns(numeric=("x",)), goals=goals)
    with pytest.raises(ValueError, match="part has"):
        split_rows(read_table(recipe), recipe.split)


def test_a_missing_time_or_group_is_explained(tmp_path: Path) -> None:
    rows = shop_rows(60)
    rows["visitor"][4] = None
    with pytest.raises(
        ValueError, match="'visitor' has no value in 1 rows, the first of them row 5"
    ):
        read_table(shop_recipe(tmp_path, rows, split=BY_GROUP))
    day = ["2026-01-01"] * 59 + ["31/1/2026"]
    with pytest.raises(ValueError, match="'31/1/2026' in row 60 is not a time"):
        read_table(shop_recipe(tmp_path, shop_rows(60) | {"day": day}, split=BY_TIME))
    split = replace(BY_TIME, column="device")
    with pytest.raises(ValueError, match="'device' is text"):
        read_table(shop_recipe(tmp_path, shop_rows(60), split=split))


def test_one_fold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2, got 1"):
        next(folds(read_table(shop_recipe(tmp_path)), 1, seed=0))
