"""Batches of the training events, cut anew each epoch, and histories to validate with."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
import pytorch_lightning as pl
from lightning_fabric.utilities.warnings import PossibleUserWarning
from torch.utils.data import DataLoader, Dataset

from penchant.training.journeys.batches import (
    JourneyBatch,
    JourneyBatches,
    Windows,
)
from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.history_batch import HistoryBatch, history_batch
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.targets import Places, Targets

RANK_CELLS: Final = 8_000_000
"""Most scores held at once while validating."""
RANK_ROWS: Final = 256
"""Most histories scored at once."""


class JourneyDataModule(pl.LightningDataModule):
    """Batches of the training events, cut anew each epoch, and histories to validate with."""

    def __init__(self, batches: JourneyBatches, validation: Targets, recipe: JourneyRecipe) -> None:
        """Take what is to be batched.

        Args:
            batches: The training events.
            validation: Targets that decide when to stop.
            recipe: Size of a step, seed and whether repeats may be answered.
        """
        super().__init__()
        self.batches, self.recipe = batches, recipe
        self.validation = validation.take(np.argsort(validation.position, kind="stable"))

    def train_dataloader(self) -> DataLoader[JourneyBatch]:
        """The batches of this epoch; which and in what order depends on seed and epoch alone."""
        fit = self.recipe.fit
        epoch = self.trainer.current_epoch if self.trainer else 0
        rng = np.random.default_rng((fit.seed, epoch))
        windows, groups = self.batches.epoch(num_events=self._num_events(), rng=rng)
        return _loader(_TrainingBatches(self.batches, windows, self._share(groups)))

    def val_dataloader(self) -> DataLoader[HistoryBatch]:
        """Histories of like length together, newest events last."""
        codes = int(self.batches.journeys.item.max(initial=FIRST_CODE)) + 1
        size = max(1, min(RANK_ROWS, RANK_CELLS // codes))
        chunks = list(self.validation.chunks(size))
        batches = _HistoryBatches(self.batches, self._share(chunks), self.recipe.split.repeats)
        return _loader(batches)

    def _num_events(self) -> int:
        """Slots of a step: `batch_size` windows of the mean length."""
        total = self.batches.stop - self.batches.journeys.offsets[:-1]
        mean = np.minimum(total[total > 0], self.batches.window).mean()
        return max(1, int(self.recipe.fit.batch_size * mean))

    def _share(self, whole: list[Any]) -> list[Any]:
        """This process' share of the batches; all processes get as many."""
        if not self.trainer or self.trainer.world_size == 1:
            return whole
        size = self.trainer.world_size
        padded = whole + whole[: -len(whole) % size]
        return padded[self.trainer.global_rank :: size]


class _TrainingBatches(Dataset[JourneyBatch]):
    def __init__(self, batches: JourneyBatches, windows: Windows, groups: list[Places]) -> None:
        self.batches, self.windows, self.groups = batches, windows, groups

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, number: int) -> JourneyBatch:
        return self.batches.batch(self.windows.take(self.groups[number]))


class _HistoryBatches(Dataset[HistoryBatch]):
    def __init__(self, batches: JourneyBatches, chunks: list[Targets], repeats: bool) -> None:
        self.batches, self.chunks, self.repeats = batches, chunks, repeats

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, number: int) -> HistoryBatch:
        return history_batch(self.batches, self.chunks[number], repeats=self.repeats)


def _loader(dataset: Dataset[Any]) -> DataLoader[Any]:
    # A batch is a few indexing operations: sending it between processes would cost more.
    warnings.filterwarnings("ignore", r"The '\w+' does not have many workers", PossibleUserWarning)
    return DataLoader(dataset, batch_size=None, shuffle=False, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch
