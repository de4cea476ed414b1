"""Batches that an engine is built and captured for."""

from __future__ import annotations

import pytest

from penchant.clients.contract import Contract
from penchant.serving.engines.profiles import BatchProfile, batch_profiles, graph_batches


def contract(max_batch_size: int, latency_budget_ms: float = 20.0) -> Contract:
    return Contract(
        model="propensity",
        goals=("purchase",),
        numeric=("visits",),
        max_batch_size=max_batch_size,
        latency_budget_ms=latency_budget_ms,
    )


@pytest.mark.parametrize("most", [1, 5, 8])
def test_small_batches_need_one_profile(most: int) -> None:
    assert batch_profiles(contract(most)) == (BatchProfile(1, 1, most),)


@pytest.mark.parametrize(("budget_ms", "usual"), [(20.0, 1024), (5.0, 256)])
def test_large_ones_have_their_own_tuned_to_the_budget(budget_ms: float, usual: int) -> None:
    lone, full = batch_profiles(contract(1024, budget_ms))
    assert lone == BatchProfile(1, 1, 8)
    assert full == BatchProfile(1, usual, 1024)


def test_every_batch_fits_the_last_profile() -> None:
    for most in range(1, 70):
        for budget_ms in (1.0, 50.0):
            last = batch_profiles(contract(most, budget_ms))[-1]
            assert (last.min_rows, last.max_rows) == (1, most)


def test_graphs_are_captured_for_powers_of_two_and_the_largest_batch() -> None:
    assert graph_batches(contract(1)) == (1,)
    assert graph_batches(contract(48)) == (1, 2, 4, 8, 16, 32, 48)
    assert graph_batches(contract(64)) == (1, 2, 4, 8, 16, 32, 64)


def test_a_profile_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="1 <= min_rows <= opt_rows <= max_rows, got 2, 1, 8"):
        BatchProfile(2, 1, 8)
