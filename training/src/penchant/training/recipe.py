"""What a recipe file says: where the data is, what its columns mean, and how to train on it.

Loads neither torch nor Lightning, so that a command answers at once when a recipe is wrong.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from penchant.clients.command import bind
from penchant.training.events.examples_config import CUTOFF_COLUMN, ExamplesConfig
from penchant.training.network_config import NetworkConfig
from penchant.training.recipe_checks import (
    check_least,
    check_model_name,
    check_shares,
    check_trainer,
)
from penchant.training.table_config import Columns as Columns
from penchant.training.table_config import Goal as Goal
from penchant.training.table_config import MultiValuedColumn as MultiValuedColumn
from penchant.training.table_config import TableSource as TableSource

SHIPPED: Final = ("online_shoppers", "telco_churn", "online_retail_repeat")
"""Recipes that come with penchant, with their data."""
SHIPPED_LOGS: Final = ("online_retail_log",)
"""Log recipes that come with penchant, with their data."""
SHIPPED_JOURNEYS: Final = ("online_retail_journeys",)
"""Recipes of journey models that come with penchant."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How rows are divided: train fits, validation stops, calibration calibrates, test judges.

    A network of several trunks needs no rows for stopping and calibration alone: it is cross-fitted
    on all rows outside the test part, and validation and calibration are part of them; but where a
    table is divided by time, which does not say whose rows it has.
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
    [0, 1]; the rest is the label. 0 fits no such teacher; nor does a network that is not
    cross-fitted (see split) or has fewer than 3 trunks."""
    seed: int = 0
    """Seed of initial weights, dropout, the order of rows and the teachers."""
    compiled: bool = False
    """Whether the network is compiled for the GPU that it is fitted on, which takes about a minute;
    without effect on a CPU. `perf/gpu_check.sh` measures what a step gains."""

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
    table: TableSource | None = None
    """Where the rows are; None with `examples`."""
    examples: ExamplesConfig | None = None
    """Instead of a table: rows to be made of an event log; their columns and goals are known."""
    columns: Columns = field(default_factory=Columns)
    """Which columns are features; with examples only `ignored` is given."""
    goals: tuple[Goal, ...] = ()
    """What is predicted; one model answers for all of them. None with `examples`."""
    split: Split = field(default_factory=Split)
    """How rows are divided; with examples by the time of their cut-offs, or by group."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    """How features are fitted."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Shape of the network."""
    fit: FitConfig = field(default_factory=FitConfig)
    """How the network is fitted."""
    trainer: dict[str, Any] = field(default_factory=dict)
    """Arguments of Lightning's Trainer, as in devices: 2. Left open: one GPU where there is one,
    and bfloat16 where it has that."""
    budget: Budget = field(default_factory=Budget)
    """What the served model has to keep to."""

    def __post_init__(self) -> None:
        """Drop ignored columns; refuse goals that cannot be predicted from the columns."""
        check_model_name(self.name)
        object.__setattr__(self, "columns", self.columns.without_ignored())
        if (self.table is None) == (self.examples is None):
            given = "neither" if self.table is None else "both"
            raise ValueError(
                "table: expected a table (rows that are there) or examples (rows to be made of an "
                f"event log), got {given}; give one of them"
            )
        if self.examples is not None:
            self._take_from(self.examples)
        elif not self.columns.features:
            raise ValueError(
                "columns: expected at least one column in numeric, categorical or multi_valued "
                "that is not in ignored, got none"
            )
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

    def _take_from(self, examples: ExamplesConfig) -> None:
        """Take goals from the examples, and divide by the time of their cut-offs if by no group."""
        goals = tuple(Goal(name=goal.name, column=goal.column) for goal in examples.goals)
        if self.goals not in ((), goals):
            raise ValueError(
                "goals: expected none beside examples, which have goals of their own, got "
                f"{_listed(goal.name for goal in self.goals)}; put them into examples.goals"
            )
        object.__setattr__(self, "goals", goals)
        if self.split.by == "stratified":  # rows of one visitor would be in two parts
            split = replace(self.split, by="time", column=CUTOFF_COLUMN)
            object.__setattr__(self, "split", split)

    @property
    def place(self) -> str:
        """Where the rows come from, for people."""
        if self.examples is not None:
            return f"examples of {self.examples.log}"
        return str(self.table and (self.table.path or self.table.name))

    def relative_to(self, folder: Path) -> "Recipe":
        """The same recipe, with its files looked for in `folder` first, then where we are."""
        table, examples = self.table, self.examples
        return replace(
            self,
            table=table and table.relative_to(folder),
            examples=examples and examples.relative_to(folder),
        )

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


def shipped_recipe(name: str) -> Path:
    """Path of a recipe that comes with penchant: online_shoppers, telco_churn, online_retail_log.

    Raises:
        ValueError: There is none of that name.
    """
    known = (*SHIPPED, *SHIPPED_LOGS, *SHIPPED_JOURNEYS)
    if name not in known:
        raise ValueError(f"recipe: expected one of {_listed(known)}, got {name!r}")
    return Path(str(files("penchant.training"))) / "recipes" / f"{name}.yaml"


def _take_recipe(recipe: Recipe) -> None:
    """Stand in for a verb that takes nothing but a recipe."""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
