"""Options from signatures, recipes from files, and what is said of mistakes in them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import pytest

from penchant.clients.binding import bind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """How to fit."""

    seed: int = 0
    """Seed of everything."""
    learning_rate: float = 1e-3
    """Step size."""

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"fit.learning_rate: expected more than 0, got {self.learning_rate}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Goal:
    """One goal."""

    name: str
    """Public name."""
    positive: str | int | None = None
    """Value that counts as reached."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a YAML file says."""

    table: Path
    """Path of the table."""
    goals: tuple[Goal, ...]
    """Goals."""
    numeric: tuple[str, ...] = ()
    """Numeric columns."""
    split: Literal["time", "random"] = "random"
    """How to split."""
    fit: Fit = dataclasses.field(default_factory=Fit)
    """How to fit."""
    trainer: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of the trainer."""

    def relative_to(self, folder: Path) -> Recipe:
        """Paths as seen from a folder."""
        return dataclasses.replace(self, table=folder / self.table)


def train(recipe: Recipe, *, home: Path = Path(".penchant"), resume: bool = False) -> None:
    """Train a model.

    Args:
        recipe: what to train.
        home: the working folder.
        resume: go on where a run stopped.
    """


def score(*, input: Path, output: Path, batch_size: int = 64, check: bool = False) -> None:
    """Score a file.

    Args:
        input: rows to score.
        output: where the scores go.
        batch_size: rows a request.
        check: look, but do nothing.
    """


RECIPE = """
table: data/visitors.csv
numeric: [age, basket]
goals:
  - name: purchase
  - {name: churn, positive: "yes"}
fit: {seed: 3}
trainer: {precision: 32}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def test_signature_becomes_options() -> None:
    bound = bind(score, ["--input", "a.parquet", "--output", "b.parquet", "--batch-size", "8"])

    assert bound == {
        "input": Path("a.parquet"),
        "output": Path("b.parquet"),
        "batch_size": 8,
        "check": False,
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["--check"], True), (["--check=true"], True), (["--check=false"], False)],
)
def test_flag_needs_no_value(words: list[str], expected: bool) -> None:
    assert bind(score, ["--input", "a", "--output", "b", *words])["check"] is expected


def test_recipe_is_flattened_and_overridden(recipe_file: Path) -> None:
    overrides = ["--fit.seed", "7", "--trainer.precision", "bf16-mixed", "--trainer.devices", "2"]
    bound = bind(train, ["--config", str(recipe_file), *overrides, "--resume"])

    assert bound["resume"] is True
    assert bound["recipe"] == Recipe(
        table=recipe_file.parent / "data/visitors.csv",
        goals=(Goal(name="purchase"), Goal(name="churn", positive="yes")),
        numeric=("age", "basket"),
        fit=Fit(seed=7),
        trainer={"precision": "bf16-mixed", "devices": 2},
    )


def test_paths_are_relative_to_a_recipe_given_relatively(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recipe_file.parent)

    bound = bind(train, ["--config", "recipe.yaml"])

    assert bound["recipe"].table == recipe_file.parent / "data/visitors.csv"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("numerc: [a]", ["numerc", "numeric"]),
        ("fit: {sed: 1}", ["fit.sed", "seed"]),
        ("goals: [{nane: purchase}]", ["goals.nane", "name"]),
        ("zzz: 1", ["zzz", "table, goals"]),
    ],
)
def test_unknown_key_is_named_with_the_nearest_and_the_file(
    recipe_file: Path, line: str, words: list[str]
) -> None:
    kept = [text for text in RECIPE.splitlines() if text.partition(":")[0] not in line]
    recipe_file.write_text("\n".join([*kept, line]).replace("  - name: purchase", ""))
    if line.startswith("goals"):
        recipe_file.write_text(f"table: a.csv\n{line}\n")

    with pytest.raises(ValueError, match="unknown key") as caught:
        bind(train, ["--config", str(recipe_file)])

    for word in [*words, str(recipe_file)]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--input", "a"], ["output", "--output"]),
        (["--input", "a", "--output", "b", "--batchsize", "1"], ["--batchsize", "--batch_size"]),
        (["--input", "a", "--output", "b", "--batch-size", "many"], ["batch_size", "int", "many"]),
        (["--input", "a", "--output", "b", "left.over"], ["left.over", "--help"]),
    ],
)
def test_wrong_option_is_explained(argv: list[str], words: list[str]) -> None:
    with pytest.raises(ValueError, match=words[0]) as caught:
        bind(score, argv)

    for word in words:
        assert word in str(caught.value)
    assert "class '" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "argv", "words"),
    [
        (RECIPE, ["--fit.learning_rate", "-1"], ["fit.learning_rate", "-1"]),
        (RECIPE, ["--split", "moon"], ["split", "time", "moon"]),
        (RECIPE, ["--fit.sed", "1"], ["--fit.sed", "--fit.seed"]),
        ("table: [", [], ["recipe.yaml", "YAML"]),
        ("- a\n- b\n", [], ["recipe.yaml", "list"]),
        ("", [], ["recipe.yaml", "NoneType"]),
        ("numeric: [a]", [], ["table", "goals", "required"]),
    ],
)
def test_wrong_recipe_is_explained(
    recipe_file: Path, content: str, argv: list[str], words: list[str]
) -> None:
    recipe_file.write_text(content)

    with pytest.raises(ValueError, match=words[0]) as caught:
        bind(train, ["--config", str(recipe_file), *argv])

    for word in words:
        assert word in str(caught.value)


def test_missing_recipe_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.yaml"):
        bind(train, ["--config", str(tmp_path / "nowhere.yaml")])


def test_help_of_a_verb_comes_from_its_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        bind(train, ["--help"], prog="penchant train")

    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in ("penchant train", "Train a model.", "Seed of everything.", "go on where a run"):
        assert part in text


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogRecipe:
    """Another kind of recipe that the same verb takes."""

    name: str
    """Name."""
    events: str
    """Where events are."""
    gap: int = 30
    """Minutes."""


def inspect(recipe: Recipe | LogRecipe) -> None:
    """Show either."""


@pytest.mark.parametrize(
    ("text", "argv", "kind"),
    [
        ("name: a\nevents: log.csv", [], LogRecipe),
        ("table: rows.csv\ngoals: [{name: buy}]", [], Recipe),
        ("name: a", ["--events", "log.csv", "--gap=7"], LogRecipe),
    ],
)
def test_of_two_kinds_of_recipe_a_file_is_the_one_with_its_keys(
    tmp_path: Path, text: str, argv: list[str], kind: type[Any]
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    assert type(bind(inspect, ["--config", str(path), *argv])["recipe"]) is kind


def test_a_mistyped_key_is_explained_by_the_kind_of_recipe_it_is_in(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: a\nevents: log.csv\ngpa: 3")
    with pytest.raises(ValueError, match="unknown key 'gpa'; did you mean 'gap'"):
        bind(inspect, ["--config", str(path)])
    path.write_text("- a")
    with pytest.raises(ValueError, match="expected keys with values"):
        bind(inspect, ["--config", str(path)])
