"""Recipes: what is refused, with which words, and that a recipe survives being written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tables import shop_recipe

from penchant.training.fingerprint import recipe_fingerprint
from penchant.training.recipe import (
    SHIPPED,
    Budget,
    Columns,
    FeatureConfig,
    FitConfig,
    Goal,
    MultiValuedColumn,
    Recipe,
    Split,
    TableSource,
    read_recipe,
    shipped_recipe,
)

SOURCE = TableSource(path="rows.parquet")
COLUMNS = Columns(numeric=("pages",))
GOAL = Goal(name="purchase", column="bought")


def make_recipe(
    name: str = "shop", columns: Columns = COLUMNS, goals: tuple[Goal, ...] = (GOAL,)
) -> Recipe:
    return Recipe(name=name, table=SOURCE, columns=columns, goals=goals)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_find_their_data(name: str) -> None:
    recipe = read_recipe(shipped_recipe(name))
    path = recipe.examples.log if recipe.examples is not None else recipe.place
    assert Path(path).is_file()


def test_an_unknown_shipped_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="online_shoppers, telco_churn, online_retail_repeat"):
        shipped_recipe("bank")


def test_overrides_win_over_the_file() -> None:
    recipe = read_recipe(
        shipped_recipe("online_shoppers"),
        ["--fit.seed", "7", "--columns.ignored", "[PageValues, Month]", "--name", "again"],
    )
    assert recipe.fit.seed == 7
    assert recipe.name == "again"
    assert "PageValues" not in recipe.columns.numeric
    assert "Month" not in recipe.columns.categorical
    assert len(recipe.columns.features) == 15


def test_a_recipe_written_as_json_reads_back_equal(tmp_path: Path) -> None:
    recipe = shop_recipe(tmp_path, trainer={"precision": "bf16-mixed"})
    path = tmp_path / "recipe.json"
    path.write_text(recipe.to_json(), encoding="utf-8")
    assert read_recipe(path) == recipe


def test_the_fingerprint_knows_settings_but_not_folders() -> None:
    recipe = make_recipe()
    moved = replace(recipe, table=TableSource(path="/elsewhere/rows.parquet"))
    assert recipe_fingerprint(moved) == recipe_fingerprint(recipe)
    assert recipe_fingerprint(make_recipe(name="other")) != recipe_fingerprint(recipe)
    renamed = replace(recipe, table=TableSource(path="others.parquet"))
    assert recipe_fingerprint(renamed) != recipe_fingerprint(recipe)


def test_the_table_is_looked_for_beside_the_recipe_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "beside", tmp_path / "here"
    for folder in (beside, here):
        folder.mkdir()
        (folder / "rows.parquet").touch()
    monkeypatch.chdir(here)
    recipe = make_recipe()
    assert recipe.relative_to(beside).place == str(beside / "rows.parquet")
    (beside / "rows.parquet").unlink()
    assert recipe.relative_to(beside).place == "rows.parquet"


def test_a_database_file_is_looked_for_beside_the_recipe_too(tmp_path: Path) -> None:
    (tmp_path / "shop.db").touch()
    source = TableSource(url="duckdb://shop.db", name="visits")
    assert source.relative_to(tmp_path).url == f"duckdb://{tmp_path / 'shop.db'}"
    remote = TableSource(url="postgres://me@host/shop", name="visits")
    assert remote.relative_to(tmp_path) == remote


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("nmae: x", ("nmae", "did you mean 'name'")),
        ("fit: {learning_rat: 1}", ("fit.learning_rat", "did you mean 'learning_rate'")),
        ("goals: [{name: a, colum: b}]", ("goals.colum", "did you mean 'column'")),
        ("columns: {multi_valued: [{name: a, seperator: b}]}", ("seperator", "'separator'")),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_and_the_file(
    tmp_path: Path, content: str, expected: tuple[str, ...]
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"recipe\.yaml") as caught:
        read_recipe(path)
    for words in expected:
        assert words in str(caught.value)


def test_a_recipe_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.yaml"):
        read_recipe(tmp_path / "nothing.yaml")


def test_an_unknown_trainer_argument_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"trainer\.precison.*did you mean precision"):
        Recipe(
            name="shop", table=SOURCE, columns=COLUMNS, goals=(GOAL,), trainer={"precison": "16"}
        )


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"callbacks": []}, r"trainer\.callbacks: .*brings its own; leave it out"),
        ({"max_epochs": 3}, r"trainer\.max_epochs: .*fit\.max_epochs"),
        ({"enable_checkpointing": False}, r"trainer\.enable_checkpointing: .*best epoch"),
    ],
)
def test_trainer_arguments_that_the_fit_sets_itself_are_refused_with_the_remedy(
    trainer: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(name="shop", table=SOURCE, columns=COLUMNS, goals=(GOAL,), trainer=trainer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_recipe(name="1st"), "name: expected a letter"),
        (lambda: make_recipe(name="a b"), "name: expected a letter"),
        (lambda: make_recipe(name="a" * 65), "name: expected a letter"),
        (lambda: make_recipe(goals=()), "goals: expected at least one"),
        (lambda: make_recipe(goals=(GOAL, Goal(name="purchase", column="x"))), "name purchase"),
        (lambda: make_recipe(goals=(GOAL, Goal(name="x", column="bought"))), "column bought"),
        (lambda: make_recipe(columns=Columns(categorical=("bought",))), "gives the answer away"),
        (lambda: Columns(numeric=("a",), categorical=("a",)), "a named more than once"),
        (
            lambda: Columns(numeric=("a",), multi_valued=(MultiValuedColumn(name="a"),)),
            "a named more than once",
        ),
        (lambda: Columns(numeric=("a",), ignored=("b", "b")), "b named more than once"),
        (lambda: make_recipe(columns=Columns()), "at least one column"),
        (
            lambda: make_recipe(columns=Columns(numeric=("a",), ignored=("a",))),
            "at least one column",
        ),
        (lambda: MultiValuedColumn(name="a", separator=""), "a needs a separator"),
        (lambda: MultiValuedColumn(name="a", max_values=0), "at least 1"),
        (lambda: Split(test=0.5, validation=0.3, calibration=0.2), "must leave rows to train on"),
        (lambda: Split(test=0.0), r"split\.test"),
        (lambda: Split(validation=float("nan")), r"split\.validation"),
        (lambda: Split(calibration=-0.1), r"split\.calibration"),
        (lambda: Split(by="time"), r"split\.column: expected the column that holds the time"),
        (lambda: Split(column="day"), r"split\.column: expected no column"),
        (lambda: FeatureConfig(num_bins=0), r"features\.num_bins"),
        (lambda: FitConfig(batch_size=0), r"fit\.batch_size"),
        (lambda: FitConfig(learning_rate=float("nan")), r"fit\.learning_rate"),
        (lambda: Budget(latency_p99_ms=0), r"budget\.latency_p99_ms"),
        (lambda: TableSource(), "either a path"),
        (lambda: TableSource(path="a", url="duckdb://b", name="c"), "either a path"),
        (lambda: TableSource(url="duckdb://b"), "url and name belong together"),
        (lambda: TableSource(url="shop.db", name="c"), "Ibis connection URL"),
    ],
)
def test_settings_that_contradict_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_password_in_clear_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError, match="DATABASE_PASSWORD") as caught:
        TableSource(url="postgres://me:s3cret@host/shop", name="visits")
    assert "s3cret" not in str(caught.value)
    TableSource(url="postgres://me:${SHOP_PASSWORD}@host/shop", name="visits")


def test_reading_a_recipe_loads_no_heavy_library() -> None:
    code = (
        "import sys; from penchant.training.recipe import read_recipe, shipped_recipe; "
        "read_recipe(shipped_recipe('telco_churn')); "
        "print([m for m in ('torch', 'mlflow', 'ibis', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"
