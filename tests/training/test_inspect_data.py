"""What `penchant inspect data` finds: numbers checked against tables made to have them."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score
from tests.tables import shop_recipe, shop_rows

from penchant.clients.command import main
from penchant.training.inspect_data import render_profile
from penchant.training.profile import (
    SUSPECT_AUC,
    TableProfile,
    category_auc,
    numeric_auc,
    profile_table,
)
from penchant.training.recipe import Columns, Goal, read_recipe, shipped_recipe
from penchant.training.table import read_table

GOALS = (Goal(name="purchase", column="bought"),)


def shown(profile: TableProfile) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(render_profile(profile))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_online_shoppers_is_as_published() -> None:
    profile = profile_table(read_recipe(shipped_recipe("online_shoppers")))
    assert profile.num_rows == 12_330
    assert profile.num_duplicates == 125
    assert (profile.goals[0].positive, profile.goals[0].negative) == (1_908, 10_422)
    columns = {column.name: column for column in profile.columns}
    assert columns["Month"].distinct == 10
    best = max(profile.columns, key=lambda column: column.auc[0])
    assert best.name == "PageValues"
    assert 0.85 < best.auc[0] < SUSPECT_AUC
    assert profile.parts == {
        "train": 7_398,
        "validation": 1_233,
        "calibration": 1_233,
        "test": 2_466,
    }
    assert not profile.not_named


def test_missing_values_types_and_examples_are_told(tmp_path: Path) -> None:
    rows = shop_rows()
    profile = profile_table(shop_recipe(tmp_path, rows))
    columns = {column.name: column for column in profile.columns}
    assert columns["seconds"].missing == pytest.approx(12 / 600)
    assert columns["device"].missing == pytest.approx(15 / 600)
    assert columns["device"].distinct == 3
    assert columns["pages"].distinct == 8
    assert columns["member"].kind == "bool"
    assert columns["interests"].role == "multi-valued"
    assert columns["interests"].distinct == 3
    assert columns["interests"].example == rows["interests"][0].replace("|", ", ")
    assert [goal.name for goal in profile.goals] == ["purchase", "leave"]
    assert set(profile.not_named) == {"visitor", "day", "note"}


def test_a_column_that_tells_the_goal_is_a_suspect(tmp_path: Path) -> None:
    rows = shop_rows()
    bought = np.array(rows["bought"])
    rows |= {
        "paid": np.where(bought, 30.0, 0.0),
        "refused": np.where(bought, -1.0, 5.0),
        "invoice": [f"i{n}" if b else None for n, b in enumerate(bought)],
        "receipt_day": [1.0 + n % 7 if b else None for n, b in enumerate(bought)],
        "state": np.where(bought, "done", "open"),
        "session": [f"s{n}" for n in range(600)],
        "tags": ["x|paid" if b else "x" for b in bought],
    }
    columns = Columns(
        numeric=("paid", "refused", "receipt_day", "pages"),
        categorical=("invoice", "state", "session", "device"),
    )
    profile = profile_table(shop_recipe(tmp_path, rows, columns=columns, goals=GOALS))
    suspects = {column.name for column in profile.columns if column.is_suspect}
    assert suspects == {"paid", "refused", "receipt_day", "state", "invoice"}
    text = shown(profile)
    assert "Leakage suspects: paid, refused, receipt_day, invoice, state" in text
    assert "nearly unique: an id?" in text


def test_a_unique_column_tells_nothing(tmp_path: Path) -> None:
    rows = shop_rows() | {"session": [f"s{n}" for n in range(600)]}
    columns = Columns(categorical=("session",))
    profile = profile_table(shop_recipe(tmp_path, rows, columns=columns, goals=GOALS))
    assert profile.columns[0].auc[0] == pytest.approx(0.5)


def test_numeric_auc_is_that_of_scikit_learn_in_the_better_direction() -> None:
    random = np.random.default_rng(0)
    label = (random.random(500) < 0.3).astype(np.float32)
    values = random.integers(0, 9, (500, 3)).astype(np.float32)
    values[:, 1] -= label * 3
    label[:50] = np.nan
    expected = [roc_auc_score(label[50:], column[50:]) for column in values.T]
    better = [max(auc, 1 - auc) for auc in expected]
    np.testing.assert_allclose(numeric_auc(values, label), better)


def test_category_auc_finds_what_the_categories_tell(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shop = random.choice(["a", "b", "c"], 4_000)
    chance = np.select([shop == "a", shop == "b"], [0.1, 0.5], 0.9)
    bought = random.random(4_000) < chance
    rows = {"x": shop, "bought": bought}
    recipe = shop_recipe(tmp_path, rows, columns=Columns(categorical=("x",)), goals=GOALS)
    table = read_table(recipe)
    found = category_auc(table.categorical[0], table.label[:, 0])
    assert found == pytest.approx(roc_auc_score(bought, chance), abs=0.01)


def test_columns_that_say_nothing_are_noted(tmp_path: Path) -> None:
    rows = {"a": [1.0] * 60, "b": [None] * 59 + [" "], "c": ["x"] * 60, "bought": [0, 1] * 30}
    columns = Columns(numeric=("a", "b"), categorical=("c",))
    profile = profile_table(shop_recipe(tmp_path, rows, columns=columns, goals=GOALS))
    assert [column.distinct for column in profile.columns] == [1, 0, 1]
    assert profile.num_duplicates > 50
    text = shown(profile)
    assert "empty" in text
    assert text.count("constant") == 2


def test_a_split_that_cannot_be_made_does_not_hide_the_rest(tmp_path: Path) -> None:
    rows = {"a": [1.0, 2.0, 3.0], "bought": [0, 1, 1]}
    columns = Columns(numeric=("a",))
    profile = profile_table(shop_recipe(tmp_path, rows, columns=columns, goals=GOALS))
    assert profile.parts == {}
    assert "part has" in profile.split_problem
    assert "split: the" in shown(profile)


def test_the_verb_prints_columns_goals_and_parts(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(shipped_recipe("telco_churn"))
    assert main(["inspect", "data", "--config", recipe, "--columns.ignored", "[tenure]"]) == 0
    text = capsys.readouterr().out
    assert "7,043 rows" in text
    assert "Contract" in text
    assert "Ignored: tenure" in text
    assert "customerID" in text


def test_the_verb_explains_a_missing_table_and_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = str(shipped_recipe("telco_churn"))
    assert main(["inspect", "data", "--config", recipe, "--table.path", "gone.parquet"]) == 2
    assert "no file gone.parquet" in capsys.readouterr().err
