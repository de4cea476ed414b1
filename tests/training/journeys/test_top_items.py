"""Which items are answered, against a plain sort of what may be answered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from penchant.training.journeys.code_parts import CodePart, code_parts
from penchant.training.journeys.top_items import TopItems, best_of

NUM_CODES = 23
NUM_CATEGORIES = 6
CATEGORY = np.array([0, 0, *(np.arange(NUM_CODES - 2) % 5 + 1)])
CATEGORY[[7, 8]] = 0
"""Two items have no category, and code 1 is that of no known category."""

Floats = npt.NDArray[np.float32]


def top_items(num_items: int = 5, most_codes: int | None = None) -> TopItems:
    return TopItems(
        torch.from_numpy(CATEGORY),
        num_categories=NUM_CATEGORIES,
        num_items=num_items,
        most_codes=most_codes,
    )


def in_parts(score: Tensor, parts: Sequence[CodePart]) -> list[Tensor]:
    return [score[:, part.start : part.stop] for part in parts]


def scores(rows: int = 4, seed: int = 0) -> Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).normal(0, 3, (rows, NUM_CODES)).astype(np.float32)
    )


def codes(*rows: list[int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.int32)


def expected(score: Floats, may: list[int], count: int) -> list[tuple[int, float]]:
    """The best of the codes in `may`, with the softmax over them."""
    weights = np.exp(score[may].astype(np.float64))
    ranked = sorted(zip(may, weights / weights.sum(), strict=True), key=lambda pair: -pair[1])
    return ranked[:count]


@pytest.mark.parametrize("most_codes", [1, 2, 5, 6, 22, None])
def test_the_best_items_are_those_of_a_sort(most_codes: int | None) -> None:
    score = scores()
    exclude = codes([0, 0], [3, 3], [2, 22], [1, 0])
    allow = codes([0, 0], [3, 0], [2, 5], [0, 0])
    top = top_items(5, most_codes)
    code, probability, count = top(in_parts(score, top.parts), exclude, allow)
    for row in range(4):
        asked = set(allow[row].tolist()) - {0}
        may = [
            item
            for item in range(2, NUM_CODES)
            if item not in exclude[row].tolist() and (not asked or CATEGORY[item] in asked)
        ]
        found = expected(score[row].numpy(), may, 5)
        assert int(count[row]) == len(found)
        assert code[row, : len(found)].tolist() == [item for item, _ in found]
        np.testing.assert_allclose(probability[row, : len(found)], [p for _, p in found], rtol=1e-5)
        assert not code[row, len(found) :].any()
        assert not probability[row, len(found) :].any()
    assert code.dtype == count.dtype == torch.int32


def test_special_codes_are_never_answered_however_high_they_score() -> None:
    score = scores(1)
    score[0, :2] = 1e4
    code, probability, _ = top_items()([score], codes([0]), codes([0]))
    assert int(code.min()) >= 2
    assert float(probability.sum()) > 0.5


def test_nothing_left_is_said_and_is_no_nan() -> None:
    everything = codes(list(range(2, NUM_CODES)), [0] * (NUM_CODES - 2))
    code, probability, count = top_items()([scores(2)], everything)
    assert count.tolist() == [[0], [5]]
    assert not code[0].any()
    assert not probability[0].any()
    assert torch.isfinite(probability).all()


def test_items_without_category_are_not_in_a_category_that_is_asked_for() -> None:
    score = scores(3)
    score[:, [7, 8]] = 50.0
    code, _, count = top_items()([score], codes([0], [0], [0]), codes([2], [1], [0]))
    assert not {7, 8} & set(code[:2].flatten().tolist())
    assert code[2, :2].sort().values.tolist() == [7, 8]
    named_unknown = int((CATEGORY == 1).sum())
    assert int(count[1]) == min(5, named_unknown)


def test_without_categories_there_is_nothing_to_keep_to() -> None:
    plain = TopItems(torch.zeros(NUM_CODES), num_categories=2, num_items=3)
    code, _, _ = plain([scores(1)], codes([0]))
    assert code[0].tolist() == (scores(1)[0, 2:].argsort(descending=True)[:3] + 2).tolist()


@pytest.mark.parametrize("most_codes", [1, 3, 4, 7, 10, 11])
def test_parts_are_ranked_as_a_whole(most_codes: int) -> None:
    score = scores(6, seed=3)[:, :11]
    parts = code_parts(11, most_codes)
    ranked = [part.clone() for part in in_parts(score, parts)]
    for part, each in zip(parts, ranked, strict=True):
        each[:, : part.repeats] = -100.0
    value, code = best_of(ranked, parts, 3)
    whole = score.topk(3, dim=1)
    assert torch.equal(value, whole.values)
    assert torch.equal(code, whole.indices)


@pytest.mark.parametrize("num_items", [0, NUM_CODES - 1])
def test_more_items_than_the_catalogue_has_are_refused(num_items: int) -> None:
    with pytest.raises(
        ValueError, match=f"num_items: expected from 1 to the 21 .* got {num_items}"
    ):
        top_items(num_items)
