"""Several processes share the events; mixed precision and compiling change no network."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.journeys.small_journeys import random_journeys
from tests.training.journeys.test_fit_journeys import RECIPE, planted

from penchant.training.journeys.batches import JourneyBatches
from penchant.training.journeys.fit import fit_journeys, new_net, training_batches
from penchant.training.journeys.journey_data_module import JourneyDataModule
from penchant.training.journeys.journey_module import JourneyModule
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.targets import targets_of


def data_of(rank: int, processes: int, visitors: int = 90) -> JourneyDataModule:
    """The data module of one of several processes."""
    journeys = random_journeys(visitors, longest=30)
    batches = JourneyBatches(journeys=journeys, stop=journeys.offsets[1:], window=8, profile=2)
    chosen = np.random.default_rng(0).random(journeys.num_events) < 0.3
    data = JourneyDataModule(batches, targets_of(journeys, chosen), RECIPE)
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        global_rank=rank, world_size=processes, current_epoch=1, strategy=strategy
    )
    return data


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_events_and_get_as_many_batches(processes: int) -> None:
    shares = [data_of(rank, processes) for rank in range(processes)]
    loaders = [share.train_dataloader().dataset for share in shares]
    assert len({len(loader) for loader in loaders}) == 1  # type: ignore[arg-type]
    rows: list[int] = []
    for loader in loaders:
        for group in loader.groups:  # type: ignore[attr-defined]
            assert len(group)
            some = loader.windows.take(group)  # type: ignore[attr-defined]
            for start, stop in zip(some.start.tolist(), some.stop.tolist(), strict=True):
                rows += range(start, stop)
    assert sorted(rows) == list(range(shares[0].batches.journeys.num_events))


def test_columns_that_may_not_be_written_to_are_read(tmp_path: Path) -> None:
    random_journeys(20).save(tmp_path)
    journeys = Journeys.open(tmp_path)
    batches = JourneyBatches(journeys=journeys, stop=journeys.offsets[1:], window=8, profile=2)
    assert not journeys.item.flags.writeable
    assert batches.columns.item.data_ptr() == journeys.item.ctypes.data
    assert batches.columns.num_bytes == journeys.num_events * 23


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_validation_targets(processes: int) -> None:
    shares = [list(data_of(rank, processes).val_dataloader()) for rank in range(processes)]
    assert len({len(batches) for batches in shares}) == 1
    found = torch.cat([batch.target for batches in shares for batch in batches])
    validation = data_of(0, 1).validation
    journeys = data_of(0, 1).batches.journeys
    wanted = journeys.item[validation.rows(journeys)]
    assert sorted(found.tolist()) == sorted(wanted.tolist())


def test_more_processes_than_journeys_are_refused() -> None:
    with pytest.raises(ValueError, match=r"trainer\.devices: expected at most \d+, .* got 500"):
        data_of(0, 500, visitors=3).train_dataloader()


@pytest.mark.parametrize(
    "fit", [{}, {"loss": "sampled", "num_negatives": 8}], ids=["full", "sampled"]
)
def test_mixed_precision_learns_much_the_same(fit: dict[str, Any], tmp_path: Path) -> None:
    journeys, catalogue, parts = planted(20)
    recipe = replace(RECIPE, fit=replace(RECIPE.fit, max_epochs=1, **fit))
    tables = []
    for precision in ("32-true", "bf16-mixed"):
        trainer = {"accelerator": "cpu", "precision": precision}
        folder = tmp_path / precision
        fitted = fit_journeys(journeys, catalogue, parts, replace(recipe, trainer=trainer), folder)
        tables.append(fitted.net.item_table())
    assert all(weight.dtype == torch.float32 for weight in tables)
    difference = (tables[0] - tables[1]).norm() / tables[0].norm()
    assert 0 < difference < 0.02


# What is looked at while compiling, with warnings being errors here.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_step_has_the_gradient_and_the_names_of_a_plain_one() -> None:
    journeys, catalogue, parts = planted(40)
    recipe = replace(RECIPE, network=replace(RECIPE.network, dropout=0.0, item_dropout=0.0))
    batches = training_batches(journeys, parts, recipe)
    windows, groups = batches.epoch(num_events=200, rng=np.random.default_rng(0))
    module = JourneyModule(new_net(journeys, catalogue, parts, recipe), recipe.fit)
    names = list(module.state_dict())
    some = [batches.batch(windows.take(group)) for group in groups[:2]]
    plain = [gradients(module, batch) for batch in some]

    module.net.compile(dynamic=True, fullgraph=True, backend="eager")

    assert list(module.state_dict()) == names
    for batch, expected in zip(some, plain, strict=True):
        torch.testing.assert_close(gradients(module, batch), expected)


def gradients(module: JourneyModule, batch: Any) -> list[torch.Tensor]:
    module.zero_grad()
    torch.autograd.backward(module.training_step(batch, 0))
    return [weight.grad.clone() for weight in module.net.parameters() if weight.grad is not None]
