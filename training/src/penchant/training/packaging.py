"""From a fitted model to the folder that serving takes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from penchant.clients.contract import UNKNOWN
from penchant.serving.decode import write_decode
from penchant.serving.golden import write_golden
from penchant.serving.holdout import HOLDOUT, HOLDOUT_ROWS, write_holdout
from penchant.serving.package import DECODE, ENCODE, GOLDEN, NET, ModelPackage
from penchant.training.fit import FittedPropensity
from penchant.training.net_export import export_net
from penchant.training.recipe import Recipe
from penchant.training.split import Rows
from penchant.training.table import Table
from penchant.training.tracking import code_revision

GOLDEN_ROWS: Final = 128
"""Most test rows kept with the answers PyTorch gave: parity check, warm-up and load-test data."""
REPORT: Final = "report"


def write_package(
    fitted: FittedPropensity,
    table: Table,
    test_rows: Rows,
    recipe: Recipe,
    folder: Path,
    *,
    metrics: Mapping[str, float],
) -> ModelPackage:
    """Write and seal a package.

    Args:
        fitted: The model.
        table: Where golden and held-out rows come from.
        test_rows: Row numbers that no part of the fit saw.
        recipe: What the model was fitted by.
        folder: The package's folder; a report that is there already is sealed with it.
        metrics: Test metrics by ``<goal>/<metric>``.

    Returns:
        The sealed package, every file checked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contract = fitted.features.contract(recipe)
    shutil.copyfile(fitted.encoder, folder / ENCODE)
    slots = {column.name: column.max_values for column in contract.multi_valued}
    export_net(fitted.served, folder / NET, multi_slots=slots)
    write_decode(folder / DECODE, contract)
    rows = some_rows(test_rows, GOLDEN_ROWS, seed=recipe.split.seed)
    write_golden(folder / GOLDEN, table.raw_inputs(rows), golden_answers(fitted, table, rows))
    held_out = some_rows(test_rows, HOLDOUT_ROWS, seed=recipe.split.seed)
    visitor = None if table.visitor is None else table.visitor[held_out]
    write_holdout(folder / HOLDOUT, table.raw_inputs(held_out), table.label[held_out], visitor)
    return ModelPackage.seal(
        folder,
        contract=contract,
        data_fingerprint=table.fingerprint,
        code_revision=code_revision(),
        metrics=metrics,
        calibration=calibration_parameters(fitted, recipe),
    )


def some_rows(test_rows: Rows, most: int, *, seed: int) -> Rows:
    """Up to `most` of the test rows, drawn at random, in the table's order."""
    count = min(most, len(test_rows))
    return np.sort(np.random.default_rng(seed).choice(test_rows, count, replace=False))


def golden_answers(
    fitted: FittedPropensity, table: Table, rows: Rows
) -> dict[str, npt.NDArray[Any]]:
    """What PyTorch says of rows, and how many of their categories are unknown."""
    session = onnxruntime.InferenceSession(fitted.encoder, providers=["CPUExecutionProvider"])
    (unknown,) = session.run([UNKNOWN], table.raw_inputs(rows))
    return {**fitted.answer(table, rows, explain=True), UNKNOWN: np.asarray(unknown)}


def calibration_parameters(fitted: FittedPropensity, recipe: Recipe) -> dict[str, Any]:
    """The fitted calibration by goal, as JSON values."""
    return {
        goal.name: asdict(fit)
        for goal, fit in zip(recipe.goals, fitted.served.calibration.goals, strict=True)
    }
