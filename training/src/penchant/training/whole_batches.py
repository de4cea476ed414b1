"""The loader of both kinds of model, whose data sets give whole batches."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from lightning_fabric.utilities.warnings import PossibleUserWarning
from torch.utils.data import DataLoader, Dataset, Sampler


def whole_batches(
    dataset: Dataset[Any],
    device: torch.device,
    *,
    is_there: bool,
    sampler: Sampler[Any] | None = None,
) -> DataLoader[Any]:
    """A loader of whole batches, as the data set gives them.

    Args:
        dataset: What gives a batch for each of the sampler's indices.
        device: Where batches are wanted.
        is_there: Whether the data set gives them there.
        sampler: The indices, in order; those from 0 when None.
    """
    # A batch is a few indexing operations: sending it between processes would cost more.
    warnings.filterwarnings("ignore", r"The '\w+' does not have many workers", PossibleUserWarning)
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=sampler,
        collate_fn=_as_it_is,
        pin_memory=device.type == "cuda" and not is_there,
    )


def _as_it_is(batch: Any) -> Any:
    return batch
