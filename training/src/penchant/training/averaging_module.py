"""AveragingModule: what the LightningModules of both kinds of model do alike."""

from __future__ import annotations

import copy
from typing import Any, Generic, Protocol, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn


class Compilable(Protocol):
    """What a recipe says of a fit of either kind."""

    @property
    def compiled(self) -> bool:
        """Whether the network is compiled for the GPU that it is fitted on."""


N = TypeVar("N", bound=nn.Module)
C = TypeVar("C", bound=Compilable)


class AveragingModule(pl.LightningModule, Generic[N, C]):
    """Trains `net`; `averaged` follows its weights (Polyak and Juditsky, 1992)."""

    def __init__(self, net: N, config: C, *, average_decay: float) -> None:
        """Take the net to train.

        Args:
            net: The net; its weights change in place.
            config: How it is fitted.
            average_decay: Share of the average that a step keeps, in [0, 1); 0 keeps no average.

        Raises:
            ValueError: If `average_decay` is out of range.
        """
        super().__init__()
        if not 0 <= average_decay < 1:
            raise ValueError(f"average_decay: expected a share in [0, 1), got {average_decay}")
        self.net, self.config = net, config
        self.averaged = copy.deepcopy(net).requires_grad_(False)
        """The net to validate and serve."""
        self.average_decay = average_decay
        self.losses: list[Tensor] = []
        """What each step of the epoch lost; a step adds its own."""

    def compile_net(self, **options: Any) -> None:
        """Compile the net's training step, where the recipe asks for it and there is a GPU.

        Args:
            options: Arguments of `torch.compile`.
        """
        if self.config.compiled and self.device.type == "cuda":
            self.net.compile(**options)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as Lightning does, which refuses a fused optimizer in mixed precision."""
        if gradient_clip_val and gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.net.parameters(), gradient_clip_val)
        elif gradient_clip_val:
            self.clip_norm(gradient_clip_val)

    def clip_norm(self, largest: float) -> None:
        """Scale the gradients to a norm of at most `largest`."""
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), largest)

    @torch.no_grad()
    def on_train_batch_end(self, *_: object) -> None:
        """Move the average a little to the new weights; early steps count for less."""
        step = self.global_step
        keep = min(self.average_decay, step / (step + 10.0))
        averaged: list[Tensor] = list(self.averaged.parameters())
        current: list[Tensor] = list(self.net.parameters())
        torch._foreach_lerp_(averaged, current, 1.0 - keep)

    def on_train_epoch_end(self) -> None:
        """Log `train/loss` once an epoch: logging every step would cost as much as a small step."""
        if self.losses:
            loss = torch.stack(self.losses).mean()
            self.log("train/loss", loss, sync_dist=True, batch_size=1)
        self.losses.clear()
