"""Batches of the training events, cut anew each epoch, and histories to validate with."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset

from penchant.training.device import device_of, fits_on, share_of
from penchant.training.journeys.batches import (
    JourneyBatch,
    JourneyBatches,
    Windows,
)
from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.event_columns import EventColumns
from penchant.training.journeys.history_batch import HistoryBatch, history_batch
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.targets import Places, Targets
from penchant.training.whole_batches import whole_batches

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
        self._placed: EventColumns | None = None
        self.validation = validation.take(np.argsort(validation.position, kind="stable"))

    def train_dataloader(self) -> DataLoader[JourneyBatch]:
        """The batches of this epoch; which and in what order depends on seed and epoch alone."""
        fit = self.recipe.fit
        epoch = self.trainer.current_epoch if self.trainer else 0
        rng = np.random.default_rng((fit.seed, epoch))
        rank, size = share_of(self.trainer)
        # Each process takes every size-th window of a batch: all get as many, of like length.
        windows, groups = self.batches.epoch(
            num_events=size * self._num_events(), rng=rng, least=size
        )
        if len(windows) < size:
            raise ValueError(
                f"trainer.devices: expected at most {len(windows)}, as many as there are journeys "
                f"to learn from, got {size}; ask for fewer"
            )
        own = [group[rank::size] for group in groups]
        columns = self._columns()
        dataset = _TrainingBatches(self.batches, columns, windows, own)
        return whole_batches(dataset, device_of(self.trainer), is_there=columns.item.is_cuda)

    def val_dataloader(self) -> DataLoader[HistoryBatch]:
        """Histories of like length together, newest events last."""
        codes = int(self.batches.journeys.item.max(initial=FIRST_CODE)) + 1
        rows = max(1, min(RANK_ROWS, RANK_CELLS // codes))
        rank, size = share_of(self.trainer)
        chunks = [
            chunk.take(slice(rank, None, size)) for chunk in self.validation.chunks(rows * size)
        ]
        dataset = _HistoryBatches(self.batches, chunks, self.recipe.split.repeats)
        return whole_batches(dataset, device_of(self.trainer), is_there=False)

    def _num_events(self) -> int:
        """Slots of a step: `batch_size` windows of the mean length."""
        total = self.batches.stop - self.batches.journeys.offsets[:-1]
        mean = np.minimum(total[total > 0], self.batches.window).mean()
        return max(1, int(self.recipe.fit.batch_size * mean))

    def _columns(self) -> EventColumns:
        """The events on the GPU, where they fit there; else where they are."""
        columns, device = self.batches.columns, device_of(self.trainer)
        if self._placed is None and fits_on(device, columns.num_bytes):
            self._placed = columns.on(device)
        return columns if self._placed is None else self._placed


class _TrainingBatches(Dataset[JourneyBatch]):
    def __init__(
        self, batches: JourneyBatches, columns: EventColumns, windows: Windows, groups: list[Places]
    ) -> None:
        self.batches, self.columns, self.windows, self.groups = batches, columns, windows, groups

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, number: int) -> JourneyBatch:
        return self.batches.batch(self.windows.take(self.groups[number]), self.columns)


class _HistoryBatches(Dataset[HistoryBatch]):
    def __init__(self, batches: JourneyBatches, chunks: list[Targets], repeats: bool) -> None:
        self.batches, self.chunks, self.repeats = batches, chunks, repeats

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, number: int) -> HistoryBatch:
        return history_batch(self.batches, self.chunks[number], repeats=self.repeats)
