"""What counts as an engine's being right."""

from __future__ import annotations

import numpy as np
import pytest

from penchant.serving.engines.agreement import TOLERANCE, check_agreement
from penchant.serving.engines.precision import PRECISIONS, Precision

SCORES = np.linspace(0.01, 0.99, 50, dtype=np.float32).reshape(50, 1)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_numbers_may_be_off_by_what_the_precision_allows(precision: Precision) -> None:
    near = TOLERANCE[precision].around(SCORES).astype(np.float32)
    check_agreement({"propensity": SCORES}, {"propensity": SCORES + 0.9 * near}, precision)
    with pytest.raises(ValueError, match="propensity: expected the net's answers within"):
        check_agreement({"propensity": SCORES}, {"propensity": SCORES + 1.1 * near}, precision)


def test_no_number_is_never_near() -> None:
    got = SCORES.copy()
    got[3] = np.nan
    with pytest.raises(ValueError, match="got a difference of nan"):
        check_agreement({"propensity": SCORES}, {"propensity": got}, "bf16")


def test_near_ties_may_change_places_but_not_the_best_items() -> None:
    best = np.tile(np.arange(20, dtype=np.int32), (10, 1))
    swapped = best.copy()
    swapped[:, [3, 4]] = swapped[:, [4, 3]]
    swapped[0, 9] = 99
    check_agreement({"top_code": best}, {"top_code": swapped}, "fp16")
    swapped[:, 0] = 98
    with pytest.raises(ValueError, match=r"expected 99% of the net's best 10, got 89\.00%"):
        check_agreement({"top_code": best}, {"top_code": swapped}, "fp16")


def test_counts_have_to_be_the_same() -> None:
    count = np.full((3, 1), 7, np.int32)
    other = count.copy()
    other[2] = 6
    with pytest.raises(ValueError, match=r"count: expected \[7\] in row 2, got \[6\]"):
        check_agreement({"count": count}, {"count": other}, "fp32")


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(50, 1\), got \(49, 1\)"):
        check_agreement({"propensity": SCORES}, {"propensity": SCORES[1:]}, "fp32")
