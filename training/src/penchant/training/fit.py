"""The one way from a table and a recipe to a fitted, calibrated, explainable model.

Letters: N rows asked for, G goals, F features.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from torch import Tensor

from penchant.training.calibration import fit_calibration
from penchant.training.cpu_threads import at_most_threads
from penchant.training.cross_fit import Roles, assign_roles
from penchant.training.dataset import (
    ENCODE_ROWS,
    EncodedDataset,
    PropensityDataModule,
    encode_part,
)
from penchant.training.encoder import compile_encoder
from penchant.training.features import Features, fit_features
from penchant.training.propensity_module import PropensityModule
from penchant.training.propensity_net import Batch, PropensityNet, held_out_members
from penchant.training.recipe import Recipe
from penchant.training.served_propensity import ServedPropensity, mean_embedding
from penchant.training.split import Parts, Rows
from penchant.training.table import Table
from penchant.training.teacher import soft_labels
from penchant.training.train_to_best import train_to_best

MONITOR: Final = "validation/logloss"
ENCODER_FILE: Final = "encode.onnx"
UNITS_A_THREAD: Final = 500_000
"""Hidden units of a step that keep a thread busy on a CPU; with fewer it waits more than it works.
"""
EXPLAIN_ROWS: Final = 512
"""Rows explained at once: each row is scored again for 2F coalitions of features."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FittedPropensity:
    """A fitted model with the feature graph that encodes its rows."""

    features: Features
    encoder: Path
    """The feature graph, ``encode.onnx``."""
    served: ServedPropensity
    """The network with its calibration and reasons, on the CPU, in evaluation mode."""
    epochs: int
    """Epochs trained before early stopping."""
    fit_s: float
    """Seconds spent in the training loop."""

    def predict(self, table: Table, rows: Rows) -> Floats:
        """Calibrated propensities (N, G) of rows of the table."""
        return self.answer(table, rows, explain=False)["propensity"]

    def explain(self, table: Table, rows: Rows) -> tuple[Floats, Floats]:
        """Base (N, G) and reasons (N, G, F) in logit space; they sum to the score's logit."""
        answer = self.answer(table, rows, explain=True)
        return answer["base"], answer["reason"]

    def answer(self, table: Table, rows: Rows, *, explain: bool) -> dict[str, Floats]:
        """``propensity`` of rows in PyTorch, with ``explain`` also ``reason`` and ``base``."""
        encoded = encode_part(self.encoder, table, rows, None)
        with torch.inference_mode():
            chunks = [
                self._answer_chunk(encoded, index, explain=explain)
                for index in np.array_split(np.arange(len(rows)), -(-len(rows) // EXPLAIN_ROWS))
            ]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def _answer_chunk(
        self, encoded: EncodedDataset, index: Rows, *, explain: bool
    ) -> dict[str, Floats]:
        batch = encoded.batch(index)
        inputs = (batch.position, batch.missing, batch.category, batch.multi)
        if not explain:
            return {"propensity": self.served.propensity(*inputs).numpy()}
        propensity, reason, base = self.served(*inputs)
        return {"propensity": propensity.numpy(), "reason": reason.numpy(), "base": base.numpy()}


def fit_propensity(
    table: Table,
    parts: Parts,
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
) -> FittedPropensity:
    """Fit features and network, stop and calibrate on rows that the scoring weights never saw.

    With two or more trunks the fit is cross-fitted: every row outside the test part is learnt from
    by all trunks but one, and it is that one's scores which decide when to stop and which
    calibrate. With one trunk, or by time where nothing says whose rows they are, the training part
    is learnt from, the validation part decides when to stop and the calibration part calibrates.

    Args:
        table: What the recipe read.
        parts: Row numbers for training, early stopping, calibration and test.
        recipe: What to fit and how.
        folder: Where encoded columns, checkpoints and ``encode.onnx`` go; made if it is missing.
        resume: Go on from the last checkpoint in ``folder``, where there is one.
        logger: Where the losses of each epoch go; nowhere when None.
        callbacks: More Lightning callbacks, a progress bar for instance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pl.seed_everything(recipe.fit.seed, workers=True, verbose=False)
    roles = assign_roles(table, parts, trunks=recipe.network.trunks)
    features = fit_features(table, roles.train.rows, recipe.features)
    encoder = folder / ENCODER_FILE
    compile_encoder(features, encoder)
    data = _data_module(table, roles, recipe, folder=folder)
    net = PropensityNet(features.sizes, num_goals=len(recipe.goals), config=recipe.network)
    started = time.perf_counter()
    module = PropensityModule(net, recipe.fit)
    with at_most_threads(_units(recipe) // UNITS_A_THREAD):
        epochs = train_to_best(
            module,
            data,
            monitor=MONITOR,
            mode="min",
            patience=recipe.fit.patience,
            options={"max_epochs": recipe.fit.max_epochs} | recipe.trainer,
            folder=folder,
            resume=resume,
            logger=logger,
            callbacks=callbacks,
        )
    net = module.averaged.cpu().eval()
    fit_s = time.perf_counter() - started
    served = calibrated(net, data.train, _calibration(table, roles, data.train, encoder=encoder))
    return FittedPropensity(
        features=features,
        encoder=encoder,
        served=served,
        epochs=epochs,
        fit_s=fit_s,
    )


def calibrated(
    net: PropensityNet, train: EncodedDataset, calibration: EncodedDataset
) -> ServedPropensity:
    """Fold into the net a calibration, and the average visitor whom reasons compare with.

    Args:
        net: The trained net, on the CPU.
        train: Rows that were learnt from.
        calibration: Rows that none of the trunks learnt from, or that one trunk, their fold, did
            not learn from.
    """
    chunks = list(_chunks(calibration))
    with torch.inference_mode():
        logits = torch.cat([_held_out_logits(net, batch) for batch in chunks])
    return ServedPropensity(
        net,
        calibration=fit_calibration(logits, torch.cat([batch.label for batch in chunks])),
        reference=mean_embedding(net, _chunks(train)),
    )


def _units(recipe: Recipe) -> int:
    """Hidden units that a step computes, of all members and rows."""
    network = recipe.network
    return recipe.fit.batch_size * network.trunks * network.members * network.width


def _held_out_logits(net: PropensityNet, batch: Batch) -> Tensor:
    logits = net(batch.position, batch.missing, batch.category, batch.multi)
    return held_out_members(logits, batch.fold, num_trunks=net.config.trunks)


def _chunks(dataset: EncodedDataset) -> Iterator[Batch]:
    for start in range(0, len(dataset), ENCODE_ROWS):
        yield dataset.batch(slice(start, start + ENCODE_ROWS))


def _data_module(
    table: Table, roles: Roles, recipe: Recipe, *, folder: Path
) -> PropensityDataModule:
    encoder = folder / ENCODER_FILE
    train, validation = roles.train, roles.validation
    encoded = encode_part(encoder, table, train.rows, folder / "train", fold=train.fold)
    trunks = recipe.network.trunks
    if recipe.fit.distillation and validation is train and trunks > 2:
        answers = soft_labels(table, train, trunks=trunks, seed=recipe.fit.seed)
        encoded = replace(encoded, teacher=answers)
    return PropensityDataModule(
        encoded,
        encoded
        if validation is train
        else encode_part(
            encoder, table, validation.rows, folder / "validation", fold=validation.fold
        ),
        batch_size=recipe.fit.batch_size,
        seed=recipe.fit.seed,
    )


def _calibration(
    table: Table, roles: Roles, train: EncodedDataset, *, encoder: Path
) -> EncodedDataset:
    if roles.calibration is roles.train:
        return train
    return encode_part(encoder, table, roles.calibration.rows, None, fold=roles.calibration.fold)
