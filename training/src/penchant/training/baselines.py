"""The simple models that a deep one must beat: logistic regression and gradient boosting.

Both learn from every row outside the test part. The network spends some of those rows on knowing
when to stop and on calibration; the models it is compared with must not see less than it did.

Letters: N rows, n numeric columns, m categorical columns, G goals, V columns of a design matrix.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
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
from penchant.training.split import Parts
from penchant.training.table import Table

RawInputs = Mapping[str, NDArray[Any]]
"""What goes over the wire: numeric (N, n), categorical (N, m), multi_<column> (N, l)."""
Rows = NDArray[np.int64]

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
    """Fitted rules that turn raw inputs into a matrix (N, V)."""

    def matrix(self, raw: RawInputs) -> sparse.csr_matrix | NDArray[np.float64]:
        """The design matrix of the rows of `raw`."""


Scorer = Callable[[Any], Floats]
"""A fitted model of one goal: design matrix (N, V) -> propensity (N,)."""


@dataclass(frozen=True)
class Baseline:
    """A fitted simple model: one design for all goals, one scorer for each."""

    design: Design
    scorers: Sequence[Scorer]

    def predict(self, table: Table, rows: Rows) -> Floats:
        """Propensities (N, G) of the given rows of the table."""
        matrix = self.design.matrix(table.raw_inputs(rows))
        return np.column_stack([score(matrix) for score in self.scorers])


def fit_baselines(table: Table, parts: Parts, *, seed: int = 0) -> dict[str, Baseline]:
    """Fit both baselines on all rows outside the test part, one model a goal.

    Rows whose goal was not observed are left out for that goal. The inverse penalty of the
    logistic regression is chosen on the validation rows, before the fit on all rows.
    """
    return {
        LOGISTIC: fit_logistic(table, parts),
        LIGHTGBM: fit_lightgbm(table, parts, seed=seed),
    }


def fit_lightgbm(table: Table, parts: Parts, *, seed: int = 0) -> Baseline:
    """Gradient boosting with native categories and missing values (Ke et al., 2017)."""
    rows = np.sort(np.concatenate([parts.train, parts.validation, parts.calibration]))
    raw = table.raw_inputs(rows)
    design = CodedDesign(raw)
    matrix = design.matrix(raw)
    parameters = LIGHTGBM_PARAMETERS | {"seed": seed}

    def fit(matrix: Any, label: Floats) -> Scorer:
        data = lightgbm.Dataset(matrix, label, categorical_feature=design.categorical)
        booster = lightgbm.train(parameters, data, num_boost_round=LIGHTGBM_ROUNDS)
        return lambda given: np.asarray(booster.predict(given), dtype=np.float64)

    return Baseline(design, [_fit_goal(fit, matrix, goal) for goal in table.label[rows].T])


def fit_logistic(table: Table, parts: Parts) -> Baseline:
    """Logistic regression on one-hot categories and on plain and quantile-scaled numbers."""
    rows = np.concatenate([parts.train, parts.validation, parts.calibration])
    raw = table.raw_inputs(rows)
    design = ScaledDesign(raw)
    matrix = sparse.csr_matrix(design.matrix(raw))
    trained = np.arange(len(rows)) < len(parts.train)
    checked = ~trained & (np.arange(len(rows)) < len(parts.train) + len(parts.validation))

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

    def __init__(self, raw: RawInputs) -> None:
        self.categories = [np.unique(column) for column in _categorical(raw).T]
        self.multi = _fit_multi(raw)
        num_numeric = _numeric(raw).shape[1]
        self.categorical = list(range(num_numeric, num_numeric + len(self.categories)))

    def matrix(self, raw: RawInputs) -> sparse.csr_matrix | NDArray[np.float64]:
        """Design matrix (N, V), sparse where there are multi-valued columns."""
        columns = zip(self.categories, _categorical(raw).T, strict=True)
        codes = [_codes(known, column) for known, column in columns]
        dense = np.column_stack([_numeric(raw), *codes])
        if not self.multi:
            return dense
        return sparse.csr_matrix(sparse.hstack([dense, *_counts(self.multi, raw)]))


class ScaledDesign:
    """Numbers standardised, on a quantile scale, and flagged where missing; categories one-hot."""

    def __init__(self, raw: RawInputs) -> None:
        numeric = _numeric(raw)
        if not len(numeric):
            raise ValueError("baselines: expected at least one row to learn from, got none")
        grid = np.linspace(0, 1, QUANTILES + 1)
        filled = [_filled(column, column) for column in numeric.T]
        self.middle = [float(np.median(column)) for column in filled]
        self.mean = [float(column.mean()) for column in filled]
        self.spread = [float(column.std()) or 1.0 for column in filled]
        self.grid = [np.quantile(column, grid) for column in filled]
        self.categories = [np.unique(column) for column in _categorical(raw).T]
        self.multi = _fit_multi(raw)

    def matrix(self, raw: RawInputs) -> sparse.csr_matrix:
        """Design matrix (N, V)."""
        numeric = _numeric(raw)
        blocks: list[Any] = [sparse.csr_matrix((len(numeric), 0))]
        for j, column in enumerate(numeric.T):
            missing = np.isnan(column)
            filled = np.where(missing, self.middle[j], column)
            plain = np.clip((filled - self.mean[j]) / self.spread[j], -FAR, FAR)
            place = _quantile(filled, self.grid[j])
            blocks.append(sparse.csr_matrix(np.column_stack([plain, place, missing])))
        for known, column in zip(self.categories, _categorical(raw).T, strict=True):
            blocks.append(_one_hot(_codes(known, column), len(known)))
        return sparse.csr_matrix(sparse.hstack([*blocks, *_counts(self.multi, raw)]))


def _num_rows(raw: RawInputs) -> int:
    return len(next(iter(raw.values())))


def _numeric(raw: RawInputs) -> NDArray[np.float64]:
    """Numeric inputs (N, n), infinities as missing like in the encoder."""
    numeric = np.asarray(raw.get("numeric", np.empty((_num_rows(raw), 0))), dtype=np.float64)
    return np.where(np.isfinite(numeric), numeric, np.nan)


def _categorical(raw: RawInputs) -> NDArray[Any]:
    return np.asarray(raw.get("categorical", np.empty((_num_rows(raw), 0), dtype=str)), dtype=str)


def _filled(column: Floats, like: Floats) -> Floats:
    """Known values of a column; a lone zero where none is known."""
    known = column[~np.isnan(like)]
    return known if len(known) else np.zeros(1)


def _quantile(column: Floats, grid: Floats) -> Floats:
    """Three times the share of fitted values below (N,); the middle of a run of equal values."""
    level = np.linspace(0, 3, len(grid))
    below = np.interp(column, grid, level)
    above = -np.interp(-column, -grid[::-1], -level[::-1])
    return np.asarray((below + above) / 2)


def _codes(known: NDArray[Any], column: NDArray[Any]) -> Floats:
    """Place of each value in the sorted `known` values (N,); NaN where missing or unknown."""
    place = np.minimum(np.searchsorted(known, column), len(known) - 1)
    return np.where((known[place] == column) & (column != ""), place, np.nan)


def _one_hot(codes: Floats, width: int) -> sparse.csr_matrix:
    rows = np.flatnonzero(~np.isnan(codes))
    place = (rows, codes[rows].astype(int))
    return sparse.csr_matrix((np.ones(len(rows)), place), shape=(len(codes), width))


def _fit_multi(raw: RawInputs) -> dict[str, NDArray[Any]]:
    """Input name -> its most frequent values, sorted."""
    found = {}
    for name in sorted(raw):
        if name.startswith("multi_"):
            values, count = np.unique(np.asarray(raw[name], dtype=str), return_counts=True)
            count[values == ""] = 0
            most = np.argsort(-count, kind="stable")[:MULTI_VALUES]
            found[name] = np.sort(values[most[count[most] > 0]])
    return found


def _counts(multi: Mapping[str, NDArray[Any]], raw: RawInputs) -> list[sparse.csr_matrix]:
    """How often each known value occurs in each row, one matrix a multi-valued column."""
    blocks = []
    for name, known in multi.items():
        values = np.asarray(raw[name], dtype=str)  # (N, l)
        if not len(known):
            continue
        codes = _codes(known, values.ravel())
        place = np.flatnonzero(~np.isnan(codes))
        rows = place // values.shape[1]
        blocks.append(
            sparse.csr_matrix(
                (np.ones(len(place)), (rows, codes[place].astype(int))),
                shape=(len(values), len(known)),
            )
        )
    return blocks
