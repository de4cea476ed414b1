"""Whom the highest scores hold, and what moves them: the part of a report that is about people.

Letters: n rows where the goal was observed, e of them explained, F features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.training.evaluation import Evaluation, GoalEvaluation
from penchant.training.metrics import Floats, binary_metrics

LEAST_ROWS = 20
"""Rows of the best decile that a category needs to be worth a line."""
MOST_CATEGORIES = 200
"""Categories of a feature that are looked at, the most frequent of the best decile."""
MOST_GROUPS = 6
"""Groups of values that a feature's effect is shown for."""
DOMINANT_SHARE = 0.35
"""Share of all reasons from which on one feature may carry the model alone..."""
DOMINANT_RATIO = 2.0
"""...if it is also this many times the share of the next."""
DOMINANT_AUC = 0.85
"""AUC of a single feature from which on it may give the answer away."""
MISSING = "(missing)"


@dataclass(frozen=True, kw_only=True)
class CategoryShare:
    """How common a category is among the best tenth and among everyone."""

    feature: str
    value: str
    top: float
    """Share of the best decile that has it."""
    everyone: float
    """Share of all rows that have it."""

    @property
    def ratio(self) -> float:
        """How many times as common it is in the best decile."""
        return self.top / self.everyone if self.everyone else math.nan


@dataclass(frozen=True, kw_only=True)
class NumericShift:
    """Where a number lies for the best tenth and for everyone."""

    feature: str
    top: float
    """Median in the best decile."""
    everyone: float
    """Median of all rows."""
    shift: float
    """Mean quantile of the best decile among all rows, minus one half: -.5 to .5."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Mean reason of the rows that have certain values of a feature."""

    values: str
    """The value or range, in words."""
    rows: int
    mean_reason: float
    """In logits; above 0 raises the score."""


@dataclass(frozen=True, kw_only=True)
class Driver:
    """A feature and how much it moves the scores."""

    feature: str
    strength: float
    """Mean absolute reason, in logits."""
    share: float
    """Its part of the strengths of all features."""
    effects: tuple[Effect, ...]
    """How its values move the score, in the order of the values."""

    @property
    def raises(self) -> str | None:
        """Values that raise the score most, in words; None where none does."""
        best = max(self.effects, key=lambda effect: effect.mean_reason, default=None)
        return best.values if best and best.mean_reason > 0 else None

    @property
    def lowers(self) -> str | None:
        """Values that lower the score most, in words; None where none does."""
        worst = min(self.effects, key=lambda effect: effect.mean_reason, default=None)
        return worst.values if worst and worst.mean_reason < 0 else None


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A feature that alone says so much that it may be made from the answer."""

    feature: str
    share: float
    """Its part of all reasons."""
    auc: float
    """AUC of the feature on its own."""


def category_shares(evaluation: Evaluation, goal: GoalEvaluation) -> list[CategoryShare]:
    """Categories that are most over-represented in the best decile, most so first."""
    top = _best_tenth(goal.score)
    found = []
    for feature in (*evaluation.categorical, *evaluation.multi_valued):
        values = _slots(evaluation.values(feature)[goal.rows])
        names, count = np.unique(values[top], return_counts=True)
        most = np.argsort(-count, kind="stable")[:MOST_CATEGORIES]
        for value in names[most[count[most] >= LEAST_ROWS]]:
            has = (values == value).any(axis=1)
            if value and has[top].sum() >= LEAST_ROWS:
                found.append(
                    CategoryShare(
                        feature=feature,
                        value=str(value),
                        top=float(has[top].mean()),
                        everyone=float(has.mean()),
                    )
                )
    found.sort(key=lambda share: (-share.ratio, share.feature, share.value))
    return [share for share in found if _beyond_chance(share, int(top.sum()))]


def _beyond_chance(share: CategoryShare, rows: int) -> bool:
    """Whether the best decile has clearly more: a tenth more, and over three standard errors."""
    error = math.sqrt(share.everyone * (1 - share.everyone) / rows)
    return share.ratio > 1.1 and share.top - share.everyone > 3 * error


def numeric_shifts(evaluation: Evaluation, goal: GoalEvaluation) -> list[NumericShift]:
    """Numeric features whose median differs in the best decile, most different first."""
    top = _best_tenth(goal.score)
    found = []
    for feature in evaluation.numeric:
        values = evaluation.values(feature)[goal.rows]
        known = np.isfinite(values)
        if not (known & top).any():
            continue
        rank = np.full(len(values), np.nan)
        rank[known] = _quantiles(values[known])
        found.append(
            NumericShift(
                feature=feature,
                top=float(np.median(values[known & top])),
                everyone=float(np.median(values[known])),
                shift=float(rank[known & top].mean() - 0.5),
            )
        )
    found = [shift for shift in found if shift.top != shift.everyone]
    return sorted(found, key=lambda shift: (-abs(shift.shift), shift.feature))


def drivers(evaluation: Evaluation, goal: GoalEvaluation) -> list[Driver]:
    """All features, the one that moves the scores most first; empty without explained rows."""
    if not len(goal.reason):
        return []
    strength = np.abs(goal.reason).mean(axis=0)  # (F,)
    total = float(strength.sum()) or 1.0
    rows = goal.rows[goal.explained]
    found = []
    for place in np.argsort(-strength, kind="stable"):
        feature = evaluation.features[place]
        values, reason = evaluation.values(feature)[rows], goal.reason[:, place]
        effects = (
            _numeric_effects(values, reason)
            if feature in evaluation.numeric
            else _category_effects(values, reason)
        )
        found.append(
            Driver(
                feature=feature,
                strength=float(strength[place]),
                share=float(strength[place]) / total,
                effects=tuple(effects),
            )
        )
    return found


def suspects(
    evaluation: Evaluation, goal: GoalEvaluation, found: Sequence[Driver]
) -> list[Suspect]:
    """Features that carry the model alone or predict the goal well on their own."""
    second = found[1].share if len(found) > 1 else 0.0
    dominant = max(DOMINANT_SHARE, DOMINANT_RATIO * second)
    return [
        suspect
        for driver in found
        if (suspect := _suspect(evaluation, goal, driver)).auc >= DOMINANT_AUC
        or suspect.share >= dominant
    ]


def _suspect(evaluation: Evaluation, goal: GoalEvaluation, driver: Driver) -> Suspect:
    auc = math.nan
    if driver.feature in evaluation.numeric:
        values = evaluation.values(driver.feature)[goal.rows]
        known = np.isfinite(values)
        auc = binary_metrics(goal.label[known], _quantiles(values[known])).auc
        auc = max(auc, 1 - auc)
    return Suspect(feature=driver.feature, share=driver.share, auc=auc)


def shown(value: Any) -> str:
    """A raw value in words: a short number, a text, several texts, or "(missing)"."""
    if isinstance(value, np.ndarray):
        return ", ".join(str(item) for item in value if item != "") or MISSING
    if isinstance(value, float | np.floating):
        return _number(float(value)) if math.isfinite(value) else MISSING
    return str(value) or MISSING


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def _best_tenth(score: Floats) -> NDArray[np.bool_]:
    """Rows of the best decile (n,): the tenth best score and all that equal it."""
    if not len(score):
        return np.zeros(0, dtype=bool)
    count = max(1, round(len(score) / 10))
    return np.asarray(score >= np.partition(score, -count)[-count])


def _quantiles(values: Floats) -> Floats:
    """Share of values below each value (n,), in [0, 1]; equal values share the middle."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(((np.cumsum(count) - count / 2) / max(1, len(values)))[place])


def _numeric_effects(values: Floats, reason: Floats) -> list[Effect]:
    """Mean reason in groups of about equal size; a very common lowest value is its own group."""
    known = np.isfinite(values)
    found = []
    if known.any():
        group = np.searchsorted(_edges(values[known]), values, side="left")
        for number in np.unique(group[known]):
            inside = known & (group == number)
            low, high = _number(values[inside].min()), _number(values[inside].max())
            name = low if low == high else f"{low} to {high}"
            found.append(_effect(name, reason[inside]))
    if (~known).any():
        found.append(_effect(MISSING, reason[~known]))
    return found


def _edges(known: Floats) -> Floats:
    """Upper ends of up to MOST_GROUPS groups of the values, each of about equal size."""
    lowest = known.min()
    rest = known[known > lowest]
    if (known == lowest).mean() * MOST_GROUPS < 1 or not len(rest):
        return np.unique(np.quantile(known, np.linspace(0, 1, MOST_GROUPS + 1)[1:]))
    return np.unique([lowest, *np.quantile(rest, np.linspace(0, 1, MOST_GROUPS)[1:])])


def _category_effects(values: NDArray[Any], reason: Floats) -> list[Effect]:
    """Mean reason of the most frequent values, the highest first."""
    columns = _slots(values)
    names, count = np.unique(columns[columns != ""], return_counts=True)
    most = names[np.argsort(-count, kind="stable")[:MOST_GROUPS]]
    found = [_effect(str(name), reason[(columns == name).any(axis=1)]) for name in most]
    missing = (columns == "").all(axis=1)
    if missing.any():
        found.append(_effect(MISSING, reason[missing]))
    return sorted(found, key=lambda effect: -effect.mean_reason)


def _slots(values: NDArray[Any]) -> NDArray[np.str_]:
    """Texts of a categorical (n,) or multi-valued (n, l) feature as (n, l)."""
    texts = values.astype(str)
    return texts if texts.ndim == 2 else texts[:, None]


def _effect(values: str, reason: Floats) -> Effect:
    return Effect(values=values, rows=len(reason), mean_reason=float(reason.mean()))
