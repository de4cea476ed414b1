"""Histories as `JourneyNet.last` takes them, and what came after each of them.

Letters: B histories, L = P + W events of each, with W slots of the window and P of the profile.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penchant.training.journeys.batches import JourneyBatches, hours_of_week
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.targets import Places, Targets, met_items


class History(NamedTuple):
    """What is known when the model is asked."""

    item: Tensor
    """INT32 (B, L) item codes, newest last; L = P + W where W may be short of the window."""
    action: Tensor
    """INT32 (B, L) action codes; 0 is padding."""
    channel: Tensor
    """INT32 (B, L) channel codes."""
    age: Tensor
    """FP32 (B, L) seconds before the moment of the question; 0 where padded."""
    now_hour: Tensor
    """FP32 (B, 1) hour of the week of that moment; -1 without a clock."""


class HistoryBatch(NamedTuple):
    """Histories, each asked at the moment of the event that came next, and that event."""

    history: History
    """What came before."""
    target: Tensor
    """INT64 (B,) item code of the target."""
    target_action: Tensor
    """INT64 (B,) action code of the target."""
    met: tuple[Places, npt.NDArray[np.int32]]
    """Rows of the batch, and items that may not be answered there."""


def history_of(batches: JourneyBatches, targets: Targets, moment: Places) -> History:
    """Histories before B targets, as long as the longest of them needs.

    Args:
        batches: Window, profile and columns.
        targets: What to predict, of any part; a position may be one behind a visitor's last event.
        moment: (B,) rows of the events at whose times it is asked, none before the history's last.
    """
    columns, end = batches.journeys, targets.rows(batches.journeys)
    window = int(min(batches.window, max(1, targets.position.max(initial=1))))
    back = np.arange(batches.profile + window, 0, -1)
    there = targets.position[:, None] >= back
    row = np.where(there, end[:, None] - back, moment[:, None])
    age = (columns.time_s[moment][:, None] - columns.time_s[row]) * there
    return History(
        item=_tensor(columns.item[row] * there),
        action=_tensor(columns.action[row] * there),
        channel=_tensor(columns.channel[row] * there),
        age=torch.from_numpy(age.astype(np.float32)),
        now_hour=torch.from_numpy(_hour_of(columns, moment)[:, None]),
    )


def history_batch(batches: JourneyBatches, targets: Targets, *, repeats: bool) -> HistoryBatch:
    """Histories of B targets of any part, and the targets.

    Args:
        batches: Window, profile and columns.
        targets: What to predict.
        repeats: Whether items of the history may be answered.
    """
    columns, now = batches.journeys, targets.rows(batches.journeys)
    nothing = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return HistoryBatch(
        history=history_of(batches, targets, now),
        target=torch.from_numpy(columns.item[now].astype(np.int64)),
        target_action=torch.from_numpy(columns.action[now].astype(np.int64)),
        met=nothing if repeats else met_items(columns, targets),
    )


def _hour_of(journeys: Journeys, row: Places) -> npt.NDArray[np.float32]:
    """Hour of the week of some events, without a look at the others; -1 without a clock."""
    if not journeys.has_clock:
        return np.full(len(row), -1, np.float32)
    return hours_of_week(journeys.time_s[row], journeys.timezone)


def _tensor(values: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.int32))
