"""What mixed precision must leave alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def in_full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Switch mixed precision off, where it is on.

    Where it is off there is nothing to switch, so that an export meets no trace of it.
    """
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
