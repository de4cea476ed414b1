"""How many threads a small network gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from tests.tables import shop_recipe

from penchant.training.cpu_threads import at_most_threads
from penchant.training.fit import fit_propensity
from penchant.training.network_config import NetworkConfig
from penchant.training.recipe import FitConfig
from penchant.training.split import split_rows
from penchant.training.table import read_table


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Begin with two threads, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("most", "expected"), [(0, 1), (1, 1), (2, 2), (8, 2)])
def test_never_more_than_there_are_and_at_least_one(most: int, expected: int) -> None:
    with at_most_threads(most):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 2


def test_they_come_back_after_an_error() -> None:
    with pytest.raises(RuntimeError), at_most_threads(1):
        raise RuntimeError
    assert torch.get_num_threads() == 2


class Seen(pl.Callback):
    """Notes the threads of the training loop."""

    threads = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.threads = torch.get_num_threads()


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")
@pytest.mark.parametrize(("batch_size", "expected"), [(64, 1), (8192, 2)])
def test_a_step_gets_the_threads_that_it_keeps_busy(
    tmp_path: Path, batch_size: int, expected: int
) -> None:
    network = NetworkConfig(trunks=2, members=2, width=32, embedding_size=2)
    fit = FitConfig(max_epochs=1, batch_size=batch_size)
    recipe = shop_recipe(tmp_path, network=network, fit=fit)
    table, seen = read_table(recipe), Seen()
    fit_propensity(
        table, split_rows(table, recipe.split), recipe, tmp_path / "fit", callbacks=[seen]
    )
    assert seen.threads == expected
