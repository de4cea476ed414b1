"""Sizes of tables that stay while vocabularies grow a little."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from penchant.training.headroom import pad_weight, padded, with_room


@pytest.mark.parametrize("step", [8, 64])
def test_sizes_are_of_one_series_that_grows_by_a_twentieth(step: int) -> None:
    sizes = sorted({with_room(count, step=step) for count in range(1, 20_000)})
    assert sizes[0] == step
    for size, larger in pairwise(sizes):
        assert size % step == 0
        assert step <= larger - size <= max(step, 0.05 * size + step)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 3_665, 50_002, 1_000_002])
def test_there_is_room_for_all_and_not_much_more(count: int) -> None:
    size = with_room(count, step=64)
    assert count <= size <= 1.05 * count + 128
    assert with_room(size, step=64) == size, "a full table is no reason for a larger one"


def test_rows_are_added_behind() -> None:
    table = torch.ones(2, 3)
    assert padded(table, 4).tolist() == [[1.0] * 3] * 2 + [[0.0] * 3] * 2
    assert padded(table, 4, axis=1).tolist() == [[1.0, 1.0, 1.0, 0.0]] * 2
    assert padded(torch.ones(2), 3, value=-5.0).tolist() == [1.0, 1.0, -5.0]
    assert padded(torch.ones(2, dtype=torch.int32), 3).dtype == torch.int32


def test_a_weight_with_room_is_no_longer_learnt() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    wider = pad_weight(weight, 4)
    assert (wider.shape, wider.requires_grad) == ((4, 3), False)
