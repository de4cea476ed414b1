"""The quality gate: a new version and the champion on the same held-out rows.

Both are asked through the graphs that serve them. How much worse the new one is gets an interval by
a paired bootstrap: over rows, or over visitors where a visitor has several. Shapes: N rows, G
goals, R rounds, K ranked items.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penchant.clients.contract import PROPENSITY, Contract
from penchant.clients.journey_contract import NEXT_ITEM
from penchant.clients.wire_contract import WireContract
from penchant.serving.golden import Tensors
from penchant.serving.holdout import HoldoutRows
from penchant.serving.resampling import (
    EPSILON,
    Floats,
    ResampledScores,
    drawn_means,
    interval,
    weights,
)
from penchant.serving.rollout.gates import UNDECIDED, Finding, QualityGate, judge

QUALITY: Final = "quality"
TOP: Final = 10
"""Places of a ranked answer that count."""
_BINS: Final = 10
_CHUNK: Final = 64
"""Rows asked at once."""

Ask = Callable[[Tensors], Tensors]
"""What a version answers to raw inputs (B, …)."""


def not_compared(why: str) -> Finding:
    """What there is to say where there is no evidence."""
    return Finding(
        gate=QUALITY, metric="", outcome=UNDECIDED, reason=f"quality is not compared: {why}"
    )


def compare_quality(
    rows: HoldoutRows, contract: WireContract, new: Ask, champion: Ask, gate: QualityGate
) -> list[Finding]:
    """Compare two versions on rows that neither was fitted on.

    Args:
        rows: the held-out rows.
        contract: what both versions take and give.
        new: the version that is to be served.
        champion: the version that is served.
        gate: tolerances.
    """
    output = PROPENSITY if isinstance(contract, Contract) else NEXT_ITEM
    rows, answers = _answers(rows, output, (new, champion), gate.most_s)
    if not len(rows):
        return [not_compared(f"no row was answered within {gate.most_s:g} s")]
    if not isinstance(contract, Contract):
        return list(_ranking(rows, answers, gate))
    return [
        finding
        for at, goal in enumerate(contract.goals)
        for finding in _scores(goal, rows, at, [each[:, at] for each in answers], gate)
    ]


def _answers(
    rows: HoldoutRows, output: str, asks: tuple[Ask, Ask], most_s: float
) -> tuple[HoldoutRows, list[npt.NDArray[Any]]]:
    """The rows that both answered in time, in random order, and the output of each."""
    rows = rows.take(np.random.default_rng(0).permutation(len(rows)))
    found: list[list[npt.NDArray[Any]]] = [[], []]
    deadline, done = time.monotonic() + most_s, 0
    while done < len(rows) and time.monotonic() < deadline:
        part = {name: value[done : done + _CHUNK] for name, value in rows.inputs.items()}
        for answers, ask in zip(found, asks, strict=True):
            answers.append(ask(part)[output])
        done = min(done + _CHUNK, len(rows))
    return rows.take(np.arange(done)), [
        np.concatenate(each) if each else np.empty(0) for each in found
    ]


def _scores(
    goal: str, rows: HoldoutRows, at: int, answers: list[npt.NDArray[Any]], gate: QualityGate
) -> Iterator[Finding]:
    """Compare scores of one goal on the rows whose label is known."""
    label = rows.label[:, at]
    known = ~np.isnan(label)
    labels = label[known].astype(np.float64)
    new, champion = (answer[known].astype(np.float64) for answer in answers)
    if len(labels) == 0 or labels.min() == labels.max():
        yield not_compared(f"the held-out rows of {goal} are of one class")
        return
    models = [_Scores(labels, new), _Scores(labels, champion)]
    once = [model.draw(np.ones((1, len(labels)))) for model in models]
    drawn: list[list[dict[str, Floats]]] = [[], []]
    visitor, own = np.unique(rows.visitor[known], return_inverse=True)
    for of_visitor in weights(gate.rounds, len(visitor)):
        weight = of_visitor[:, own]  # rows of one visitor are drawn together
        for parts, model in zip(drawn, models, strict=True):
            parts.append(model.draw(weight))
    tolerances = {
        "auc": gate.auc_drop,
        "logloss": gate.logloss_rise,
        "ece": gate.ece_rise,
        "bias": gate.bias_rise,
    }
    for metric, tolerance in tolerances.items():
        found = [float(each[metric][0]) for each in once]
        rounds = [np.concatenate([part[metric] for part in parts]) for parts in drawn]
        # Worse is more: of log loss as a share, of AUC what it falls.
        scale = 1 / found[1] if metric == "logloss" else -1.0 if metric == "auc" else 1.0
        yield _finding(
            f"{goal} {metric}", found, (rounds[0] - rounds[1]) * scale, tolerance, gate, len(labels)
        )


class _Scores:
    """One version's scores of one goal, for many weightings of the rows."""

    def __init__(self, labels: Floats, scores: Floats) -> None:
        self._ranks = ResampledScores(labels, scores)
        self._labels, self._scores = labels, scores
        bins = np.array_split(np.argsort(scores, kind="stable"), _BINS)
        self._gaps = np.zeros((len(labels), _BINS))
        for at, members in enumerate(bins):
            self._gaps[members, at] = (scores - labels)[members]

    def draw(self, weight: Floats) -> dict[str, Floats]:
        """Metric -> (R,), for row weights (R, N)."""
        found = self._ranks.draw(weight)
        total = weight.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            said = weight @ self._scores / total
            happened = weight @ self._labels / total
            bias = np.abs(np.log(np.maximum(said, EPSILON) / happened))
        bias[happened == 0] = np.nan  # nothing to be off from
        ece = np.abs(weight @ self._gaps).sum(axis=1) / total
        return {"auc": found["auc"], "logloss": found["logloss"], "ece": ece, "bias": bias}


def _ranking(
    rows: HoldoutRows, answers: list[npt.NDArray[Any]], gate: QualityGate
) -> Iterator[Finding]:
    """Compare ranked answers, by where the item stands that the visitor took next."""
    gains = [_gains(answer, rows.label) for answer in answers]  # each (N, 2): NDCG, HR
    for at, (metric, tolerance) in enumerate(
        (("ndcg@10", gate.ndcg_drop), ("hit_rate@10", gate.hit_rate_drop))
    ):
        found = [float(gain[:, at].mean()) for gain in gains]
        drawn = drawn_means((gains[1] - gains[0])[:, at], rows.visitor, rounds=gate.rounds)
        with np.errstate(divide="ignore", invalid="ignore"):
            worse = drawn / np.float64(found[1])
        yield _finding(metric, found, worse, tolerance, gate, len(rows))


def _gains(answer: npt.NDArray[Any], label: npt.NDArray[Any]) -> Floats:
    """(N, 2) NDCG@10 and HR@10 of each row, with one right item a row."""
    texts = answer.astype(np.str_) if answer.dtype.kind == "O" else answer
    is_right = texts[:, :TOP] == label[:, None]
    rank = np.where(is_right.any(axis=1), is_right.argmax(axis=1), TOP)
    hit = rank < TOP
    return np.stack([np.where(hit, 1 / np.log2(rank + 2.0), 0.0), hit.astype(np.float64)], axis=1)


def _finding(
    metric: str, found: list[float], worse: Floats, tolerance: float, gate: QualityGate, rows: int
) -> Finding:
    ends = interval(worse, level=gate.confidence)
    outcome = judge(ends.low, ends.high, tolerance)
    words = {"pass": "not worse", "block": "worse", "undecided": "undecided"}[outcome]
    return Finding(
        gate=QUALITY,
        metric=metric,
        outcome=outcome,
        reason=(
            f"{metric} is {words}: {found[0]:.4f} instead of {found[1]:.4f} on {rows} held-out "
            f"rows; worse by {ends.low:+.4f} to {ends.high:+.4f}, where {tolerance:g} is tolerated"
        ),
        numbers={
            "new": found[0],
            "champion": found[1],
            "worse_low": ends.low,
            "worse_high": ends.high,
            "tolerance": tolerance,
            "rows": rows,
        },
    )
