"""Room in tables for what a later training run knows more of.

An engine takes the weights of a retrained net only where all shapes are the same. So the tables of
an exported net have sizes of a fixed series, and rows that no code refers to.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

GROWTH_PERCENT = 5
"""How much larger each size of the series is than the one before, at least."""


def with_room(count: int, *, step: int) -> int:
    """Rows of a table for `count` codes: the first of the series `step`, … that holds them.

    Args:
        count: Codes that there are.
        step: All sizes are multiples of it, and differ by it at least.
    """
    size = step
    while size < count:
        larger = size * (100 + GROWTH_PERCENT) // 100
        size = max(size + step, -(-larger // step) * step)
    return size


def padded(table: Tensor, rows: int, *, axis: int = 0, value: float = 0.0) -> Tensor:
    """A table with further rows of one value, `rows` in all along an axis."""
    behind = [0, 0] * (table.dim() - 1 - axis) + [0, rows - table.shape[axis]]
    return functional.pad(table, behind, value=value)


def pad_weight(weight: Tensor, rows: int, *, value: float = 0.0) -> torch.nn.Parameter:
    """The same for a weight that is no longer learnt."""
    return torch.nn.Parameter(padded(weight.detach(), rows, value=value), requires_grad=False)
