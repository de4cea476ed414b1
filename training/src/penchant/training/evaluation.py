"""What is known of a model after its test rows were scored: the material of every report.

Letters: N test rows, E explained rows, G goals, F features.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from penchant.clients.contract import CATEGORICAL, MULTI_PREFIX, NUMERIC
from penchant.training.baselines import fit_baselines, seen_rows
from penchant.training.bootstrap import Interval, bootstrap, interval
from penchant.training.metrics import BinaryMetrics, Decile, Floats, binary_metrics, deciles
from penchant.training.recipe import Recipe
from penchant.training.split import Parts
from penchant.training.table import Table
from penchant.training.tracking import code_revision

if TYPE_CHECKING:
    from penchant.training.fit import FittedPropensity

NETWORK: Final = "PropensityNet"
"""Name of the deep model among the models of an evaluation."""
EXPLAINED_ROWS: Final = 2000
"""Most test rows that are explained: each costs the network 2F more rows."""
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

    def network_metrics(self) -> dict[str, float]:
        """The network's metrics by ``<goal>/<metric>``; undefined ones are left out."""
        return self.model_metrics(NETWORK)

    def model_metrics(self, model: str) -> dict[str, float]:
        """Metrics of one model by ``<goal>/<metric>``; undefined ones are left out."""
        scores = self.propensity[model]
        return {
            f"{goal}/{metric}": value
            for place, goal in enumerate(self.goals)
            for metric, value in binary_metrics(self.label[:, place], scores[:, place])
            .as_dict()
            .items()
            if not math.isnan(value)
        }

    def all_metrics(self) -> dict[str, float]:
        """What a training run logs: metrics of every model, lift and gain of its deciles.

        The network's are named ``<goal>/<metric>``, those of the others
        ``<model>/<goal>/<metric>``; a decile's are ``lift_1`` and ``gain_1`` to ``_10``.
        """
        found: dict[str, float] = {}
        for model in self.propensity:
            prefix = "" if model == NETWORK else f"{model}/"
            values = self.model_metrics(model)
            for goal in self.goals:
                for part in self.goal(goal).deciles()[model]:
                    values[f"{goal}/lift_{part.decile}"] = part.lift
                    values[f"{goal}/gain_{part.decile}"] = part.gain
            found |= {f"{prefix}{k}": v for k, v in values.items() if not math.isnan(v)}
        return found

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


def evaluate_test_rows(
    fitted: "FittedPropensity", table: Table, parts: Parts, recipe: Recipe
) -> Evaluation:
    """Fit the baselines on all rows outside the test part and score the test rows with all models.

    At most `EXPLAINED_ROWS` of the test rows, drawn at random, are explained.
    """
    rows = parts.test
    propensity: dict[str, NDArray[np.floating[Any]]] = {NETWORK: fitted.predict(table, rows)}
    for name, baseline in fit_baselines(table, parts, seed=recipe.fit.seed).items():
        propensity[name] = baseline.predict(table, rows)
    generator = np.random.default_rng(recipe.split.seed)
    count = min(EXPLAINED_ROWS, len(rows))
    explained = np.sort(generator.choice(len(rows), count, replace=False))
    base, reason = fitted.explain(table, rows[explained])
    columns = recipe.columns
    return Evaluation(
        goals=tuple(goal.name for goal in recipe.goals),
        numeric=columns.numeric,
        categorical=columns.categorical,
        multi_valued=tuple(column.name for column in columns.multi_valued),
        label=table.label[rows],
        propensity=propensity,
        raw=table.raw_inputs(rows),
        explained=explained,
        base=base,
        reason=reason,
        learnt_rows=len(seen_rows(parts)),
        provenance=_provenance(table, parts, recipe),
    )


def _provenance(table: Table, parts: Parts, recipe: Recipe) -> dict[str, str]:
    source = recipe.table
    split = recipe.split
    how = {
        "stratified": f"at random, goals balanced, seed {split.seed}",
        "group": f"no {split.column} in two parts, seed {split.seed}",
        "time": f"by {split.column}: learnt from the oldest rows, tested on the newest",
    }
    return {
        "Model": f"{recipe.name} ({NETWORK})",
        "Evaluated": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Data": Path(source.path).name if source.path else f"table {source.name}",
        "Data fingerprint (SHA-256)": table.fingerprint,
        "Rows": (
            f"{len(parts.train):,} to learn, {len(parts.validation):,} to know when to stop, "
            f"{len(parts.calibration):,} to calibrate, {len(parts.test):,} to test"
        ),
        "Split": how[split.by],
        "Code revision": code_revision(),
        "penchant": metadata.version("penchant"),
    }


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
