"""Near ties are the same answer, wrong items are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from penchant.serving.golden import GoldenRows
from penchant.serving.parity import check_answers

ITEMS = np.array([["a", "b", "c", "d"]])
SCORES = np.array([[0.4, 0.2, 0.19999, 0.05]], np.float32)


def _check(
    items: npt.NDArray[Any],
    *,
    expected: npt.NDArray[Any] = ITEMS,
    scores: npt.NDArray[np.float32] = SCORES,
) -> None:
    golden = GoldenRows({}, {"next_item": expected, "score": scores})
    check_answers(golden, {"next_item": items})


@pytest.mark.parametrize(
    "items",
    [
        ["a", "b", "c", "d"],
        ["a", "c", "b", "d"],
        [b"a", b"c", b"b", b"d"],
    ],
)
def test_the_same_items_and_ties_pass(items: list[Any]) -> None:
    _check(np.array([items], object))


@pytest.mark.parametrize(
    ("items", "place"),
    [
        (["b", "a", "c", "d"], 1),
        (["a", "b", "d", "c"], 3),
        (["a", "b", "x", "d"], 3),
        (["a", "x", "c", "d"], 2),
        (["a", "b", "b", "d"], 3),
        (["a", "c", "c", "d"], 3),
        (["a", "b", "c", ""], 4),
        (["", "b", "c", "d"], 1),
    ],
)
def test_a_wrong_item_does_not(items: list[str], place: int) -> None:
    with pytest.raises(ValueError, match=f"next_item: expected.* in place {place} of row 0"):
        _check(np.array([items]))


def test_an_item_may_displace_the_last_one_that_it_ties_with() -> None:
    # Nobody can say from K scores whether it ties, but it can take no better place.
    _check(np.array([["a", "b", "c", "x"]]))


def test_no_item_may_take_the_place_of_none() -> None:
    left = np.array([[7, 8, -1, -1]])
    scores = np.array([[0.6, 0.4, 0, 0]], np.float32)
    _check(left, expected=left, scores=scores)

    for wrong in ([[7, 8, 9, -1]], [[7, 9, -1, -1]], [[7, -1, 8, -1]], [[7, 8, 7, -1]]):
        with pytest.raises(ValueError, match="next_item"):
            _check(np.array(wrong), expected=left, scores=scores)


def test_small_probabilities_of_a_large_catalogue_are_no_ties() -> None:
    scores = np.array([[4e-6, 3e-6, 2e-6, 1e-6]], np.float32)

    with pytest.raises(ValueError, match="next_item"):
        _check(np.array([["b", "a", "c", "d"]]), scores=scores)


@pytest.mark.parametrize(
    ("name", "near", "far"),
    [
        ("score", 0.2001, 0.2004),
        ("purchase", 0.200005, 0.2002),
        ("purchase", 0.2, np.nan),
        ("count", 0.2, 1.2),
        ("something_new", 0.2, 0.2001),
    ],
)
def test_numbers_are_compared_by_what_they_are(name: str, near: float, far: float) -> None:
    golden = GoldenRows({}, {name: np.array([[0.2]])})
    check_answers(golden, {name: np.array([[near]])})

    with pytest.raises(ValueError, match=f"{name}: expected PyTorch's golden answers within"):
        check_answers(golden, {name: np.array([[far]])})


def test_another_number_of_items_is_refused() -> None:
    with pytest.raises(ValueError, match="next_item: expected shape"):
        _check(ITEMS[:, :3])
