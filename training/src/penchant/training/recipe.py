"""What a recipe file says: where the data is, what its columns mean, and how to train on it.

Loads neither torch nor Lightning, so that a command answers at once when a recipe is wrong.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from penchant.clients.command import bind
from penchant.training.network_config import NetworkConfig
from penchant.training.recipe_checks import (
    DATABASE_FILE_SCHEMES,
    check_database_url,
    check_least,
    check_model_name,
    check_shares,
    check_trainer,
)

SHIPPED: Final = ("online_shoppers", "telco_churn")
"""Recipes that come with penchant, with their data."""


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """Where the rows are: a file, or a table of a database that Ibis reads."""

    path: str | None = None
    """CSV or Parquet file; a relative path is looked for beside the recipe first."""
    url: str | None = None
    """Ibis connection URL, as in duckdb://shop.db, sqlite://shop.db, postgres://me:${PASSWORD}@host/shop."""
    name: str | None = None
    """Name of the database table or view; only with `url`."""

    def __post_init__(self) -> None:
        """Refuse anything but a path alone or a URL with a table name."""
        if (self.path is None) == (self.url is None):
            raise ValueError(
                "table: expected either a path (a CSV or Parquet file) or a url with a name, "
                f"got path {self.path!r} and url {self.url!r}; --table.path null drops a recipe's "
                "path"
            )
        if (self.url is None) != (self.name is None):
            raise ValueError(
                "table: url and name belong together (a database and a table in it), "
                f"got url {self.url!r} and name {self.name!r}"
            )
        if self.url is not None:
            check_database_url(self.url)

    def relative_to(self, folder: Path) -> "TableSource":
        """The same source, with a file's relative path looked for in `folder` first."""
        if self.path is not None:
            return replace(self, path=_beside(folder, self.path))
        scheme, separator, rest = str(self.url).partition("://")
        if scheme not in DATABASE_FILE_SCHEMES or not rest:
            return self
        return replace(self, url=scheme + separator + _beside(folder, rest))


@dataclass(frozen=True, kw_only=True)
class MultiValuedColumn:
    """A column that holds several categories a row: a list, or text with a separator."""

    name: str
    """Column name."""
    separator: str = "|"
    """What stands between the categories when the column is text."""
    max_values: int = 16
    """Categories read from one row; those after them are left out."""

    def __post_init__(self) -> None:
        """Refuse a separator that separates nothing and a column without slots."""
        if not self.separator:
            raise ValueError(f"columns.multi_valued: {self.name} needs a separator, got ''")
        check_least("columns.multi_valued.max_values", self.max_values, 1)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of the table are features, and of which kind."""

    numeric: tuple[str, ...] = ()
    """Columns whose order and distances mean something: counts, amounts, durations."""
    categorical: tuple[str, ...] = ()
    """Columns that name one thing out of several: text, codes, truth values."""
    multi_valued: tuple[MultiValuedColumn, ...] = ()
    """Columns that hold several categories a row."""
    ignored: tuple[str, ...] = ()
    """Columns left out; one that is named here is left out even if it is named above too."""

    def __post_init__(self) -> None:
        """Refuse a column that is named twice, and a table without features."""
        names = [*self.numeric, *self.categorical, *(c.name for c in self.multi_valued)]
        for group in (names, list(self.ignored)):
            twice = [name for name, count in Counter(group).items() if count > 1]
            if twice:
                raise ValueError(
                    f"columns: {_listed(twice)} named more than once among numeric, categorical "
                    "and multi_valued; leave each column in one group"
                )
        if not set(names) - set(self.ignored):
            raise ValueError(
                "columns: expected at least one column in numeric, categorical or multi_valued "
                "that is not in ignored, got none"
            )

    def without_ignored(self) -> "Columns":
        """The same columns, with the ignored ones gone from every group."""
        ignored = set(self.ignored)
        return replace(
            self,
            numeric=tuple(name for name in self.numeric if name not in ignored),
            categorical=tuple(name for name in self.categorical if name not in ignored),
            multi_valued=tuple(c for c in self.multi_valued if c.name not in ignored),
        )

    @property
    def features(self) -> tuple[str, ...]:
        """Names in the order of the contract: numeric, categorical, multi-valued."""
        return (*self.numeric, *self.categorical, *(c.name for c in self.multi_valued))


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Something a visitor may do, and the column that says whether it was done."""

    name: str
    """Name of the goal in reports and answers, as in purchase."""
    column: str
    """Column that holds it; a missing value means that it was not observed."""
    positive: str | bool | int | None = None
    """Value that means 1, every other being 0; when None the column holds 0/1 or true/false."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How rows are divided: train fits, validation stops, calibration calibrates, test judges.

    A network of several trunks needs no rows for stopping and calibration alone: unless the split
    is by time, it is cross-fitted on all rows outside the test part, and validation and calibration
    are part of them.
    """

    by: Literal["stratified", "group", "time"] = "stratified"
    """stratified: at random, goals balanced; group: no group in two parts; time: oldest train."""
    column: str | None = None
    """Column with the group or the time; only for those two."""
    test: float = 0.2
    """Share of all rows held out for the evaluation, in (0, 1)."""
    validation: float = 0.1
    """Share of all rows that decide when to stop, in (0, 1)."""
    calibration: float = 0.1
    """Share of all rows that fit the calibration, in [0, 1); 0 uses the validation rows again."""
    seed: int = 0
    """Seed of the random division; without meaning for time."""

    def __post_init__(self) -> None:
        """Refuse shares that leave no row to train on, and a column where none belongs."""
        check_shares(test=self.test, validation=self.validation, calibration=self.calibration)
        if (self.by == "stratified") != (self.column is None):
            wanted = (
                "no column" if self.by == "stratified" else f"the column that holds the {self.by}"
            )
            raise ValueError(
                f"split.column: expected {wanted} when split.by is {self.by}, got {self.column!r}"
            )


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """How features are fitted on the rows that are learnt from."""

    num_bins: int = 32
    """Most quantile bins of a numeric column."""
    min_category_count: int = 2
    """Learnt rows a category needs to get a code of its own; rarer ones count as unknown."""
    max_categories: int = 100_000
    """Most categories of one column that get a code, the most frequent first."""

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        for name in ("num_bins", "min_category_count", "max_categories"):
            check_least(f"features.{name}", getattr(self, name), 1)


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How the network is fitted."""

    batch_size: int = 512
    """Rows a step."""
    learning_rate: float = 4e-3
    """Highest step size of AdamW."""
    weight_decay: float = 3e-4
    """Weight decay of AdamW."""
    max_epochs: int = 60
    """Most passes over the training rows."""
    patience: int = 6
    """Passes without a better validation loss after which the fit stops."""
    distillation: float = 0.8
    """Share of what is learnt that is the answer of gradient boosting that never saw the row, in
    [0, 1]; the rest is the label. 0 fits no such teacher; nor does a split by time."""
    seed: int = 0
    """Seed of initial weights, dropout, the order of rows and the teachers."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("batch_size", "max_epochs", "patience"):
            check_least(f"fit.{name}", getattr(self, name), 1)
        if not 0 <= self.distillation <= 1:
            raise ValueError(
                f"fit.distillation: expected a share from 0 to 1, got {self.distillation}; "
                "0 learns from the labels alone"
            )
        for name, least in (("learning_rate", 1e-12), ("weight_decay", 0.0), ("seed", 0)):
            check_least(f"fit.{name}", getattr(self, name), least)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What the served model has to keep to."""

    max_batch_size: int = 256
    """Most rows of one request."""
    latency_p99_ms: float = 20.0
    """99th percentile of the time an answer takes, in milliseconds."""

    def __post_init__(self) -> None:
        """Refuse an empty budget."""
        check_least("budget.max_batch_size", self.max_batch_size, 1)
        check_least("budget.latency_p99_ms", self.latency_p99_ms, 0.01)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a training run is told."""

    name: str
    """Name under which the model is registered and served: a letter, then letters, digits and _."""
    table: TableSource
    """Where the rows are."""
    columns: Columns
    """Which columns are features."""
    goals: tuple[Goal, ...]
    """What is predicted; one model answers for all of them."""
    split: Split = field(default_factory=Split)
    """How rows are divided."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    """How features are fitted."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Shape of the network."""
    fit: FitConfig = field(default_factory=FitConfig)
    """How the network is fitted."""
    trainer: dict[str, Any] = field(default_factory=dict)
    """Arguments passed unchanged to Lightning's Trainer, as in precision: bf16-mixed."""
    budget: Budget = field(default_factory=Budget)
    """What the served model has to keep to."""

    def __post_init__(self) -> None:
        """Drop ignored columns; refuse goals that cannot be predicted from the columns."""
        check_model_name(self.name)
        object.__setattr__(self, "columns", self.columns.without_ignored())
        if not self.goals:
            raise ValueError("goals: expected at least one goal with a name and a column, got none")
        for what in ("name", "column"):
            values = [getattr(goal, what) for goal in self.goals]
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise ValueError(f"goals: two goals have the {what} {_listed(twice)}; keep one")
        leaked = [goal.column for goal in self.goals if goal.column in self.columns.features]
        if leaked:
            raise ValueError(
                f"goals: {_listed(leaked)} is a feature column too, which gives the answer away; "
                "take it out of columns"
            )
        check_trainer(self.trainer)

    def relative_to(self, folder: Path) -> "Recipe":
        """The same recipe, with the table looked for in `folder` first, then where we are."""
        return replace(self, table=self.table.relative_to(folder))

    def to_json(self) -> str:
        """The recipe as indented JSON, which :func:`read_recipe` reads back."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, default=str)


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file, as the `penchant` command does.

    Args:
        path: YAML (or JSON) file.
        overrides: Options that win over the file, as on the command line: ["--fit.seed", "1"].

    Returns:
        The recipe, with the table's path resolved against the recipe's folder.

    Raises:
        ValueError: The file is missing, or a key or value in it is wrong; the message says which.
    """
    recipe = bind(_take_recipe, ["--config", str(path), *overrides], prog="read_recipe")["recipe"]
    assert isinstance(recipe, Recipe)
    return recipe


def recipe_fingerprint(recipe: Recipe) -> str:
    """SHA-256, in hex, over all a recipe says but the folder its table lies in."""
    content = asdict(recipe)
    if recipe.table.path is not None:
        content["table"]["path"] = Path(recipe.table.path).name
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def shipped_recipe(name: str) -> Path:
    """Path of a recipe that comes with penchant: online_shoppers or telco_churn.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in SHIPPED:
        raise ValueError(f"recipe: expected one of {_listed(SHIPPED)}, got {name!r}")
    return Path(str(files("penchant.training"))) / "recipes" / f"{name}.yaml"


def _take_recipe(recipe: Recipe) -> None:
    """Stand in for a verb that takes nothing but a recipe."""


def _beside(folder: Path, path: str) -> str:
    near = folder / Path(path).expanduser()
    return str(near.resolve()) if near.exists() else str(Path(path).expanduser())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
