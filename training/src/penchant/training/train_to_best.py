"""The one training loop: until a validation metric stops getting better, then back to its best."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import Logger

from penchant.training.device import trainer_options

GRADIENT_CLIP: Final = 1.0
"""Largest norm of a step's gradient; `trainer.gradient_clip_val` in the recipe overrides it."""
CHECKPOINTS: Final = "checkpoints"
LAST_CHECKPOINT: Final = "last.ckpt"


def train_to_best(
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    *,
    monitor: str,
    mode: Literal["min", "max"],
    patience: int,
    options: Mapping[str, Any],
    folder: Path,
    resume: bool,
    logger: Logger | None,
    callbacks: Sequence[Callback],
) -> int:
    """Train until early stopping, leave the best weights in the module, return the epochs.

    Args:
        module: What is trained.
        data: What it learns from.
        monitor: Metric that decides when to stop.
        mode: Whether less of it is better, or more.
        patience: Passes without a better one after which the fit stops.
        options: Arguments of Lightning's Trainer; they win over those that are set here, and
            `trainer_options` adds device and precision.
        folder: Where checkpoints go.
        resume: Go on from the last checkpoint in ``folder``, where there is one.
        logger: Where the metrics of each epoch go; nowhere when None.
        callbacks: More Lightning callbacks.
    """
    checkpoint = ModelCheckpoint(
        dirpath=folder / CHECKPOINTS,
        filename="best",
        monitor=monitor,
        mode=mode,
        save_last=True,
        enable_version_counter=False,
    )
    stopping = EarlyStopping(monitor, mode=mode, patience=patience)
    defaults: dict[str, Any] = {
        "gradient_clip_val": GRADIENT_CLIP,
        "num_sanity_val_steps": 0,
        "logger": logger or False,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    last = folder / CHECKPOINTS / LAST_CHECKPOINT
    with quiet_lightning():
        trainer = pl.Trainer(
            **(defaults | trainer_options(options)), callbacks=[checkpoint, stopping, *callbacks]
        )
        trainer.fit(module, data, ckpt_path=last if resume and last.exists() else None)
    best = torch.load(checkpoint.best_model_path, map_location="cpu", weights_only=True)
    module.load_state_dict(best["state_dict"])
    return trainer.current_epoch


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's announcements (devices, tips) and its own deprecations off the terminal."""
    logger = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # A resumed run finds its own checkpoints there; any other run begins in a new folder.
        warnings.filterwarnings("ignore", r"Checkpoint directory .* exists and is not empty")
        # Lightning 2.6 walks batches with a class that torch 2.13 is about to drop.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        try:
            yield
        finally:
            logger.setLevel(level)
