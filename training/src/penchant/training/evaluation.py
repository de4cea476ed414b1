"""What is known of a model after its test rows were scored: the material of every report.

Letters: N test rows, E explained rows, G goals, F features.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from penchant.clients.contract import CATEGORICAL, MULTI_PREFIX, NUMERIC
from penchant.training.bootstrap import Interval, bootstrap, interval
from penchant.training.metrics import BinaryMetrics, Decile, Floats, binary_metrics, deciles

NETWORK: Final = "PropensityNet"
"""Name of the deep model among the models of an evaluation."""
COMPARED: Final = {"auc": 1.0, "average_precision": 1.0, "logloss": -1.0, "brier": -1.0}
"""Metrics with an interval -> 1 where more is better, -1 where less is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Scores of several models on rows that none of them learnt from."""

    goals: tuple[str, ...]
    """Names of the goals."""
    numeric: tuple[str, ...]
    """Names of the numeric features; features are these, then categorical, then multi-valued."""
    categorical: tuple[str, ...]
    """Names of the categorical features."""
    multi_valued: tuple[str, ...]
    """Names of the multi-valued features."""
    label: NDArray[np.float32]
    """(N, G): 0 or 1, NaN where the goal was not observed."""
    propensity: Mapping[str, NDArray[np.floating[Any]]]
    """Model -> (N, G); the network is called `NETWORK`."""
    raw: Mapping[str, NDArray[Any]]
    """Raw inputs of the test rows, as they go over the wire."""
    explained: NDArray[np.int64]
    """(E,): places, among the test rows, of those that have reasons."""
    base: NDArray[np.floating[Any]]
    """(E, G): logit of the network's average score."""
    reason: NDArray[np.floating[Any]]
    """(E, G, F): what each feature adds to `base`; base and reasons sum to the score's logit."""
    learnt_rows: int
    """Rows outside the test part, which the models learnt from."""
    provenance: Mapping[str, str]
    """Where model, data and code came from: words a reader knows -> value."""

    def __post_init__(self) -> None:
        """Refuse arrays whose shapes do not belong together."""
        rows, goals, features = len(self.label), len(self.goals), len(self.features)
        expected: dict[str, tuple[int, ...]] = {"label": (rows, goals)}
        expected |= {f"propensity[{name}]": (rows, goals) for name in self.propensity}
        expected["base"] = (len(self.explained), goals)
        expected["reason"] = (len(self.explained), goals, features)
        given = {"label": self.label, "base": self.base, "reason": self.reason}
        given |= {f"propensity[{name}]": score for name, score in self.propensity.items()}
        for name, shape in expected.items():
            if given[name].shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {given[name].shape}")
        if NETWORK not in self.propensity:
            raise ValueError(f"propensity: expected a model named {NETWORK}, got none")

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the F features, in the order of the reasons."""
        return (*self.numeric, *self.categorical, *self.multi_valued)

    def values(self, feature: str) -> NDArray[Any]:
        """Raw values of a feature: float (N,), text (N,), or text (N, l) of a multi-valued one."""
        if feature in self.numeric:
            return np.asarray(self.raw[NUMERIC][:, self.numeric.index(feature)], dtype=np.float64)
        if feature in self.categorical:
            return np.asarray(self.raw[CATEGORICAL][:, self.categorical.index(feature)])
        return np.asarray(self.raw[MULTI_PREFIX + feature])

    def goal(self, name: str) -> "GoalEvaluation":
        """What is known of one goal, on the rows where it was observed."""
        place = self.goals.index(name)
        keep = np.flatnonzero(~np.isnan(self.label[:, place]))
        at = np.searchsorted(keep, self.explained)
        kept = np.isin(self.explained, keep)
        return GoalEvaluation(
            name=name,
            rows=keep,
            label=self.label[keep, place].astype(np.float64),
            propensity={
                model: score[keep, place].astype(np.float64)
                for model, score in self.propensity.items()
            },
            explained=at[kept],
            reason=self.reason[kept, place].astype(np.float64),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class GoalEvaluation:
    """One goal, on the n test rows where it was observed."""

    name: str
    """Name of the goal."""
    rows: NDArray[np.int64]
    """(n,): places of these rows among the test rows."""
    label: Floats
    """(n,): 0 or 1."""
    propensity: Mapping[str, Floats]
    """Model -> (n,)."""
    explained: NDArray[np.int64]
    """(e,): places, among the n rows, of those that have reasons."""
    reason: Floats
    """(e, F): what each feature adds to the score's logit."""

    @property
    def score(self) -> Floats:
        """The network's propensities (n,)."""
        return self.propensity[NETWORK]

    def metrics(self) -> dict[str, BinaryMetrics]:
        """Model -> its metrics."""
        return {name: binary_metrics(self.label, s) for name, s in self.propensity.items()}

    def deciles(self) -> dict[str, list[Decile]]:
        """Model -> its deciles, highest scores first."""
        return {name: deciles(self.label, score) for name, score in self.propensity.items()}

    def comparison(self) -> "Comparison":
        """Metrics with intervals, and whether the network beats the best simple model."""
        metrics = self.metrics()
        draws = bootstrap(self.label, self.propensity)
        intervals = {
            model: {metric: interval(values) for metric, values in drawn.items()}
            for model, drawn in draws.items()
        }
        others = [model for model in metrics if model != NETWORK]
        if not others:
            return Comparison(metrics=metrics, intervals=intervals, rival=None, advantage={})
        rival = min(others, key=lambda model: _or_infinity(metrics[model].logloss))
        advantage = {
            metric: _paired(metrics, draws, metric=metric, rival=rival) for metric in draws[rival]
        }
        return Comparison(metrics=metrics, intervals=intervals, rival=rival, advantage=advantage)


@dataclass(frozen=True, kw_only=True)
class Advantage:
    """How much better the network is on one metric: positive is better, whatever the metric."""

    difference: float
    """On the test rows."""
    interval: Interval
    """95 % interval of the paired difference."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Metrics of all models, and the network against the simple model with the least logloss."""

    metrics: Mapping[str, BinaryMetrics]
    """Model -> metrics."""
    intervals: Mapping[str, Mapping[str, Interval]]
    """Model -> metric -> 95 % interval."""
    rival: str | None
    """The simple model with the least logloss; None where no other model was fitted."""
    advantage: Mapping[str, Advantage]
    """Metric -> network against rival."""

    @property
    def verdict(self) -> Literal["ahead", "level", "behind", "alone"]:
        """Whether the network is better or worse than the rival beyond chance.

        Decided by logloss, which rewards both ranking and calibration, and by AUC: a network that
        is ahead in one must not be behind in the other.
        """
        if self.rival is None or not self.advantage:
            return "alone"
        ranges = [self.advantage[metric].interval for metric in ("logloss", "auc")]
        ahead = any(found.low > 0 for found in ranges)
        behind = any(found.high < 0 for found in ranges)
        if ahead == behind:
            return "level"
        return "ahead" if ahead else "behind"


def _paired(
    metrics: Mapping[str, BinaryMetrics],
    draws: Mapping[str, Mapping[str, Floats]],
    *,
    metric: str,
    rival: str,
) -> Advantage:
    sign = COMPARED[metric]
    ours, theirs = metrics[NETWORK].as_dict()[metric], metrics[rival].as_dict()[metric]
    return Advantage(
        difference=sign * (ours - theirs),
        interval=interval(sign * (draws[NETWORK][metric] - draws[rival][metric])),
    )


def _or_infinity(value: float) -> float:
    return math.inf if math.isnan(value) else value
