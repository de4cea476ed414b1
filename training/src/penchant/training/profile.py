"""What a recipe's table holds, in numbers: missing values, balance, columns that say too much.

N rows, G goals, l slots of a multi-valued column.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata

from penchant.training.columns import CodedColumn
from penchant.training.recipe import Recipe
from penchant.training.split import split_rows
from penchant.training.table import Table, read_table

SUSPECT_AUC: Final = 0.95
"""A column that alone ranks a goal better than this probably gives it away."""
_FOLDS: Final = 5
_PRIOR_ROWS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """One feature column."""

    name: str
    """Column name."""
    role: str
    """numeric, categorical or multi-valued."""
    kind: str
    """Type in the source."""
    missing: float
    """Share of rows without a value, in [0, 1]."""
    distinct: int
    """Number of distinct values, a missing one not counted."""
    example: str
    """The first value."""
    auc: tuple[float, ...]
    """How well the column alone ranks each goal, 0.5 = not at all; NaN where it cannot be told."""

    @property
    def is_suspect(self) -> bool:
        """Whether it ranks a goal so well that it probably holds what is to be predicted."""
        return any(auc > SUSPECT_AUC for auc in self.auc)


@dataclass(frozen=True, kw_only=True)
class GoalProfile:
    """How often a goal was reached."""

    name: str
    """Goal."""
    column: str
    """Its column."""
    positive: int
    """Rows in which it was reached."""
    negative: int
    """Rows in which it was not."""
    missing: int
    """Rows in which it was not observed."""


@dataclass(frozen=True, kw_only=True)
class TableProfile:
    """All that `penchant inspect data` shows."""

    place: str
    """Where the table is."""
    fingerprint: str
    """SHA-256 over what was read."""
    num_rows: int
    """N."""
    num_duplicates: int
    """Rows that repeat an earlier row in all columns read."""
    columns: tuple[ColumnProfile, ...]
    """Feature columns in the contract's order."""
    goals: tuple[GoalProfile, ...]
    """Goals in the recipe's order."""
    parts: dict[str, int]
    """Rows of each part of the split; empty when it cannot be made."""
    split_problem: str
    """Why the split cannot be made, "" when it can."""
    ignored: tuple[str, ...]
    """Columns the recipe ignores."""
    not_named: dict[str, str]
    """Columns that the recipe does not name, with their types."""


def profile_table(recipe: Recipe) -> TableProfile:
    """Read the table of a recipe and measure it.

    Raises:
        ValueError: The table cannot be read as the recipe says.
    """
    table = read_table(recipe)
    recipe, source = table.recipe, table.source
    named = {*table.arrow.column_names, *recipe.columns.ignored}
    parts: dict[str, int] = {}
    problem = ""
    try:
        parts = {name: len(rows) for name, rows in vars(split_rows(table, recipe.split)).items()}
    except ValueError as error:  # to be shown beside what was found, not instead of it
        problem = str(error)
    return TableProfile(
        place=source.place,
        fingerprint=table.fingerprint,
        num_rows=table.num_rows,
        num_duplicates=count_duplicates(table),
        columns=tuple(_profile_columns(table)),
        goals=tuple(_profile_goals(table)),
        parts=parts,
        split_problem=problem,
        ignored=recipe.columns.ignored,
        not_named={name: kind for name, kind in source.columns.items() if name not in named},
    )


def count_duplicates(table: Table) -> int:
    """Rows that repeat an earlier one in all the columns read, as the source has them."""
    lists = {column.name: column for column in table.multi_valued}
    columns: dict[str, pa.ChunkedArray | NDArray[np.int32]] = {}
    for name in table.arrow.column_names:
        if name in lists:
            columns |= {f"{name} {slot}": code for slot, code in enumerate(lists[name].codes.T)}
        elif not pa.types.is_null(table.arrow[name].type):
            columns[name] = table.arrow[name]
    distinct = pa.table(columns).group_by(list(columns)).aggregate([])
    return table.num_rows - len(distinct)


def numeric_auc(values: NDArray[np.float32], label: NDArray[np.float32]) -> NDArray[np.float64]:
    """How well each column's order alone ranks a goal, in whichever direction is better.

    Missing values are tried at either end, because that a value is missing can tell all.

    Args:
        values: Columns (N, n), NaN = missing.
        label: Goal (N,), 0 or 1, NaN = not observed.

    Returns:
        Areas under the ROC curve (n,), in [0.5, 1]; NaN when the goal has one value only.
    """
    observed = ~np.isnan(label)
    values, positive = values[observed], label[observed] == 1
    best = np.full(values.shape[1], 0.5)
    for stand_in in (-np.inf, np.inf):
        auc = _auc(np.where(np.isfinite(values), values, stand_in), positive)
        best = np.maximum(best, np.maximum(auc, 1 - auc))
    return best


def category_auc(column: CodedColumn, label: NDArray[np.float32], *, seed: int = 0) -> float:
    """How well the categories of a column alone rank a goal.

    A row's score is the mean of the goal over rows of other folds with the same category, so that
    a column of unique values, which tells nothing about other rows, scores 0.5.

    Args:
        column: Codes (N,) or (N, l).
        label: Goal (N,), 0 or 1, NaN = not observed.
        seed: Seed of the five folds.

    Returns:
        Area under the ROC curve; NaN when the goal has one value only.
    """
    observed = ~np.isnan(label)
    target = label[observed].astype(np.float64)
    codes = column.codes[observed].reshape(len(target), -1)
    used = codes > 0
    used[:, 0] |= ~used.any(1)  # "missing" is a category of its own
    fold = np.random.default_rng(seed).permutation(len(target)) % _FOLDS
    shape = (_FOLDS, len(column.texts))
    cell = fold[:, None] * shape[1] + codes
    rows = np.bincount(cell[used], minlength=shape[0] * shape[1]).reshape(shape)
    weight = np.broadcast_to(target[:, None], codes.shape)[used]
    reached = np.bincount(cell[used], weight, minlength=shape[0] * shape[1]).reshape(shape)
    other_rows, other_reached = rows.sum(0) - rows, reached.sum(0) - reached
    mean = (other_reached + _PRIOR_ROWS * target.mean()) / (other_rows + _PRIOR_ROWS)
    score = (mean.ravel()[cell] * used).sum(1) / used.sum(1)
    return float(_auc(score[:, None], target == 1)[0])


def _auc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Area under the ROC curve of each column of scores (N, n), from ranks; ties count half."""
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    if not num_positive or not num_negative:
        return np.full(scores.shape[1], np.nan)
    ranks = rankdata(scores, axis=0)[positive].sum(0)
    least = num_positive * (num_positive + 1) / 2
    result: NDArray[np.float64] = (ranks - least) / (num_positive * num_negative)
    return result


def _profile_columns(table: Table) -> Iterator[ColumnProfile]:
    names = table.recipe.columns.numeric
    by_goal = [numeric_auc(table.numeric, label) for label in table.label.T]
    finite = np.isfinite(table.numeric)
    for place, name in enumerate(names):
        values, given = table.numeric[:, place], finite[:, place]
        yield ColumnProfile(
            name=name,
            role="numeric",
            kind=str(table.arrow[name].type),
            missing=float(1 - given.mean()),
            distinct=len(np.unique(values[given])),
            example=f"{values[given.argmax()]:g}" if given.any() else "",
            auc=tuple(float(auc[place]) for auc in by_goal),
        )
    for role, columns in (
        ("categorical", table.categorical),
        ("multi-valued", table.multi_valued),
    ):
        yield from (_profile_coded(table, column, role) for column in columns)


def _profile_coded(table: Table, column: CodedColumn, role: str) -> ColumnProfile:
    codes = column.codes.reshape(table.num_rows, -1)
    given = (codes > 0).any(1)
    shown = codes[given.argmax()]
    return ColumnProfile(
        name=column.name,
        role=role,
        kind=str(table.arrow[column.name].type),
        missing=float(1 - given.mean()),
        distinct=len(column.texts) - 1,
        example=", ".join(column.texts[shown[shown > 0]]),
        auc=tuple(category_auc(column, label) for label in table.label.T),
    )


def _profile_goals(table: Table) -> Iterator[GoalProfile]:
    for goal, label in zip(table.recipe.goals, table.label.T, strict=True):
        yield GoalProfile(
            name=goal.name,
            column=goal.column,
            positive=int((label == 1).sum()),
            negative=int((label == 0).sum()),
            missing=int(np.isnan(label).sum()),
        )
