"""Every shipped recipe's net becomes an engine, at every size: TensorRT-RTX builds on this CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serving.engines.conftest import MAX_BATCH_SIZE
from tests.serving.engines.nets import Net, journey_net, propensity_net

from penchant.serving.engines.builder import build_engine
from penchant.serving.engines.precision import Precision


def check(net: Net, *precisions: Precision) -> None:
    """It builds for all batches; an error or a plugin would raise, a warning is a note."""
    for precision in precisions:
        plan = build_engine(net.path, contract=net.contract, precision=precision)
        assert plan.notes == ()
        assert plan.record.profiles[-1].max_rows == MAX_BATCH_SIZE
        assert plan.record.size_bytes == len(plan.content) > 0


def test_a_propensity_net_converts_in_every_precision(shoppers: Net) -> None:
    check(shoppers, "fp32", "fp16", "bf16")


def test_so_does_that_of_the_other_recipe(tmp_path: Path) -> None:
    check(propensity_net("telco_churn", tmp_path, max_batch_size=MAX_BATCH_SIZE), "fp16")


def test_a_journey_net_converts_in_every_precision(journey: Net) -> None:
    check(journey, "fp32", "fp16", "bf16")


@pytest.mark.parametrize(("num_items", "k"), [(50_000, 100), (1_000_000, 200)])
def test_a_journey_net_converts_at_every_catalogue_size(
    num_items: int, k: int, tmp_path: Path
) -> None:
    check(journey_net(tmp_path, num_items=num_items, k=k, max_batch_size=MAX_BATCH_SIZE), "tf32")
