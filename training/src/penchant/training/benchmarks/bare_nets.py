"""Writes a net of a given size with random weights, without the graphs around it, to be timed.

python -m penchant.training.benchmarks.bare_nets --folder nets --num_items [50000,1000000]

Into `nets/propensity`, `nets/journey-50000` and `nets/journey-1000000` go `net.onnx`, `net.pt2`,
which is the same net as torch.export saves it, and `inputs.npz`, rows as encode.onnx gives them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx.utils
import torch
from torch import Tensor, nn

from penchant.clients.journey_contract import JourneyContract
from penchant.training.calibration import BetaCalibration, GoalCalibration
from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.journey_encoder import (
    ACTION_CODE,
    AGE,
    ALLOW_CODE,
    CHANNEL_CODE,
    EXCLUDE_CODE,
    ITEM_CODE,
    NOW_HOUR,
    TARGET_CODE,
)
from penchant.training.journeys.journey_export import export_journey_net, trace_journey_net
from penchant.training.journeys.journey_net import ItemContent, JourneyNet, JourneySizes
from penchant.training.journeys.journey_recipe import JourneyNetworkConfig
from penchant.training.journeys.served_journey import ServedJourney
from penchant.training.net_export import EXAMPLE_ROWS, export_net
from penchant.training.network_config import FeatureSizes, NetworkConfig
from penchant.training.propensity_net import PropensityNet
from penchant.training.served_propensity import ServedPropensity, reference_shape

PROPENSITY_SIZES: Final = FeatureSizes(
    bins=(32,) * 10, categories=(4, 5, 8, 9, 10, 12, 15, 22, 100, 1_000)
)
"""Ten numbers and ten categories, as a shop's table has them."""
INPUTS: Final = ("position", "missing", "category")
NUM_CATEGORIES: Final = 200

Rows = dict[str, npt.NDArray[Any]]


def write_propensity(folder: Path, *, num_rows: int) -> None:
    """Write a propensity net of the default shape without reasons, and rows for it.

    Args:
        folder: Where the three files go.
        num_rows: Rows of `inputs.npz`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    net = PropensityNet(PROPENSITY_SIZES, num_goals=1, config=NetworkConfig()).eval()
    served = ServedPropensity(
        net,
        calibration=BetaCalibration([GoalCalibration()]),
        reference=torch.zeros(reference_shape(net)),
    )
    whole = folder / "whole.onnx"
    export_net(served, whole)
    onnx.utils.extract_model(whole, folder / "net.onnx", list(INPUTS), ["propensity"])
    whole.unlink()
    torch.export.save(_trace_scores(served), folder / "net.pt2")
    random = np.random.default_rng(0)
    bins, categories = PROPENSITY_SIZES.bins, PROPENSITY_SIZES.categories
    position = random.uniform(0, 1, (num_rows, len(bins))) * bins
    missing = random.random(position.shape) < 0.1
    rows: Rows = {
        "position": np.where(missing, 0, position).astype(np.float32),
        "missing": missing.astype(np.float32),
        "category": random.integers(0, categories, (num_rows, len(categories))).astype(np.int32),
    }
    np.savez(folder / "inputs.npz", allow_pickle=False, **rows)


class _Scores(nn.Module):
    """A served net without its reasons, as callers ask for it who want none."""

    def __init__(self, served: ServedPropensity) -> None:
        super().__init__()
        self.served = served

    def forward(self, position: Tensor, missing: Tensor, category: Tensor) -> tuple[Tensor]:
        return (self.served.propensity(position, missing, category),)


def _trace_scores(served: ServedPropensity) -> torch.export.ExportedProgram:
    columns = (len(PROPENSITY_SIZES.bins), len(PROPENSITY_SIZES.categories))
    numbers = torch.zeros(EXAMPLE_ROWS, columns[0])
    categories = torch.zeros(EXAMPLE_ROWS, columns[1], dtype=torch.int32)
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(
        _Scores(served).eval(),
        (numbers, numbers.clone(), categories),
        dynamic_shapes=tuple({0: batch} for _ in INPUTS),
    )


def write_journey(
    folder: Path,
    *,
    num_items: int,
    k: int,
    width: int,
    window: int,
    num_rows: int,
) -> None:
    """Write a journey net of two blocks, and full histories for it.

    Args:
        folder: Where the three files go.
        num_items: Items of the catalogue.
        k: Items of an answer.
        width: Numbers that stand for an item.
        window: Events of a history.
        num_rows: Rows of `inputs.npz`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    contract = JourneyContract(
        model="journey",
        actions=("view", "cart", "purchase"),
        channels=("web", "app", "email", "shop"),
        length=window,
        num_items=k,
        embedding_size=width,
    )
    config = JourneyNetworkConfig(window=window, profile=0, width=width, num_blocks=2)
    sizes = JourneySizes(
        num_item_codes=num_items + FIRST_CODE,
        num_actions=len(contract.actions),
        num_channels=len(contract.channels),
        num_category_codes=NUM_CATEGORIES + FIRST_CODE,
    )
    category = torch.randint(FIRST_CODE, NUM_CATEGORIES + FIRST_CODE, (num_items + FIRST_CODE,))
    category[:FIRST_CODE] = torch.arange(FIRST_CODE)
    served = ServedJourney(
        JourneyNet(sizes, config, ItemContent(category=category)),
        category_of_code=category,
        num_items=k,
        num_intents=contract.num_intents,
    )
    export_journey_net(served, folder / "net.onnx", contract)
    torch.export.save(trace_journey_net(served, contract), folder / "net.pt2")
    np.savez(
        folder / "inputs.npz",
        allow_pickle=False,
        **_histories(contract, num_items=num_items, num_rows=num_rows),
    )


def _histories(contract: JourneyContract, *, num_items: int, num_rows: int) -> Rows:
    random = np.random.default_rng(1)
    shape = (num_rows, contract.length)
    excluded = random.integers(0, num_items + FIRST_CODE, (num_rows, contract.max_exclude))
    excluded[random.random(excluded.shape) < 0.9] = 0
    age = np.sort(random.exponential(1e6, shape), axis=1)[:, ::-1]
    return {
        ITEM_CODE: random.integers(FIRST_CODE, num_items + FIRST_CODE, shape).astype(np.int32),
        ACTION_CODE: random.integers(1, len(contract.actions) + 1, shape).astype(np.int32),
        CHANNEL_CODE: random.integers(0, len(contract.channels) + 1, shape).astype(np.int32),
        AGE: age.astype(np.float32),
        NOW_HOUR: random.uniform(0, 168, (num_rows, 1)).astype(np.float32),
        TARGET_CODE: np.ones((num_rows, 1), np.int32),
        EXCLUDE_CODE: excluded.astype(np.int32),
        ALLOW_CODE: np.zeros((num_rows, contract.max_allow), np.int32),
    }


def main(
    folder: Path,
    num_items: tuple[int, ...] = (50_000, 1_000_000),
    k: int = 100,
    width: int = 128,
    window: int = 100,
    num_rows: int = 4_096,
) -> None:
    """Write a propensity net, and a journey net for each catalogue.

    Args:
        folder: Where they go, a folder each.
        num_items: Items of the catalogues.
        k: Items of an answer.
        width: Numbers that stand for an item.
        window: Events of a history.
        num_rows: Rows of each `inputs.npz`.
    """
    write_propensity(folder / "propensity", num_rows=num_rows)
    for count in num_items:
        write_journey(
            folder / f"journey-{count}",
            num_items=count,
            k=k,
            width=width,
            window=window,
            num_rows=num_rows,
        )


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main, as_positional=False)
