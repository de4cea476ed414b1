"""Baselines: strong enough to be worth beating, blind to the test rows, quiet and repeatable."""

from pathlib import Path

import numpy as np
import pytest
from tests.tables import shop_recipe, shop_rows

from penchant.training.baselines import (
    LIGHTGBM,
    LOGISTIC,
    fit_baselines,
    fit_lightgbm,
)
from penchant.training.metrics import binary_metrics
from penchant.training.recipe import Columns, Goal, Split, read_recipe, shipped_recipe
from penchant.training.split import Parts, folds, seen_rows, split_rows
from penchant.training.table import Table, read_table


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """600 made-up visits with two goals and every kind of column."""
    return read_table(shop_recipe(tmp_path))


def test_both_beat_a_coin_and_repeat_themselves(table: Table) -> None:
    parts = split_rows(table, table.recipe.split)
    models = fit_baselines(table, parts)
    assert list(models) == [LOGISTIC, LIGHTGBM]
    again = fit_baselines(table, parts)
    for name, model in models.items():
        scores = model.predict(table, parts.test)
        assert scores.shape == (len(parts.test), 2)
        assert binary_metrics(table.label[parts.test, 0], scores[:, 0]).auc > 0.6
        np.testing.assert_array_equal(scores, again[name].predict(table, parts.test))


def test_lightgbm_has_its_known_strength_on_online_shoppers() -> None:
    # One of the five folds of the published comparison, whose mean is .9353/.7559/.2224.
    table = read_table(read_recipe(shipped_recipe("online_shoppers")))
    parts = next(iter(folds(table, 5, seed=0)))
    model = fit_lightgbm(table, seen_rows(parts))
    found = binary_metrics(table.label[parts.test, 0], model.predict(table, parts.test)[:, 0])
    assert found.auc > 0.925
    assert found.average_precision > 0.72
    assert found.logloss < 0.24


@pytest.mark.parametrize("name", [LOGISTIC, LIGHTGBM])
def test_learns_from_all_but_the_test_rows(table: Table, name: str) -> None:
    parts = split_rows(table, table.recipe.split)
    assert not np.isin(parts.test, seen_rows(parts)).any()
    assert len(seen_rows(parts)) + len(parts.test) == table.num_rows
    before = fit_baselines(table, parts)[name].predict(table, parts.test)
    table.label[parts.test] = 1 - table.label[parts.test]
    np.testing.assert_array_equal(
        fit_baselines(table, parts)[name].predict(table, parts.test), before
    )
    table.label[parts.calibration] = 1 - table.label[parts.calibration]
    assert not np.array_equal(fit_baselines(table, parts)[name].predict(table, parts.test), before)


def test_rows_without_a_label_are_left_out_for_that_goal(table: Table) -> None:
    parts = split_rows(table, table.recipe.split)
    table.label[parts.train[::2], 1] = np.nan
    kept = Parts(
        train=parts.train[1::2],
        validation=parts.validation,
        calibration=parts.calibration,
        test=parts.test,
    )
    model = fit_lightgbm(table, seen_rows(parts))
    for place in (0, 1):
        # the goal that misses labels is learnt as if its rows were not there, the other one not
        alone = fit_lightgbm(table, seen_rows(kept)).predict(table, parts.test)[:, place]
        assert np.allclose(model.predict(table, parts.test)[:, place], alone) == (place == 1)


def test_a_goal_that_never_varies_is_its_rate(table: Table) -> None:
    parts = split_rows(table, table.recipe.split)
    table.label[seen_rows(parts), 0] = 1
    table.label[:, 1] = np.nan
    for model in fit_baselines(table, parts).values():
        scores = model.predict(table, parts.test)
        np.testing.assert_array_equal(scores, [[1.0, 0.5]] * len(parts.test))


@pytest.mark.parametrize(
    "columns",
    [
        Columns(numeric=("seconds",)),
        Columns(categorical=("device",)),
        Columns(numeric=("empty", "constant", "infinite"), categorical=("note",)),
    ],
)
def test_any_mix_of_columns_gives_probabilities(tmp_path: Path, columns: Columns) -> None:
    rows = shop_rows()
    rows["empty"] = np.full(600, np.nan)
    rows["constant"] = np.full(600, 3.5)
    rows["infinite"] = np.where(np.arange(600) % 2, np.inf, -np.inf)
    goals = (Goal(name="purchase", column="bought"),)
    recipe = shop_recipe(tmp_path, rows, columns=columns, goals=goals, split=Split(calibration=0.0))
    table = read_table(recipe)
    parts = split_rows(table, recipe.split)
    for model in fit_baselines(table, parts).values():
        scores = model.predict(table, parts.test)
        assert np.isfinite(scores).all()
        assert ((scores > 0) & (scores < 1)).all()


def test_a_category_only_the_test_rows_have_counts_as_unknown(tmp_path: Path) -> None:
    rows = shop_rows()
    recipe = shop_recipe(tmp_path, rows, columns=Columns(categorical=("device",)))
    parts = split_rows(read_table(recipe), recipe.split)
    rows["device"] = ["new" if n == parts.test[0] else d for n, d in enumerate(rows["device"])]
    rows["device"][parts.test[1]] = None
    table = read_table(shop_recipe(tmp_path, rows, columns=Columns(categorical=("device",))))
    for model in fit_baselines(table, parts).values():
        unknown, missing = model.predict(table, parts.test[:2])
        np.testing.assert_allclose(unknown, missing)
