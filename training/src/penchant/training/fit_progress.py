"""Progress of a fit on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class FitProgress(Callback):
    """One line that shows the epoch and the best validation result so far; use it as a context."""

    def __init__(
        self,
        console: Console,
        *,
        title: str,
        monitor: str,
        label: str = "logloss",
        better: Callable[[float, float], float] = min,
    ) -> None:
        """Draw nothing yet.

        Args:
            console: Where the line is drawn.
            title: What is being fitted.
            monitor: Name of the logged number that early stopping watches.
            label: What readers call that number.
            better: min or max: which of two numbers is the better one.
        """
        self._monitor, self._label, self._better = monitor, label, better
        self._best: float | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("epoch"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task(title, total=None, loss="")

    def __enter__(self) -> FitProgress:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Draw the last state and stop."""
        self._progress.stop()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show how many epochs there may be, and how many are done where the fit was resumed."""
        self._progress.update(self._task, total=trainer.max_epochs, completed=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch just finished, validation included, and the best number."""
        now = float(trainer.callback_metrics[self._monitor])
        self._best = now if self._best is None else self._better(self._best, now)
        self._progress.update(
            self._task,
            completed=trainer.current_epoch + 1,
            loss=f"best validation {self._label} {self._best:.4f}",
        )
