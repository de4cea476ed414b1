"""Where a fit runs: on which devices, in which precision, and what of its data lies there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy

BF16_CAPABILITY: Final = (8, 0)
"""Compute capability from which a card multiplies bfloat16 at full speed (Ampere)."""
DATA_SHARE: Final = 0.5
"""Most of a card's free memory that the data may take: weights, gradients and logits need more."""


def trainer_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's Trainer options, with what it leaves open.

    One device: a GPU where there is one, on which matrix products are in bfloat16 if the card has
    it. Several devices, where they are asked for, train in a process each, with what PyTorch calls
    DistributedDataParallel.

    Args:
        options: Arguments of Lightning's Trainer; they win.
    """
    # The data modules share rows among processes themselves.
    chosen: dict[str, Any] = {"devices": 1, "use_distributed_sampler": False} | dict(options)
    if "precision" not in chosen and _uses_cuda(chosen) and has_bf16():
        chosen["precision"] = "bf16-mixed"
    if _is_several(chosen) and chosen.get("strategy", "auto") in ("auto", "ddp"):
        # Buffers are constant, or a process' own sums, which the first must not overwrite.
        chosen["strategy"] = DDPStrategy(broadcast_buffers=False)
    return chosen


def has_bf16() -> bool:
    """Whether every card multiplies bfloat16 at full speed."""
    cards = range(torch.cuda.device_count())
    return all(torch.cuda.get_device_capability(card) >= BF16_CAPABILITY for card in cards)


def _uses_cuda(options: Mapping[str, Any]) -> bool:
    return options.get("accelerator", "auto") in ("auto", "gpu", "cuda") and (
        torch.cuda.is_available()
    )


def _is_several(options: Mapping[str, Any]) -> bool:
    """Whether more than one process is asked for."""
    devices = options["devices"]
    if isinstance(devices, str) and "," in devices:
        devices = devices.strip(",").split(",")
    if isinstance(devices, Sequence) and not isinstance(devices, str):
        count = len(devices)
    elif devices in ("auto", "-1", -1):
        count = torch.cuda.device_count() if _uses_cuda(options) else 1
    else:
        count = int(devices)
    return count > 1 or options.get("num_nodes", 1) > 1


def device_of(trainer: pl.Trainer | None) -> torch.device:
    """Device of this process; the CPU without a trainer."""
    return trainer.strategy.root_device if trainer else torch.device("cpu")


def share_of(trainer: pl.Trainer | None) -> tuple[int, int]:
    """This process' number, and how many train together."""
    return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)


def is_scaled(module: pl.LightningModule) -> bool:
    """Whether gradients are scaled, so that the optimizer's step must not be one kernel.

    A fused optimizer unscales them itself, and they would be clipped before.
    """
    return module.trainer.precision == "16-mixed"


def fits_on(device: torch.device, num_bytes: int) -> bool:
    """Whether data may lie on a GPU as a whole: it takes at most half of what is free there.

    False for any other device: its batches are gathered where the data are.
    """
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return num_bytes <= DATA_SHARE * (free + unused)
