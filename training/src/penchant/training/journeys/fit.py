"""The one way from journeys and a recipe to a fitted JourneyNet.

Letters: V visitors, B targets at a time, N item codes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from penchant.training.journeys.batches import JourneyBatches
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.head_priors import set_head_priors
from penchant.training.journeys.history_batch import history_batch
from penchant.training.journeys.item_text import item_text
from penchant.training.journeys.journey_data_module import RANK_ROWS, JourneyDataModule
from penchant.training.journeys.journey_module import MONITOR, JourneyModule, target_logits
from penchant.training.journeys.journey_net import ItemContent, JourneyNet, JourneySizes
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journey_split import JourneyParts, events_before
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import Scores
from penchant.training.journeys.targets import Places, Targets, sample_of
from penchant.training.train_to_best import train_to_best

VALIDATION_TARGETS: Final = (2_000, 10_000)
"""Least and most targets that decide when to stop; where the validation part has more, a sample."""


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

    Raises:
        ValueError: The recipe names an action that the log does not have.
    """
    recipe.check_actions(journeys.actions)
    folder.mkdir(parents=True, exist_ok=True)
    pl.seed_everything(recipe.fit.seed, workers=True, verbose=False)
    batches = training_batches(journeys, parts, recipe)
    net = new_net(journeys, catalogue, parts, recipe)
    set_head_priors(net, batches, catalogue.category_of_code)
    module = JourneyModule(net, recipe.fit, action_weight=action_weight(journeys, recipe))
    data = JourneyDataModule(batches, _stopping_targets(parts, recipe), recipe)
    started = time.perf_counter()
    epochs = train_to_best(
        module,
        data,
        monitor=MONITOR,
        mode="max",
        patience=recipe.fit.patience,
        options={"max_epochs": recipe.fit.max_epochs, "reload_dataloaders_every_n_epochs": 1}
        | recipe.trainer,
        folder=folder,
        resume=resume,
        logger=logger,
        callbacks=callbacks,
    )
    return FittedJourneys(
        net=module.averaged.cpu().folded(), epochs=epochs, fit_s=time.perf_counter() - started
    )


def untrained_journeys(
    journeys: Journeys, catalogue: Catalogue, parts: JourneyParts, recipe: JourneyRecipe
) -> FittedJourneys:
    """A network for where a statistic answers alone: it was shown nothing.

    Its heads say of every visitor what is true of all events before the test part.
    """
    pl.seed_everything(recipe.fit.seed, workers=True, verbose=False)
    earlier = replace(parts, train_until=parts.test_from)
    net = new_net(journeys, catalogue, earlier, recipe)
    batches = training_batches(journeys, earlier, recipe)
    set_head_priors(net, batches, catalogue.category_of_code)
    return FittedJourneys(net=net.folded(), epochs=0, fit_s=0.0)


def training_batches(
    journeys: Journeys, parts: JourneyParts, recipe: JourneyRecipe
) -> JourneyBatches:
    """What cuts batches out of the events that are learnt from."""
    return JourneyBatches(
        journeys=journeys,
        stop=journeys.offsets[:-1] + parts.train_until,
        window=recipe.network.window,
        profile=recipe.network.profile,
        purchase_actions=recipe.purchase_codes(journeys.actions),
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
        num_brand_codes=catalogue.num_brand_codes,
        num_price_codes=catalogue.num_price_codes,
        text_size=0 if text is None else text.shape[1],
        has_clock=journeys.has_clock,
        has_purchases=bool(recipe.purchase_codes(journeys.actions)),
    )
    content = {
        "category": catalogue.category_of_code,
        "brand": catalogue.brand_of_code,
        "price": catalogue.price_of_code,
        "text": text,
    }
    known = {name: None if of is None else torch.from_numpy(of) for name, of in content.items()}
    net = JourneyNet(sizes, recipe.network, ItemContent(**known))
    met = np.zeros(catalogue.num_codes, np.float32)
    met[np.asarray(journeys.item)[events_before(journeys, parts.train_until)]] = 1.0
    net.items.known.copy_(torch.from_numpy(met[:, None]))
    return net


def _stopping_targets(parts: JourneyParts, recipe: JourneyRecipe) -> Targets:
    """As many as take about as long as a pass over the training events: each has a window."""
    affordable = 2 * int(parts.train_until.sum()) // recipe.network.window
    most = int(np.clip(affordable, *VALIDATION_TARGETS))
    return sample_of(parts.validation, most, seed=recipe.fit.seed)


def action_weight(journeys: Journeys, recipe: JourneyRecipe) -> torch.Tensor:
    """(actions + 1,) weight in the loss by action code of the target."""
    weights = [recipe.fit.action_weights.get(name, 1.0) for name in journeys.actions]
    return torch.tensor([0.0, *weights])
