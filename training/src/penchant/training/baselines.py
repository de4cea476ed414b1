"""The simple models that a deep one must beat: logistic regression and gradient boosting.

Both learn from every row outside the test part, as a cross-fitted network does: the models that it
is compared with must not see less than it did.

Letters: N rows, n numeric columns, m categorical columns, G goals, V columns of a design matrix.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from penchant.training.metrics import Floats, row_logloss
from penchant.training.split import Parts, Rows, seen_rows
from penchant.training.table import Table

Codes = NDArray[np.int32]

LOGISTIC = "logistic regression"
LIGHTGBM = "LightGBM"
LIGHTGBM_ROUNDS = 300
LIGHTGBM_PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.7,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Inverse penalties of the logistic regression, of which the validation rows choose one."""
MULTI_VALUES = 300
"""Most frequent values of a multi-valued column that are counted."""
QUANTILES = 200
"""Steps of the quantile scale that the logistic regression sees beside the plain one."""
FAR = 5.0
"""Standard deviations at which a plain numeric value is cut for the logistic regression."""


class Design(Protocol):
    """Fitted rules that turn rows of a table into a matrix (N, V)."""

    def matrix(self, table: Table, rows: Rows) -> sparse.csr_matrix | Floats:
        """Design matrix of the given rows."""


Scorer = Callable[[Any], Floats]
"""A fitted model of one goal: design matrix (N, V) -> propensity (N,)."""


@dataclass(frozen=True)
class Baseline:
    """A fitted simple model: one design for all goals, one scorer for each."""

    design: Design
    scorers: Sequence[Scorer]

    def predict(self, table: Table, rows: Rows) -> Floats:
        """Propensities (N, G) of the given rows of the table it was fitted on."""
        matrix = self.design.matrix(table, rows)
        return np.column_stack([score(matrix) for score in self.scorers])


def fit_baselines(table: Table, parts: Parts, *, seed: int = 0) -> dict[str, Baseline]:
    """Fit both baselines on all rows outside the test part, one model a goal.

    Rows whose goal was not observed are left out for that goal. The inverse penalty of the
    logistic regression is chosen on the validation rows, before the fit on all rows.
    """
    return {
        LOGISTIC: fit_logistic(table, parts),
        LIGHTGBM: fit_lightgbm(table, seen_rows(parts), seed=seed),
    }


def fit_lightgbm(table: Table, rows: Rows, *, seed: int = 0) -> Baseline:
    """Gradient boosting on the given rows, with native categories and missing values.

    Source: Ke et al., 2017, LightGBM.
    """
    design = CodedDesign(table, rows)
    matrix = design.matrix(table, rows)
    parameters = LIGHTGBM_PARAMETERS | {"seed": seed}

    def fit(matrix: Any, label: Floats) -> Scorer:
        data = lightgbm.Dataset(matrix, label, categorical_feature=design.categorical)
        booster = lightgbm.train(parameters, data, num_boost_round=LIGHTGBM_ROUNDS)
        return lambda given: np.asarray(booster.predict(given), dtype=np.float64)

    return Baseline(design, [_fit_goal(fit, matrix, goal) for goal in table.label[rows].T])


def fit_logistic(table: Table, parts: Parts) -> Baseline:
    """Logistic regression on one-hot categories and on plain and quantile-scaled numbers."""
    rows = seen_rows(parts)
    design = ScaledDesign(table, rows)
    matrix = design.matrix(table, rows)
    trained, checked = np.isin(rows, parts.train), np.isin(rows, parts.validation)

    def fit(goal: NDArray[np.float32]) -> Scorer:
        strength = _choose_strength(matrix, goal, trained=trained, checked=checked)
        return _fit_goal(partial(_fit_regression, strength=strength), matrix, goal)

    return Baseline(design, [fit(goal) for goal in table.label[rows].T])


def _fit_goal(
    fit: Callable[[Any, Floats], Scorer], matrix: Any, goal: NDArray[np.float32]
) -> Scorer:
    """Fit one goal on the rows that have it; a constant where there is nothing to tell apart."""
    keep = ~np.isnan(goal)
    label = goal[keep].astype(np.float64)
    if len(np.unique(label)) < 2:
        constant = float(label.mean()) if len(label) else 0.5
        return lambda given: np.full(given.shape[0], constant)
    return fit(matrix[keep], label)


def _fit_regression(matrix: Any, label: Floats, *, strength: float) -> Scorer:
    model = LogisticRegression(C=strength, solver="newton-cg", max_iter=200)
    with warnings.catch_warnings():  # not quite converged is still a fair baseline
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(matrix, label)
    return lambda given: np.asarray(model.predict_proba(given)[:, 1], dtype=np.float64)


def _choose_strength(
    matrix: Any,
    goal: NDArray[np.float32],
    *,
    trained: NDArray[np.bool_],
    checked: NDArray[np.bool_],
) -> float:
    """The inverse penalty with the least logloss on the validation rows."""
    known = checked & ~np.isnan(goal)
    if not known.any():
        return 1.0
    label = goal[known].astype(np.float64)
    loss = {}
    for strength in STRENGTHS:
        fit = partial(_fit_regression, strength=strength)
        scorer = _fit_goal(fit, matrix[trained], goal[trained])
        loss[strength] = row_logloss(label, scorer(matrix[known])).mean()
    return min(loss, key=lambda strength: loss[strength])


class CodedDesign:
    """Numbers as they are, categories as codes, counts of the values of multi-valued columns.

    Missing numbers, missing and unknown categories are NaN, which gradient boosting reads natively.
    """

    def __init__(self, table: Table, rows: Rows) -> None:
        self.categories = [np.unique(column.codes[rows]) for column in table.categorical]
        self.counted = [_most_frequent(column.codes[rows]) for column in table.multi_valued]
        num_numeric = table.numeric.shape[1]
        self.categorical = list(range(num_numeric, num_numeric + len(self.categories)))

    def matrix(self, table: Table, rows: Rows) -> sparse.csr_matrix | Floats:
        """Design matrix (N, V), sparse where there are multi-valued columns."""
        columns = zip(self.categories, table.categorical, strict=True)
        codes = [_places(known, column.codes[rows]) for known, column in columns]
        dense = np.column_stack([_finite(table.numeric[rows]), *codes])
        if not self.counted:
            return dense
        return sparse.csr_matrix(sparse.hstack([dense, *_counts(self.counted, table, rows)]))


class ScaledDesign:
    """Numbers standardised, on a quantile scale, and flagged where missing; categories one-hot."""

    def __init__(self, table: Table, rows: Rows) -> None:
        steps = np.linspace(0, 1, QUANTILES + 1)
        known = [_known(column) for column in _finite(table.numeric[rows]).T]
        self.middle = [float(np.median(column)) for column in known]
        self.mean = [float(column.mean()) for column in known]
        self.spread = [float(column.std()) or 1.0 for column in known]
        self.grid = [np.quantile(column, steps) for column in known]
        self.categories = [np.unique(column.codes[rows]) for column in table.categorical]
        self.counted = [_most_frequent(column.codes[rows]) for column in table.multi_valued]

    def matrix(self, table: Table, rows: Rows) -> sparse.csr_matrix:
        """Design matrix (N, V)."""
        blocks: list[sparse.csr_matrix] = []
        for j, column in enumerate(_finite(table.numeric[rows]).T):
            missing = np.isnan(column)
            filled = np.where(missing, self.middle[j], column)
            plain = np.clip((filled - self.mean[j]) / self.spread[j], -FAR, FAR)
            place = _quantile(filled, self.grid[j])
            blocks.append(sparse.csr_matrix(np.column_stack([plain, place, missing])))
        for known, coded in zip(self.categories, table.categorical, strict=True):
            blocks.append(_count(known, coded.codes[rows][:, None]))
        return sparse.csr_matrix(sparse.hstack([*blocks, *_counts(self.counted, table, rows)]))


def _finite(numeric: NDArray[np.float32]) -> Floats:
    """Numbers (N, n), infinities as missing, like in the encoder."""
    return np.where(np.isfinite(numeric), numeric, np.nan).astype(np.float64)


def _known(column: Floats) -> Floats:
    """Known values of a column; a lone zero where none is known."""
    known = column[~np.isnan(column)]
    return known if len(known) else np.zeros(1)


def _quantile(column: Floats, grid: Floats) -> Floats:
    """Three times the share of fitted values below (N,); the middle of a run of equal values."""
    level = np.linspace(0, 3, len(grid))
    below = np.interp(column, grid, level)
    above = -np.interp(-column, -grid[::-1], -level[::-1])
    return np.asarray((below + above) / 2)


def _places(known: Codes, codes: Codes) -> Floats:
    """Place of each code among the sorted `known` ones; NaN where missing (0) or unknown."""
    place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where((known[place] == codes) & (codes != 0), place, np.nan)


def _most_frequent(codes: Codes) -> Codes:
    """The most frequent codes, sorted; missing (0) is not one of them."""
    values, count = np.unique(codes[codes != 0], return_counts=True)
    return np.sort(values[np.argsort(-count, kind="stable")[:MULTI_VALUES]])


def _counts(counted: Sequence[Codes], table: Table, rows: Rows) -> list[sparse.csr_matrix]:
    columns = zip(counted, table.multi_valued, strict=True)
    return [_count(known, column.codes[rows]) for known, column in columns if len(known)]


def _count(known: Codes, codes: Codes) -> sparse.csr_matrix:
    """How often each known code occurs in each row of `codes` (N, l): (N, number of known)."""
    places = _places(known, codes)
    rows, slots = np.nonzero(~np.isnan(places))
    place = (rows, places[rows, slots].astype(np.int64))
    return sparse.csr_matrix((np.ones(len(rows)), place), shape=(len(codes), len(known)))
