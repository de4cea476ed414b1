"""The nets of the shipped recipes, of any size, as they are before they have learnt anything.

Shapes: N item codes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from penchant.clients.journey_contract import JourneyContract
from penchant.clients.wire_contract import WireContract
from penchant.training.calibration import BetaCalibration, GoalCalibration
from penchant.training.features import fit_features
from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.blend import Blend, BlendModule
from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.code_parts import codes_at_once
from penchant.training.journeys.journey_export import export_journey_net
from penchant.training.journeys.journey_net import ItemContent, JourneyNet, JourneySizes
from penchant.training.journeys.journey_recipe import read_journey_recipe
from penchant.training.journeys.served_journey import ServedJourney
from penchant.training.net_export import export_net
from penchant.training.propensity_net import PropensityNet
from penchant.training.recipe import read_recipe, shipped_recipe
from penchant.training.served_propensity import ServedPropensity, reference_shape
from penchant.training.table import read_table

NUM_CATEGORIES = 30
NEIGHBOURS = 20


@dataclass(frozen=True)
class Net:
    """A net.onnx and the contract that its package would have."""

    path: Path
    contract: WireContract


def propensity_net(
    recipe_name: str, folder: Path, *, max_batch_size: int = 1024, seed: int = 0
) -> Net:
    """The net of a shipped propensity recipe, its features fitted on the recipe's own table."""
    torch.manual_seed(seed)
    recipe = read_recipe(shipped_recipe(recipe_name))
    table = read_table(recipe)
    features = fit_features(table, np.arange(table.num_rows), recipe.features)
    contract = replace(features.contract(recipe), max_batch_size=max_batch_size)
    net = PropensityNet(features.sizes, num_goals=len(recipe.goals), config=recipe.network)
    served = ServedPropensity(
        net,
        calibration=BetaCalibration([GoalCalibration(slope_yes=1.1)] * len(recipe.goals)),
        reference=torch.randn(reference_shape(net)) * 0.2,
    )
    path = folder / "net.onnx"
    slots = {column.name: column.max_values for column in contract.multi_valued}
    export_net(served, path, multi_slots=slots)
    return Net(path, contract)


def journey_net(
    folder: Path,
    *,
    num_items: int,
    k: int = 200,
    max_batch_size: int = 1024,
) -> Net:
    """The net of the shipped journey recipe over a catalogue of any size.

    Args:
        folder: Where net.onnx goes.
        num_items: Items of the catalogue.
        k: Items of an answer.
        max_batch_size: Most visitors of a request.
    """
    torch.manual_seed(0)
    recipe = read_journey_recipe(shipped_recipe("online_retail_journeys"))
    contract = JourneyContract(
        model="journey",
        actions=("view", "cart", "purchase"),
        channels=("web", "shop"),
        length=recipe.network.length,
        num_items=k,
        embedding_size=recipe.network.width,
        max_batch_size=max_batch_size,
    )
    num_codes = num_items + FIRST_CODE
    code = torch.arange(num_codes)
    category = FIRST_CODE + code % NUM_CATEGORIES
    category[:FIRST_CODE] = 0
    net = JourneyNet(
        JourneySizes(
            num_item_codes=num_codes,
            num_actions=len(contract.actions),
            num_channels=len(contract.channels),
            num_category_codes=NUM_CATEGORIES + FIRST_CODE,
        ),
        recipe.network,
        ItemContent(category=category),
    )
    served = ServedJourney(
        net,
        category_of_code=category,
        num_items=k,
        num_intents=contract.num_intents,
        blend=_blend(num_codes),
        most_codes=codes_at_once(max_batch_size),
    )
    path = folder / "net.onnx"
    export_journey_net(served, path, contract)
    return Net(path, contract)


def _blend(num_codes: int) -> BlendModule:
    names = ("bought_together", "popular")
    random = np.random.default_rng(0)
    places = random.integers(FIRST_CODE, num_codes - NEIGHBOURS, (1, num_codes, 1))
    tables = AssociationTables(
        names=names,
        code=(places + np.arange(NEIGHBOURS)).astype(np.int32),
        weight=random.random((1, num_codes, NEIGHBOURS), np.float32),
        popularity=random.random(num_codes, np.float32),
    )
    weights = dict.fromkeys(names, 0.5)
    return BlendModule(
        Blend(
            network=1.0,
            alpha=weights,
            targets=1,
            logloss_before=1.0,
            logloss=1.0,
            ndcg_before=0.0,
            ndcg=0.0,
        ),
        tables,
    )
