"""Samples a second of a fit on one device, beside a plain loop: one line of JSON each.

python -m penchant.training.benchmarks.fit_speed --device cuda

A journey's sample is a visitor with 200 events of 3,416 items, the sizes of MovieLens-1M; that of a
propensity net is a row. Ours is the fit's own module, batches and trainer. The plain loops are what
a careful first version looks like: `journeys.benchmarks.plain_loop` for journeys; for rows the same
net with a DataLoader over single rows, AdamW and FP32. All is made up at random, so that only speed
is measured. Operations are those of products of matrices, forward and backward, as PyTorch counts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, Final

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from penchant.training.benchmarks.bare_nets import PROPENSITY_SIZES
from penchant.training.benchmarks.softmax_check import softmax_checks
from penchant.training.dataset import EncodedDataset, PropensityDataModule
from penchant.training.device import trainer_options
from penchant.training.journeys.benchmarks.movielens import RECIPE
from penchant.training.journeys.benchmarks.plain_loop import OurLoop, PlainLoop
from penchant.training.journeys.catalogue import FIRST_CODE, Catalogue
from penchant.training.journeys.journeys import Journeys
from penchant.training.network_config import NetworkConfig
from penchant.training.propensity_module import PropensityModule
from penchant.training.propensity_net import PropensityNet, trunk_losses
from penchant.training.recipe import FitConfig
from penchant.training.train_to_best import quiet_lightning

NUM_ITEMS: Final = 3_416
WARM_EPOCHS: Final = 1
EPOCHS: Final = 3
"""Passes that are timed, after those that warm up; their median counts."""


@dataclass(frozen=True, kw_only=True)
class FitSpeed:
    """How fast one loop trains."""

    kind: str
    """propensity or journey."""
    loop: str
    """ours or plain."""
    device: str
    """cpu or cuda."""
    precision: str
    """As Lightning calls it."""
    compiled: bool
    """Whether the net was compiled."""
    batch_size: int
    """Samples a step."""
    samples_per_s: float
    """Median over the timed passes."""
    flops_per_sample: float
    """Operations of products of matrices for one sample, forward and backward."""


class EpochClock(Callback):
    """Seconds of each pass, all that was started on the device included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        _wait(pl_module.device)
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop it."""
        _wait(pl_module.device)
        self.seconds.append(time.perf_counter() - self._started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def propensity_speeds(
    device: str, *, num_rows: int, batch_sizes: tuple[int, ...]
) -> Iterator[FitSpeed]:
    """The plain loop over rows, then ours for each batch size, plain and compiled."""
    dataset = _rows(num_rows)
    batch_size = batch_sizes[0]
    flops = _propensity_flops(dataset, batch_size)
    common: dict[str, Any] = {"kind": "propensity", "device": device, "flops_per_sample": flops}
    some = min(num_rows, 8 * batch_size)  # it is slow
    yield FitSpeed(
        **common,
        loop="plain",
        precision="32-true",
        compiled=False,
        batch_size=batch_size,
        samples_per_s=_plain_rows_per_s(dataset, some, batch_size, device),
    )
    for size in batch_sizes:
        for compiled in (False, True) if device == "cuda" else (False,):
            config = FitConfig(batch_size=size, compiled=compiled)
            module = PropensityModule(_propensity_net(), config)
            data = PropensityDataModule(dataset, dataset, batch_size=size, seed=0)
            speed, precision = _our_samples_per_s(module, data, device, num_rows)
            yield FitSpeed(
                **common,
                loop="ours",
                precision=precision,
                compiled=compiled,
                batch_size=size,
                samples_per_s=speed,
            )


def journey_speeds(device: str, *, visitors: int, plain_visitors: int) -> Iterator[FitSpeed]:
    """The plain loop over padded sequences, then ours, plain and compiled."""
    journeys, catalogue = _journeys(visitors)
    flops = _journey_flops(journeys, catalogue)
    common: dict[str, Any] = {
        "kind": "journey",
        "device": device,
        "flops_per_sample": flops,
        "batch_size": RECIPE.fit.batch_size,
    }
    plain = PlainLoop(_journeys(plain_visitors)[0], catalogue, device=device)
    yield FitSpeed(
        **common,
        loop="plain",
        precision="32-true",
        compiled=False,
        samples_per_s=_timed_passes(plain.run, plain_visitors, device),
    )
    for compiled in (False, True) if device == "cuda" else (False,):
        ours = OurLoop(journeys, catalogue)
        ours.module.config = replace(ours.module.config, compiled=compiled)
        speed, precision = _our_samples_per_s(ours.module, ours.data, device, visitors)
        yield FitSpeed(
            **common, loop="ours", precision=precision, compiled=compiled, samples_per_s=speed
        )


def _our_samples_per_s(
    module: pl.LightningModule, data: pl.LightningDataModule, device: str, samples: int
) -> tuple[float, str]:
    """Samples a second of Lightning's fit, and its precision."""
    clock = EpochClock()
    options: dict[str, Any] = {
        "max_epochs": WARM_EPOCHS + EPOCHS,
        "accelerator": device,
        "limit_val_batches": 0,
        "reload_dataloaders_every_n_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "gradient_clip_val": 1.0,
    }
    with quiet_lightning():
        trainer = pl.Trainer(**trainer_options(options), callbacks=[clock])
        trainer.fit(module, data)
    return samples / median(clock.seconds[WARM_EPOCHS:]), str(trainer.precision)


def _timed_passes(run: Callable[[], None], samples: int, device: str) -> float:
    seconds = []
    for _ in range(WARM_EPOCHS + 1):
        _wait(torch.device(device))
        started = time.perf_counter()
        run()
        _wait(torch.device(device))
        seconds.append(time.perf_counter() - started)
    return samples / seconds[-1]


def _propensity_net() -> PropensityNet:
    torch.manual_seed(0)
    return PropensityNet(PROPENSITY_SIZES, num_goals=1, config=NetworkConfig())


def _rows(num_rows: int) -> EncodedDataset:
    random = np.random.default_rng(0)
    bins, categories = PROPENSITY_SIZES.bins, PROPENSITY_SIZES.categories
    shape = (num_rows, len(bins))
    return EncodedDataset(
        position=(random.uniform(0, 1, shape) * bins).astype(np.float32),
        missing=np.zeros(shape, np.float32),
        category=random.integers(0, categories, (num_rows, len(categories))).astype(np.int32),
        multi=(),
        label=random.integers(0, 2, (num_rows, 1)).astype(np.float32),
        fold=random.integers(0, NetworkConfig().trunks, num_rows).astype(np.int32),
        teacher=np.zeros((num_rows, 0, 1), np.float32),
    )


def _plain_rows_per_s(dataset: EncodedDataset, rows: int, batch_size: int, device: str) -> float:
    net = _propensity_net().to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=FitConfig().learning_rate)
    columns = dataset.batch(slice(0, rows))
    tensors = (columns.position, columns.missing, columns.category, columns.label, columns.fold)
    loader = DataLoader(TensorDataset(*tensors), batch_size=batch_size, shuffle=True)

    def run() -> None:
        for batch in loader:
            position, missing, category, label, fold = (each.to(device) for each in batch)
            logits = net(position, missing, category)
            losses = trunk_losses(logits, label, fold, num_trunks=net.config.trunks)
            optimizer.zero_grad()
            torch.autograd.backward(losses.sum())
            optimizer.step()

    return _timed_passes(run, rows, device)


def _propensity_flops(dataset: EncodedDataset, rows: int) -> float:
    module = PropensityModule(_propensity_net(), FitConfig())
    with FlopCounterMode(display=False) as counted:
        torch.autograd.backward(module.training_step(dataset.batch(slice(0, rows)), 0))
    return float(counted.get_total_flops() / rows)


def _journeys(visitors: int) -> tuple[Journeys, Catalogue]:
    """Visitors with a full window each, of items as popular as items are."""
    random = np.random.default_rng(0)
    length = RECIPE.network.window
    total = visitors * length
    item = np.minimum(random.zipf(1.3, total), NUM_ITEMS) + FIRST_CODE - 1
    journeys = Journeys(
        visitor_id=np.arange(visitors),
        offsets=np.arange(0, total + 1, length),
        item=item.astype(np.int32),
        action=np.ones(total, np.uint8),
        channel=np.zeros(total, np.uint8),
        time_s=np.tile(np.arange(length), visitors),
        session=np.zeros(total, np.int32),
        actions=("view",),
        has_clock=False,
    )
    names = np.array([f"item {at}" for at in range(NUM_ITEMS)], object)
    return journeys, Catalogue(item_id=names, category=np.zeros(NUM_ITEMS, np.int32), categories=())


def _journey_flops(journeys: Journeys, catalogue: Catalogue) -> float:
    loop = OurLoop(journeys, catalogue)
    batch = next(iter(loop.data.train_dataloader()))
    with FlopCounterMode(display=False) as counted:
        torch.autograd.backward(loop.module.training_step(batch, 0))
    return float(counted.get_total_flops() / len(batch.item))


def main(device: str = "cpu", small: bool = False) -> None:
    """Measure both kinds on one device.

    Args:
        device: cpu or cuda.
        small: Sizes that take seconds on any machine, to see that it runs.
    """
    on_gpu = device == "cuda"
    rows = 2_048 if small else 1 << 18 if on_gpu else 1 << 14
    sizes = (512, 4_096, 16_384) if on_gpu and not small else (512,)
    visitors = 32 if small else 6_040 if on_gpu else 256
    plain = 16 if small else 1_024 if on_gpu else 128
    for found in softmax_checks(device):
        _say(found)
    for speed in propensity_speeds(device, num_rows=rows, batch_sizes=sizes):
        _say(asdict(speed))
    for speed in journey_speeds(device, visitors=visitors, plain_visitors=plain):
        _say(asdict(speed))


def _say(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main, as_positional=False)
