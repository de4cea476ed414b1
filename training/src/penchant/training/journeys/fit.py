"""The one way from journeys and a recipe to a fitted JourneyNet.

Letters: V visitors, B targets at a time, N item codes.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.warnings import PossibleUserWarning
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from torch.utils.data import DataLoader, Dataset

from penchant.training.fit import CHECKPOINTS, GRADIENT_CLIP, LAST_CHECKPOINT, quiet_lightning
from penchant.training.journeys.batches import (
    HistoryBatch,
    JourneyBatch,
    JourneyBatches,
    Windows,
    history_batch,
)
from penchant.training.journeys.catalogue import FIRST_CODE, Catalogue
from penchant.training.journeys.head_priors import set_head_priors
from penchant.training.journeys.item_text import item_text
from penchant.training.journeys.journey_module import MONITOR, JourneyModule, target_logits
from penchant.training.journeys.journey_net import JourneyNet, JourneySizes
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journey_split import JourneyParts, events_before
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import Scores
from penchant.training.journeys.targets import Places, Targets

VALIDATION_TARGETS: Final = (2_000, 10_000)
"""Least and most targets that decide when to stop; where the validation part has more, a sample."""
RANK_CELLS: Final = 8_000_000
"""Most scores held at once while validating."""
RANK_ROWS: Final = 256
"""Most histories scored at once."""


@dataclass(frozen=True, kw_only=True)
class FittedJourneys:
    """A fitted network, on the CPU, in evaluation mode."""

    net: JourneyNet
    """With its item vectors folded into one table."""
    epochs: int
    """Epochs trained before early stopping."""
    fit_s: float
    """Seconds spent in the training loop."""

    def scores(self, journeys: Journeys, visitor: Places, position: Places) -> Scores:
        """Item logits (B, N) after the first `position` (B,) events of visitors (B,).

        They are asked for the moment and the action of the event that came next.
        """
        config = self.net.config
        batches = JourneyBatches(
            journeys=journeys,
            stop=journeys.offsets[1:],
            window=config.window,
            profile=config.profile,
        )
        parts = [
            target_logits(self.net, history_batch(batches, some, repeats=True)).numpy()
            for some in Targets(visitor=visitor, position=position).chunks(RANK_ROWS)
        ]
        return np.concatenate(parts)


def fit_journeys(
    journeys: Journeys,
    catalogue: Catalogue,
    parts: JourneyParts,
    recipe: JourneyRecipe,
    folder: Path,
    *,
    resume: bool = False,
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
) -> FittedJourneys:
    """Fit the network of a recipe on the training part; stop by NDCG@10 on the validation part.

    Args:
        journeys: Events, coded with the catalogue.
        catalogue: Items that may be answered.
        parts: What is learnt from, and the targets that decide when to stop.
        recipe: What to fit and how.
        folder: Where checkpoints go; made if it is missing.
        resume: Go on from the last checkpoint in ``folder``, where there is one.
        logger: Where the losses of each epoch go; nowhere when None.
        callbacks: More Lightning callbacks, a progress bar for instance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pl.seed_everything(recipe.fit.seed, workers=True, verbose=False)
    batches = JourneyBatches(
        journeys=journeys,
        stop=journeys.offsets[:-1] + parts.train_until,
        window=recipe.network.window,
        profile=recipe.network.profile,
        purchase_actions=_purchase_codes(journeys, recipe),
    )
    net = new_net(journeys, catalogue, parts, recipe)
    set_head_priors(net, batches)
    module = JourneyModule(net, recipe.fit, action_weight=_action_weight(journeys, recipe))
    data = JourneyDataModule(batches, _stopping_targets(parts, recipe), recipe)
    started = time.perf_counter()
    epochs = _train(
        module, data, recipe, folder=folder, resume=resume, logger=logger, callbacks=callbacks
    )
    return FittedJourneys(
        net=module.averaged.cpu().folded(), epochs=epochs, fit_s=time.perf_counter() - started
    )


def new_net(
    journeys: Journeys, catalogue: Catalogue, parts: JourneyParts, recipe: JourneyRecipe
) -> JourneyNet:
    """An untrained network; items that are not learnt from go by their content alone."""
    text = item_text(catalogue)
    sizes = JourneySizes(
        num_item_codes=catalogue.num_codes,
        num_actions=len(journeys.actions),
        num_channels=len(journeys.channels),
        num_category_codes=catalogue.num_category_codes,
        text_size=0 if text is None else text.shape[1],
        has_clock=journeys.has_clock,
    )
    net = JourneyNet(
        sizes,
        recipe.network,
        category_of_code=torch.from_numpy(catalogue.category_of_code),
        text=None if text is None else torch.from_numpy(text),
    )
    met = np.zeros(catalogue.num_codes, np.float32)
    met[np.asarray(journeys.item)[events_before(journeys, parts.train_until)]] = 1.0
    net.items.known.copy_(torch.from_numpy(met[:, None]))
    return net


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
        self.validation = validation.take(np.argsort(validation.position, kind="stable"))

    def train_dataloader(self) -> DataLoader[JourneyBatch]:
        """The batches of this epoch; which and in what order depends on seed and epoch alone."""
        fit = self.recipe.fit
        epoch = self.trainer.current_epoch if self.trainer else 0
        rng = np.random.default_rng((fit.seed, epoch))
        windows, groups = self.batches.epoch(num_events=self._num_events(), rng=rng)
        return _loader(_TrainingBatches(self.batches, windows, self._share(groups)))

    def val_dataloader(self) -> DataLoader[HistoryBatch]:
        """Histories of like length together, newest events last."""
        codes = int(self.batches.journeys.item.max(initial=FIRST_CODE)) + 1
        size = max(1, min(RANK_ROWS, RANK_CELLS // codes))
        chunks = list(self.validation.chunks(size))
        batches = _HistoryBatches(self.batches, self._share(chunks), self.recipe.split.repeats)
        return _loader(batches)

    def _num_events(self) -> int:
        """Slots of a step: `batch_size` windows of the mean length."""
        total = self.batches.stop - self.batches.journeys.offsets[:-1]
        mean = np.minimum(total[total > 0], self.batches.window).mean()
        return max(1, int(self.recipe.fit.batch_size * mean))

    def _share(self, whole: list[Any]) -> list[Any]:
        """This process' share of the batches; all processes get as many."""
        if not self.trainer or self.trainer.world_size == 1:
            return whole
        size = self.trainer.world_size
        padded = whole + whole[: -len(whole) % size]
        return padded[self.trainer.global_rank :: size]


class _TrainingBatches(Dataset[JourneyBatch]):
    def __init__(self, batches: JourneyBatches, windows: Windows, groups: list[Places]) -> None:
        self.batches, self.windows, self.groups = batches, windows, groups

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, number: int) -> JourneyBatch:
        return self.batches.batch(self.windows.take(self.groups[number]))


class _HistoryBatches(Dataset[HistoryBatch]):
    def __init__(self, batches: JourneyBatches, chunks: list[Targets], repeats: bool) -> None:
        self.batches, self.chunks, self.repeats = batches, chunks, repeats

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, number: int) -> HistoryBatch:
        return history_batch(self.batches, self.chunks[number], repeats=self.repeats)


def _loader(dataset: Dataset[Any]) -> DataLoader[Any]:
    # A batch is a few indexing operations: sending it between processes would cost more.
    warnings.filterwarnings("ignore", r"The '\w+' does not have many workers", PossibleUserWarning)
    return DataLoader(dataset, batch_size=None, shuffle=False, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


def _stopping_targets(parts: JourneyParts, recipe: JourneyRecipe) -> Targets:
    """As many as take about as long as a pass over the training events: each has a window."""
    total = len(parts.validation)
    affordable = 2 * int(parts.train_until.sum()) // recipe.network.window
    most = int(np.clip(affordable, *VALIDATION_TARGETS))
    if total <= most:
        return parts.validation
    rng = np.random.default_rng(recipe.fit.seed)
    return parts.validation.take(np.sort(rng.choice(total, most, replace=False)))


def _purchase_codes(journeys: Journeys, recipe: JourneyRecipe) -> tuple[int, ...]:
    purchases = recipe.associations.purchase_actions
    return tuple(at for at, name in enumerate(journeys.actions, 1) if name in purchases)


def _action_weight(journeys: Journeys, recipe: JourneyRecipe) -> torch.Tensor:
    for name in recipe.fit.action_weights:
        if name not in journeys.actions:
            raise ValueError(
                f"fit.action_weights.{name}: expected one of the log's actions "
                f"({', '.join(journeys.actions)}); name one of them or leave it out"
            )
    weights = [recipe.fit.action_weights.get(name, 1.0) for name in journeys.actions]
    return torch.tensor([0.0, *weights])


def _train(
    module: JourneyModule,
    data: JourneyDataModule,
    recipe: JourneyRecipe,
    *,
    folder: Path,
    resume: bool,
    logger: Logger | None,
    callbacks: Sequence[Callback],
) -> int:
    """Train until early stopping; leave the best weights in the module; return the epochs."""
    checkpoint = ModelCheckpoint(
        dirpath=folder / CHECKPOINTS,
        filename="best",
        monitor=MONITOR,
        mode="max",
        save_last=True,
        enable_version_counter=False,
    )
    stopping = EarlyStopping(MONITOR, mode="max", patience=recipe.fit.patience)
    options: dict[str, Any] = {
        "max_epochs": recipe.fit.max_epochs,
        "gradient_clip_val": GRADIENT_CLIP,
        "num_sanity_val_steps": 0,
        "reload_dataloaders_every_n_epochs": 1,
        "logger": logger or False,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    last = folder / CHECKPOINTS / LAST_CHECKPOINT
    with quiet_lightning():
        trainer = pl.Trainer(
            **(options | recipe.trainer), callbacks=[checkpoint, stopping, *callbacks]
        )
        trainer.fit(module, data, ckpt_path=last if resume and last.exists() else None)
    best = torch.load(checkpoint.best_model_path, map_location="cpu", weights_only=True)
    module.load_state_dict(best["state_dict"])
    return trainer.current_epoch
