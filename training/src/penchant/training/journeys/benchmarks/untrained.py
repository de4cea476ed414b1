"""Publishes a journey model of a given size with random weights, to measure how fast it is served.

python -m penchant.training.journeys.benchmarks.untrained --home .penchant-50000
penchant perf --model journey --home .penchant-50000
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from penchant.clients.home import Home
from penchant.clients.journey_contract import JourneyContract
from penchant.serving.golden import write_golden
from penchant.serving.journey_decode import write_journey_decode
from penchant.serving.package import DECODE, ENCODE, GOLDEN, NET, ModelPackage
from penchant.serving.preflight import preflight
from penchant.serving.repository import Repository
from penchant.training.journeys.catalogue import FIRST_CODE, Catalogue
from penchant.training.journeys.journey_encoder import compile_journey_encoder
from penchant.training.journeys.journey_export import export_journey_net
from penchant.training.journeys.journey_net import ItemContent, JourneyNet, JourneySizes
from penchant.training.journeys.journey_packaging import journey_answers
from penchant.training.journeys.journey_recipe import JourneyNetworkConfig
from penchant.training.journeys.raw_histories import Tensors
from penchant.training.journeys.served_journey import ServedJourney

NUM_CATEGORIES = 200
NUM_GOLDEN = 128
VERSION = 1


def untrained_package(
    folder: Path, *, num_items: int, has_text_ids: bool, config: JourneyNetworkConfig, k: int
) -> ModelPackage:
    """Write and seal a package whose net has never learnt anything.

    Args:
        folder: The package's folder.
        num_items: Items of the catalogue.
        has_text_ids: Whether ids are text rather than integers.
        config: Shape of the net.
        k: Items of an answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    catalogue = _catalogue(num_items, has_text_ids=has_text_ids)
    contract = JourneyContract(
        model="journey",
        actions=("view", "cart", "purchase"),
        channels=("web", "app", "email", "shop"),
        item_dtype="BYTES" if has_text_ids else "INT64",
        length=config.length,
        num_items=k,
        embedding_size=config.width,
    )
    torch.manual_seed(0)
    sizes = JourneySizes(
        num_item_codes=catalogue.num_codes,
        num_actions=len(contract.actions),
        num_channels=len(contract.channels),
        num_category_codes=catalogue.num_category_codes,
    )
    category_of_code = torch.from_numpy(catalogue.category_of_code)
    served = ServedJourney(
        JourneyNet(sizes, config, ItemContent(category=category_of_code)),
        category_of_code=category_of_code,
        num_items=k,
        num_intents=contract.num_intents,
    )
    compile_journey_encoder(catalogue, contract, folder / ENCODE)
    export_journey_net(served, folder / NET, contract)
    write_journey_decode(
        folder / DECODE, contract, item_id=catalogue.item_id, categories=catalogue.categories
    )
    inputs = _histories(catalogue, contract)
    write_golden(
        folder / GOLDEN, inputs, journey_answers(served, inputs, catalogue, folder / ENCODE)
    )
    return ModelPackage.seal(
        folder,
        contract=contract,
        data_fingerprint="random",
        code_revision="",
        metrics={},
        calibration={},
    )


def _catalogue(num_items: int, *, has_text_ids: bool) -> Catalogue:
    random = np.random.default_rng(0)
    numbers = random.choice(10**9, num_items, replace=False)
    return Catalogue(
        item_id=np.array([f"item-{number}" for number in numbers.tolist()], object)
        if has_text_ids
        else numbers.astype(np.int64),
        category=random.integers(FIRST_CODE, NUM_CATEGORIES + FIRST_CODE, num_items, np.int32),
        categories=tuple(f"category {at}" for at in range(NUM_CATEGORIES)),
    )


def _histories(catalogue: Catalogue, contract: JourneyContract) -> Tensors:
    """Full histories of random items over a month, nothing excluded."""
    random = np.random.default_rng(1)
    shape = (NUM_GOLDEN, contract.length)
    item = random.choice(catalogue.item_id, shape)
    nothing = "" if contract.item_dtype == "BYTES" else -1
    age = np.sort(random.exponential(1e6, shape), axis=1)[:, ::-1]
    inputs: Tensors = {
        "item": item,
        "action": random.integers(1, 4, shape).astype(np.int32),
        "channel": random.integers(0, 5, shape).astype(np.int32),
        "age_s": age.astype(np.float32),
        "hour": random.uniform(0, 168, (NUM_GOLDEN, 1)).astype(np.float32),
        "target_action": np.zeros((NUM_GOLDEN, 1), np.int32),
        "exclude": np.full((NUM_GOLDEN, contract.max_exclude), nothing, item.dtype),
        "allow": np.full((NUM_GOLDEN, contract.max_allow), "", object),
    }
    return {spec.name: inputs[spec.name] for spec in contract.inputs}


def main(
    home: Path,
    num_items: int = 50_000,
    k: int = 100,
    width: int = 64,
    window: int = 50,
    profile: int = 0,
    integer_ids: bool = False,
) -> None:
    """Write a package, try it as any other, and publish it without a registry.

    Args:
        home: Folder that it is published in, for `penchant perf --home`.
        num_items: Items of the catalogue.
        k: Items of an answer.
        width: Numbers that stand for an item.
        window: Events that attention sees.
        profile: Events before them; 0 for none.
        integer_ids: Whether item ids are integers rather than text.
    """
    with tempfile.TemporaryDirectory() as folder:
        package = untrained_package(
            Path(folder) / "package",
            num_items=num_items,
            has_text_ids=not integer_ids,
            config=JourneyNetworkConfig(window=window, profile=profile, width=width),
            k=k,
        )
        preflight(package, version=VERSION)
        Repository(Home(home).model_repository).publish(package, version=VERSION)


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main, as_positional=False)
