"""Features fitted on the rows that are learnt from: quantile grids and vocabularies."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from penchant.clients.contract import Contract, MultiValued
from penchant.training.columns import CodedColumn
from penchant.training.network_config import FeatureSizes
from penchant.training.recipe import FeatureConfig, Recipe
from penchant.training.table import Table

LARGEST_EDGE: Final = 1e38
"""Edges lie within ± this, so that no difference of two of them overflows float32."""
SMALLEST_BIN: Final = 1e-30
"""Bins are at least this wide, so that no width is a denormal that a runtime flushes to zero."""


@dataclass(frozen=True, kw_only=True)
class NumericFeature:
    """Quantile grid of a numeric column."""

    name: str
    """Column name."""
    edges: tuple[float, ...]
    """Bounds of the bins, rising, all of them float32; a single one when the column is constant."""


@dataclass(frozen=True, kw_only=True)
class CategoricalFeature:
    """Vocabulary of a categorical column."""

    name: str
    """Column name."""
    categories: tuple[str, ...]
    """Texts with a code of their own, which is their place here plus 2; most frequent first."""


@dataclass(frozen=True, kw_only=True)
class MultiValuedFeature(CategoricalFeature):
    """Vocabulary of a multi-valued column."""

    max_values: int
    """Slots l."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """All that was fitted, in the order of the contract."""

    numeric: tuple[NumericFeature, ...] = ()
    """Numeric columns."""
    categorical: tuple[CategoricalFeature, ...] = ()
    """Categorical columns."""
    multi_valued: tuple[MultiValuedFeature, ...] = ()
    """Multi-valued columns."""

    @property
    def sizes(self) -> FeatureSizes:
        """What the net must know; a constant column has one bin, which stays empty."""
        return FeatureSizes(
            bins=tuple(max(len(column.edges) - 1, 1) for column in self.numeric),
            categories=tuple(len(column.categories) + 2 for column in self.categorical),
            multi=tuple(len(column.categories) + 2 for column in self.multi_valued),
        )

    def contract(self, recipe: Recipe) -> Contract:
        """Wire contract of a model with these features and the recipe's name, goals and budget."""
        return Contract(
            model=recipe.name,
            goals=tuple(goal.name for goal in recipe.goals),
            numeric=tuple(column.name for column in self.numeric),
            categorical=tuple(column.name for column in self.categorical),
            multi_valued=tuple(
                MultiValued(name=c.name, max_values=c.max_values, separator=c.separator)
                for c in recipe.columns.multi_valued
            ),
            max_batch_size=recipe.budget.max_batch_size,
            latency_budget_ms=recipe.budget.latency_p99_ms,
        )

    def to_dict(self) -> dict[str, Any]:
        """Edges and vocabularies by column, fit for JSON."""
        return asdict(self)


def fit_features(table: Table, rows: NDArray[np.int64], config: FeatureConfig) -> Features:
    """Fit features on the given rows, those that are learnt from.

    Args:
        table: The recipe's table.
        rows: Row numbers (B,).
        config: Number of bins and rules for rare categories.
    """
    columns = table.recipe.columns
    return Features(
        numeric=tuple(
            NumericFeature(name=name, edges=fit_edges(values, num_bins=config.num_bins))
            for name, values in zip(columns.numeric, table.numeric[rows].T, strict=True)
        ),
        categorical=tuple(
            CategoricalFeature(name=column.name, categories=_fit_categories(column, rows, config))
            for column in table.categorical
        ),
        multi_valued=tuple(
            MultiValuedFeature(
                name=column.name,
                categories=_fit_categories(column, rows, config),
                max_values=column.codes.shape[1],
            )
            for column in table.multi_valued
        ),
    )


def fit_edges(values: NDArray[np.float32], *, num_bins: int) -> tuple[float, ...]:
    """Edges of at most `num_bins` bins that hold about as many values each.

    A value so frequent that it fills a bin alone is an edge, and the other edges are quantiles of
    the values that are left: a column that is mostly zeros keeps its resolution elsewhere.

    Args:
        values: Numbers of one column (B,); NaN and infinite ones are passed over.
        num_bins: Most bins, at least 1.

    Returns:
        Rising float32 numbers: one edge more than bins, a single edge for a constant column, and
        (0.0,) for a column without any number.
    """
    finite = np.clip(values[np.isfinite(values)].astype(np.float64), -LARGEST_EDGE, LARGEST_EDGE)
    if not len(finite):
        return (0.0,)
    distinct, count = np.unique(finite, return_counts=True)
    if len(distinct) > num_bins + 1:
        distinct = _quantile_edges(distinct, count, num_bins=num_bins)
    return _apart(distinct.astype(np.float32))


def _quantile_edges(
    distinct: NDArray[np.float64], count: NDArray[np.int64], *, num_bins: int
) -> NDArray[np.float64]:
    frequent = count * num_bins > count.sum()
    free = num_bins + 1 - int(frequent.sum())
    weight = np.cumsum(count[~frequent])
    place = np.searchsorted(weight, np.linspace(0.0, weight[-1], max(free, 2)))
    rest = distinct[~frequent][np.minimum(place, len(weight) - 1)]
    ends = distinct[[0, -1]]
    return np.unique(np.concatenate([ends, distinct[frequent], rest]))


def _apart(edges: NDArray[np.float32]) -> tuple[float, ...]:
    """The edges without those that are too near to the one before."""
    kept = [float(edges[0])]
    for edge in edges[1:].tolist():
        if edge - kept[-1] >= SMALLEST_BIN:
            kept.append(edge)
    return tuple(kept)


def _fit_categories(
    column: CodedColumn, rows: NDArray[np.int64], config: FeatureConfig
) -> tuple[str, ...]:
    count = np.bincount(column.codes[rows].ravel(), minlength=len(column.texts))
    count[0] = 0  # missing has a code of its own
    frequent: Sequence[int] = [
        code
        for code in np.argsort(-count, kind="stable")[: config.max_categories].tolist()
        if count[code] >= config.min_category_count
    ]
    return tuple(column.texts[code] for code in frequent)
