"""The quality gate tells worse from as good, and says where it cannot tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.journey_packages import TEXT, raw_visitors
from tests.packages import CONTRACT, raw_rows, score

from penchant.serving.golden import Tensors
from penchant.serving.holdout import HoldoutRows
from penchant.serving.rollout.gates import Finding, Gates, QualityGate, Verdict, judge
from penchant.serving.rollout.quality import compare_quality

GATE = QualityGate(rounds=300)
Answer = Callable[[Tensors], Tensors]


def held_out(num_rows: int, seed: int = 0, num_visitors: int = 0) -> HoldoutRows:
    inputs = raw_rows(num_rows, seed=seed)
    chance = score(inputs)["propensity"]
    label = (np.random.default_rng(seed).random(chance.shape) < chance).astype(np.float32)
    visitor = np.arange(num_rows) % (num_visitors or num_rows)
    return HoldoutRows(inputs, label, visitor)


def altered(change: Callable[[np.ndarray], np.ndarray]) -> Answer:
    """The tiny model with another logit."""

    def answer(inputs: Tensors) -> Tensors:
        chance = score(inputs)["propensity"].astype(np.float64)
        logit = change(np.log(chance / (1 - chance)))
        return {"propensity": (1 / (1 + np.exp(-logit))).astype(np.float32)}

    return answer


def jittered(amount: float, seed: int = 5) -> Answer:
    random = np.random.default_rng(seed)
    return altered(lambda logit: logit + random.normal(0, amount, logit.shape))


def outcomes(findings: list[Finding]) -> dict[str, str]:
    return {finding.metric: finding.outcome for finding in findings}


def compare(rows: HoldoutRows, new: Answer, gate: QualityGate = GATE) -> list[Finding]:
    return compare_quality(rows, CONTRACT, new, score, gate)


def test_the_same_model_is_not_worse() -> None:
    found = compare(held_out(500), score)

    assert set(outcomes(found).values()) == {"pass"}
    assert len(found) == 8  # four metrics of two goals
    assert all(f.numbers["worse_low"] == f.numbers["worse_high"] == 0 for f in found)


def test_noise_that_tells_nothing_passes_on_many_rows() -> None:
    assert set(outcomes(compare(held_out(4000), jittered(0.02))).values()) == {"pass"}


@pytest.mark.parametrize(
    ("new", "metric"),
    [
        (jittered(2.0), "purchase auc"),
        (altered(lambda logit: 3 * logit), "purchase logloss"),
        (altered(lambda logit: logit + 1.0), "purchase bias"),
        (altered(lambda logit: logit - 2.0), "purchase ece"),
    ],
)
def test_what_is_surely_worse_is_blocked(new: Answer, metric: str) -> None:
    found = compare(held_out(4000), new)

    assert outcomes(found)[metric] == "block"
    assert f"{metric} is worse" in Verdict(findings=found).reason


def test_too_few_rows_decide_nothing() -> None:
    found = compare(held_out(60), jittered(0.5))

    assert outcomes(found)["purchase auc"] == "undecided"
    assert Verdict(findings=found).outcome in ("undecided", "block")


def test_a_better_version_passes() -> None:
    found = compare_quality(held_out(3000), CONTRACT, score, jittered(1.0), GATE)

    assert outcomes(found)["purchase auc"] == "pass"


def test_the_rows_of_one_visitor_are_drawn_together() -> None:
    rows = held_out(300)
    ten_times = rows.take(np.tile(np.arange(300), 10))
    new = altered(lambda logit: logit + 0.4 * np.sin(40 * logit))

    once, often = compare(rows, new), compare(ten_times, new)

    def width(found: list[Finding]) -> float:
        return found[0].numbers["worse_high"] - found[0].numbers["worse_low"]

    # Repeated rows add no evidence: the interval does not shrink.
    assert width(often) == pytest.approx(width(once), rel=0.3)


def test_labels_that_nobody_knows_do_not_count() -> None:
    rows = held_out(1000)
    rows.label[:400] = np.nan
    rows.label[:, 1] = np.nan

    found = compare(rows, score)

    assert found[0].numbers["rows"] == 600
    assert found[-1].outcome == "undecided"
    assert "the held-out rows of unsubscribe are of one class" in found[-1].reason


def test_scoring_ends_when_the_time_is_up() -> None:
    (found,) = compare(held_out(100), score, QualityGate(most_s=0))

    assert found.outcome == "undecided"
    assert "no row was answered within 0 s" in found.reason


def journey(ranked: np.ndarray) -> Answer:
    """Answers with the same items in the same order to everybody."""
    return lambda inputs: {"next_item": np.tile(ranked, (len(inputs["action"]), 1))}


def test_a_ranking_is_compared_over_visitors() -> None:
    num_rows, items = 800, TEXT.item_id
    # The first item is taken half of the time, the second a quarter, and so on.
    drawn = np.minimum(np.random.default_rng(0).geometric(0.5, num_rows) - 1, len(items) - 1)
    rows = HoldoutRows(
        raw_visitors(TEXT, num_rows), items[drawn].astype(str), np.arange(num_rows) // 4
    )

    def judged(order: np.ndarray) -> dict[str, str]:
        return outcomes(
            compare_quality(rows, TEXT.contract, journey(items[order]), journey(items), GATE)
        )

    every = np.arange(len(items))
    assert judged(every) == {"ndcg@10": "pass", "hit_rate@10": "pass"}
    assert judged(every[::-1]) == {"ndcg@10": "block", "hit_rate@10": "block"}
    swapped = every.copy()
    swapped[[0, 1]] = [1, 0]
    assert judged(swapped) == {"ndcg@10": "block", "hit_rate@10": "pass"}


def test_the_rule() -> None:
    assert judge(0.011, 0.02, 0.01) == "block"
    assert judge(-0.02, 0.01, 0.01) == "pass"
    assert judge(0.009, 0.011, 0.01) == "undecided"
    assert judge(float("nan"), float("nan"), 0.01) == "undecided"


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gates\.quality\.auc_drop: expected 0 or more, got -1"):
        QualityGate(auc_drop=-1)
    with pytest.raises(ValueError, match=r"gates\.quality\.confidence: expected between 0 and 1"):
        QualityGate(confidence=95)
    assert Gates().digest() != Gates(quality=QualityGate(auc_drop=0.02)).digest()
