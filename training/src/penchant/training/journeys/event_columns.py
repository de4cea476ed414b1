"""EventColumns: the events of all journeys as tensors, on the device where batches are gathered.

Letters: E events, B windows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor

from penchant.training.journeys.targets import Places


class EventColumns(NamedTuple):
    """All E events, by column, on one device: a batch is gathered there by row."""

    item: Tensor
    """INT32 (E,) item codes."""
    action: Tensor
    """UINT8 (E,) action codes."""
    channel: Tensor
    """UINT8 (E,) channel codes."""
    time_s: Tensor
    """INT64 (E,) seconds since 1970 UTC."""
    hour: Tensor
    """FP32 (E,) hour of the week; -1 without a clock."""
    opens_visit: Tensor
    """BOOL (E,) whether the event begins a session."""
    purchase_follows: Tensor
    """FP32 (E,) whether a purchase follows in its session; NaN unknown."""

    @classmethod
    def of(cls, **columns: npt.NDArray[Any]) -> EventColumns:
        """Arrays as tensors that share their memory, which may be a file's."""
        with warnings.catch_warnings():
            # Nobody writes into the columns, so that it does no harm if nobody may.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return cls(**{name: torch.from_numpy(column) for name, column in columns.items()})

    @property
    def num_bytes(self) -> int:
        """Memory that all columns take."""
        return sum(column.nbytes for column in self)

    def on(self, device: torch.device) -> EventColumns:
        """The columns on a device."""
        return EventColumns(*(column.to(device) for column in self))

    def places(self, *rows: Places) -> Iterator[Tensor]:
        """Rows (B,) as INT64 (B, 1), on the columns' device."""
        for each in rows:
            place = torch.from_numpy(each).to(self.item.device, non_blocking=True)
            yield place.unsqueeze(1)


def at(column: Tensor, row: Tensor) -> Tensor:
    """Values of a column (E,) at rows of any shape; on a CPU thrice as fast as indexing."""
    return column.index_select(0, row.flatten()).view_as(row)
