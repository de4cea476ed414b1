"""After the fit: passes over the validation part too, so that what is served knows newest events.

What decides when to stop cannot be learnt from before that, and it is the newest that a model could
know: this season's items above all. Baselines count everything before the test part; so does, after
this, the network. Nothing of the test part is seen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from penchant.training.device import trainer_options
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.fit import (
    FittedJourneys,
    action_weight,
    new_net,
    training_batches,
)
from penchant.training.journeys.journey_data_module import JourneyDataModule
from penchant.training.journeys.journey_module import JourneyModule
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journey_split import JourneyParts
from penchant.training.journeys.journeys import Journeys
from penchant.training.train_to_best import CHECKPOINTS, GRADIENT_CLIP, quiet_lightning

BEST_CHECKPOINT: Final = "best.ckpt"
STEP_SHARE: Final = 0.5
"""Step size as a share of the recipe's: what was learnt is to be kept."""


def refresh_journeys(
    fitted: FittedJourneys,
    journeys: Journeys,
    catalogue: Catalogue,
    parts: JourneyParts,
    recipe: JourneyRecipe,
    folder: Path,
    *,
    callbacks: Sequence[Callback] = (),
) -> FittedJourneys:
    """Go on with the best network over all events before the test part.

    Args:
        fitted: What `fit_journeys` gave; it is returned unchanged with `fit.refresh_epochs` 0.
        journeys: Events, coded with the catalogue.
        catalogue: Items that may be answered.
        parts: What comes before the test part.
        recipe: What was fitted.
        folder: Where the fit left its checkpoints.
        callbacks: More Lightning callbacks.
    """
    if not recipe.fit.refresh_epochs:
        return fitted
    started = time.perf_counter()
    pl.seed_everything(recipe.fit.seed, workers=True, verbose=False)
    gentle = replace(recipe.fit, learning_rate=STEP_SHARE * recipe.fit.learning_rate)
    later = replace(parts, train_until=parts.test_from)
    best = _best_weights(folder)
    net = new_net(journeys, catalogue, later, recipe)
    known = net.items.known.clone()
    net.load_state_dict(best)
    net.items.known.copy_(known)
    module = JourneyModule(net, gentle, action_weight=action_weight(journeys, recipe))
    data = JourneyDataModule(training_batches(journeys, later, recipe), parts.validation, recipe)
    options: dict[str, Any] = {
        "gradient_clip_val": GRADIENT_CLIP,
        "reload_dataloaders_every_n_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    # On one device: processes that a fit on several has started end with it.
    one = {"devices": 1, "strategy": "auto", "num_nodes": 1}
    options |= trainer_options(recipe.trainer | one)
    options |= {"max_epochs": recipe.fit.refresh_epochs, "limit_val_batches": 0}
    with quiet_lightning():
        pl.Trainer(**options, callbacks=list(callbacks)).fit(module, data)
    return FittedJourneys(
        net=module.averaged.cpu().folded(),
        epochs=fitted.epochs,
        fit_s=fitted.fit_s + time.perf_counter() - started,
    )


def _best_weights(folder: Path) -> dict[str, Tensor]:
    """The averaged network of the best checkpoint."""
    path = folder / CHECKPOINTS / BEST_CHECKPOINT
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "averaged."
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
