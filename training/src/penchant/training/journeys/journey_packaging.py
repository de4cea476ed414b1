"""Writes a fitted journey model as the package that serving takes.

Letters: B rows, K items answered, I intents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from penchant.clients.contract import UNKNOWN
from penchant.clients.journey_contract import INTENT, NEXT_ITEM, SCORE, JourneyContract
from penchant.serving.golden import write_golden
from penchant.serving.holdout import HOLDOUT, HOLDOUT_ROWS, write_holdout
from penchant.serving.journey_decode import write_journey_decode
from penchant.serving.package import DECODE, ENCODE, GOLDEN, NET, ModelPackage
from penchant.training.journeys.catalogue import FIRST_CODE, Catalogue
from penchant.training.journeys.journey_encoder import (
    ACTION_CODE,
    AGE,
    ALLOW_CODE,
    CHANNEL_CODE,
    EXCLUDE_CODE,
    ITEM_CODE,
    NOW_HOUR,
    TARGET_CODE,
    compile_journey_encoder,
)
from penchant.training.journeys.journey_export import export_journey_net
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.raw_histories import (
    Tensors,
    raw_histories,
    raw_ids,
    vary_requests,
)
from penchant.training.journeys.served_journey import (
    INTENT_CODE,
    TOP_CODE,
    TOP_SCORE,
    ServedJourney,
)
from penchant.training.journeys.targets import Targets, sample_of
from penchant.training.tracking import code_revision

GOLDEN_ROWS: Final = 128
"""Most histories kept with the answers PyTorch gave."""
MOST_INTENTS: Final = 5
FINGERPRINT_CHUNK: Final = 1 << 24


def journey_contract(
    recipe: JourneyRecipe, journeys: Journeys, catalogue: Catalogue
) -> JourneyContract:
    """The wire contract of a recipe's model.

    Raises:
        ValueError: the recipe names an action that the log does not have.
    """
    recipe.check_actions(journeys.actions)
    has_categories = bool(catalogue.categories)
    return JourneyContract(
        model=recipe.name,
        actions=journeys.actions,
        item_dtype="INT64" if catalogue.has_integer_ids else "BYTES",
        channels=journeys.channels,
        default_action=recipe.target_action or "",
        length=recipe.network.length,
        num_items=min(recipe.budget.num_items, len(catalogue.item_id)),
        num_intents=min(MOST_INTENTS, len(catalogue.categories)) if has_categories else 0,
        max_exclude=recipe.budget.max_exclude,
        max_allow=recipe.budget.max_allow,
        embedding_size=recipe.network.width,
        has_hours=journeys.has_clock,
        has_purchase=bool(recipe.purchase_codes(journeys.actions)),
        timezone=journeys.timezone,
        max_batch_size=recipe.budget.max_batch_size,
        latency_budget_ms=recipe.budget.latency_p99_ms,
    )


def write_journey_package(
    served: ServedJourney,
    journeys: Journeys,
    catalogue: Catalogue,
    test: Targets,
    recipe: JourneyRecipe,
    folder: Path,
    *,
    metrics: Mapping[str, float],
    blend: Mapping[str, Any],
) -> ModelPackage:
    """Write and seal a package.

    Args:
        served: The model.
        journeys: Where golden histories come from.
        catalogue: What item codes mean.
        test: Targets that no part of the fit saw; some of them become held-out rows.
        recipe: What the model was fitted by.
        folder: The package's folder; a report that is there already is sealed with it.
        metrics: Test metrics by ``<slice>/<metric>``.
        blend: What statistics count beside the network, as JSON values.

    Returns:
        The sealed package, every file checked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contract = journey_contract(recipe, journeys, catalogue)
    compile_journey_encoder(catalogue, contract, folder / ENCODE)
    export_journey_net(served, folder / NET, contract)
    write_journey_decode(
        folder / DECODE, contract, item_id=catalogue.item_id, categories=catalogue.categories
    )
    some = golden_targets(test, seed=recipe.fit.seed)
    inputs = raw_histories(journeys, catalogue, some, contract)
    inputs = vary_requests(inputs, contract, catalogue)
    answers = journey_answers(served, inputs, catalogue, folder / ENCODE)
    write_golden(folder / GOLDEN, inputs, answers)
    held_out = sample_of(test, HOLDOUT_ROWS, seed=recipe.fit.seed)
    write_holdout(
        folder / HOLDOUT,
        raw_histories(journeys, catalogue, held_out, contract),
        raw_ids(np.asarray(journeys.item[held_out.rows(journeys)], np.int32), catalogue),
        held_out.visitor,
    )
    return ModelPackage.seal(
        folder,
        contract=contract,
        data_fingerprint=journeys_fingerprint(journeys, catalogue),
        code_revision=code_revision(),
        metrics=metrics,
        calibration={"blend": dict(blend)},
    )


def golden_targets(test: Targets, *, seed: int) -> Targets:
    """Up to :data:`GOLDEN_ROWS` of the test targets, drawn at random, and a visitor's first event.

    The last is asked for with nothing before it, as a new visitor is.
    """
    some = sample_of(test, GOLDEN_ROWS, seed=seed)
    last = np.arange(len(some)) == len(some) - 1
    return replace(some, position=np.where(last, 0, some.position))


def journey_answers(
    served: ServedJourney, inputs: Tensors, catalogue: Catalogue, encoder: Path
) -> Tensors:
    """What PyTorch says of raw inputs, by the names of the contract's outputs without version."""
    session = onnxruntime.InferenceSession(encoder, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    code = dict(zip(names, session.run(names, inputs), strict=True))
    given = [
        torch.from_numpy(code[name]) if name in code else None
        for name in (
            ITEM_CODE,
            ACTION_CODE,
            CHANNEL_CODE,
            AGE,
            NOW_HOUR,
            TARGET_CODE,
            EXCLUDE_CODE,
            ALLOW_CODE,
        )
    ]
    with torch.inference_mode():
        answers = served.eval()(*given)
    found: Tensors = {
        name: answer.numpy() for name, answer in zip(served.outputs, answers, strict=True)
    }
    found[NEXT_ITEM] = _item_ids(catalogue)[found.pop(TOP_CODE)]
    found[SCORE] = found.pop(TOP_SCORE)
    if INTENT_CODE in found:
        names_of = np.array(["", "", *catalogue.categories], object)
        found[INTENT] = names_of[found.pop(INTENT_CODE)]
    return found | {UNKNOWN: code[UNKNOWN]}


def journeys_fingerprint(journeys: Journeys, catalogue: Catalogue) -> str:
    """SHA-256, in hex, over all events and items."""
    digest = hashlib.sha256()
    columns = ("visitor_id", "offsets", "item", "action", "channel", "time_s", "session")
    for name in columns:
        column = getattr(journeys, name)
        for start in range(0, len(column), FINGERPRINT_CHUNK):
            digest.update(column[start : start + FINGERPRINT_CHUNK].tobytes())
    for part in (catalogue.item_id, catalogue.category, catalogue.brand, catalogue.price):
        digest.update(repr(None if part is None else part.tolist()).encode())
    digest.update(repr(catalogue.title).encode())
    names = (catalogue.categories, catalogue.brands)
    lists = (journeys.actions, journeys.channels, journeys.timezone, *names)
    digest.update(repr(lists).encode())
    return digest.hexdigest()


def _item_ids(catalogue: Catalogue) -> npt.NDArray[Any]:
    """(N,) id of each item code; "" or -1 for the first two."""
    if catalogue.has_integer_ids:
        return np.concatenate([np.full(FIRST_CODE, -1, np.int64), catalogue.item_id])
    return np.array([*[""] * FIRST_CODE, *catalogue.item_id.tolist()], object)
