"""The rows a recipe names: read, checked, and turned into arrays once."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from penchant.clients.contract import (
    CATEGORICAL,
    MULTI_PREFIX,
    NUMERIC,
    canonical_text,
    csv_text,
)
from penchant.training.columns import (
    CodedColumn,
    read_categories,
    read_groups,
    read_label,
    read_multi_valued,
    read_numbers,
    read_times,
)
from penchant.training.events.examples import opened_examples
from penchant.training.events.history_features import VISITOR
from penchant.training.recipe import Recipe
from penchant.training.source import Source, open_source


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """N rows of a recipe's columns. A row's number is its place in the source, from 0."""

    recipe: Recipe
    """What the table was read for; with examples, with the columns that they have."""
    source: Source
    """Where it was read from; the rows of examples are gone from there."""
    arrow: pa.Table
    """Raw values, with the types of the source: features, goals, the split's column, visitors of
    examples. Categories of a CSV are the text that is written there."""
    numeric: NDArray[np.float32]
    """Numeric columns in the contract's order, (N, n), NaN = missing."""
    categorical: tuple[CodedColumn, ...]
    """Categorical columns in the contract's order, codes (N,)."""
    multi_valued: tuple[CodedColumn, ...]
    """Multi-valued columns in the contract's order, codes (N, l)."""
    label: NDArray[np.float32]
    """Goals in the recipe's order, (N, G): 1 done, 0 not done, NaN not observed."""
    key: NDArray[np.int64] | None
    """Number of each row's group, or rank of its time, (N,); None for a stratified split."""
    visitor: NDArray[np.int64] | None
    """Number of each row's visitor, (N,): the group of the split, or who an example is of; None
    where nothing says whose rows these are."""
    fingerprint: str
    """SHA-256, in hex, over names, types and contents of all the columns read, in row order."""

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.label)

    def raw_inputs(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Wire tensors of the given rows, as a caller of the model would send them.

        Returns:
            ``numeric`` float32 (B, n), ``categorical`` object (B, m), ``multi_<column>`` object
            (B, l); a group without columns is absent.
        """
        tensors: dict[str, NDArray[Any]] = {}
        if self.numeric.shape[1]:
            tensors[NUMERIC] = self.numeric[rows]
        if self.categorical:
            tensors[CATEGORICAL] = np.stack([column.raw(rows) for column in self.categorical], 1)
        for column in self.multi_valued:
            tensors[MULTI_PREFIX + column.name] = column.raw(rows)
        return tensors


def read_table(recipe: Recipe) -> Table:
    """Read and check the columns that a recipe names; no other column is read.

    The examples of a recipe that has a log instead of a table are made first.

    Raises:
        ValueError: The table does not exist, is empty, lacks a column or holds values that do not
            fit the recipe; the message names the column, what was expected and what to do.
    """
    if recipe.table is not None:
        return _read(recipe, open_source(recipe.table))
    with opened_examples(recipe) as (complete, source):
        return _read(complete, source)


def _read(recipe: Recipe, source: Source) -> Table:
    arrow = read_arrow(recipe, source)
    text_of = csv_text if source.is_csv else canonical_text
    columns, split = recipe.columns, recipe.split
    numbers = [read_numbers(arrow[name], name) for name in columns.numeric]
    numeric = np.stack(numbers, 1) if numbers else np.empty((len(arrow), 0), dtype=np.float32)
    categorical = tuple(
        read_categories(arrow[name], name, text_of=text_of) for name in columns.categorical
    )
    multi_valued = tuple(
        read_multi_valued(arrow[c.name], c, text_of=text_of) for c in columns.multi_valued
    )
    label = np.stack([read_label(arrow[goal.column], goal) for goal in recipe.goals], 1)
    key = None
    if split.column is not None:
        read_key = read_groups if split.by == "group" else read_times
        key = read_key(arrow[split.column], split.column)
    visitor = key if split.by == "group" else None
    if recipe.examples is not None:
        visitor = read_groups(arrow[VISITOR], VISITOR)
    return Table(
        recipe=recipe,
        source=source,
        arrow=arrow,
        numeric=numeric,
        categorical=categorical,
        multi_valued=multi_valued,
        label=label,
        key=key,
        visitor=visitor,
        fingerprint=_fingerprint(arrow, numeric, [*categorical, *multi_valued], label, key),
    )


def read_arrow(recipe: Recipe, source: Source) -> pa.Table:
    """Read the raw columns a recipe names: features, goals, the split's column, then visitors.

    Raises:
        ValueError: A column is missing, or there are no rows.
    """
    columns = recipe.columns
    named = {
        "columns.numeric": columns.numeric,
        "columns.categorical": columns.categorical,
        "columns.multi_valued": [column.name for column in columns.multi_valued],
        "goals": [goal.column for goal in recipe.goals],
        "split.column": [recipe.split.column] if recipe.split.column is not None else [],
        "examples": [VISITOR] if recipe.examples is not None else [],
    }
    source.check_columns(named)
    names = list(dict.fromkeys(name for names in named.values() for name in names))
    return source.read(names, text={*named["columns.categorical"], *named["columns.multi_valued"]})


def _fingerprint(
    arrow: pa.Table,
    numeric: NDArray[np.float32],
    coded: list[CodedColumn],
    label: NDArray[np.float32],
    key: NDArray[np.int64] | None,
) -> str:
    digest = hashlib.sha256()
    for field in arrow.schema:
        digest.update(f"{field.name}\0{field.type}\0".encode())
    digest.update(np.ascontiguousarray(numeric).data)
    for column in coded:
        digest.update("\0".join(column.texts).encode("utf-8", errors="surrogatepass"))
        digest.update(np.ascontiguousarray(column.codes).data)
    digest.update(np.ascontiguousarray(label).data)
    if key is not None:
        digest.update(key.data)
    return digest.hexdigest()
