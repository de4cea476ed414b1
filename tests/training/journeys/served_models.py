"""A small served journey model with random weights, and codes to ask it with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from penchant.clients.journey_contract import JourneyContract
from penchant.training.journeys.journey_net import ItemContent, JourneyNet, JourneySizes
from penchant.training.journeys.journey_recipe import JourneyNetworkConfig
from penchant.training.journeys.served_journey import ServedJourney

CONFIG = JourneyNetworkConfig(window=6, profile=4, width=16, num_blocks=2, num_heads=2)
NUM_CODES = 32
NUM_CATEGORIES = 6
CATEGORY = torch.tensor([0, 0, *(2 + at % 4 for at in range(NUM_CODES - 2))])
Inputs = dict[str, npt.NDArray[Any]]


def contract(*, channels: bool = True, categories: bool = True) -> JourneyContract:
    """What the model is asked with."""
    return JourneyContract(
        model="small",
        actions=("view", "cart", "purchase"),
        channels=("web", "shop") if channels else (),
        length=CONFIG.length,
        num_items=8,
        num_intents=3 if categories else 0,
        max_exclude=4,
        max_allow=2,
        embedding_size=CONFIG.width,
    )


def small_net(
    *,
    channels: bool = True,
    categories: bool = True,
    clock: bool = True,
    purchases: bool = True,
    **config: Any,
) -> JourneyNet:
    """A net with random weights."""
    torch.manual_seed(0)
    sizes = JourneySizes(
        num_item_codes=NUM_CODES,
        num_actions=3,
        num_channels=2 if channels else 0,
        num_category_codes=NUM_CATEGORIES if categories else 2,
        num_brand_codes=4 if categories else 0,
        num_price_codes=11 if categories else 0,
        has_clock=clock,
        has_purchases=purchases,
    )
    shape = JourneyNetworkConfig(**{**vars(CONFIG), **config})
    code = torch.arange(NUM_CODES)
    content = ItemContent(category=CATEGORY, brand=code % 4, price=code % 11)
    net = JourneyNet(sizes, shape, content if categories else None)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net


def small_served(
    net: JourneyNet,
    *,
    blend: torch.nn.Module | None = None,
    most_codes: int | None = None,
    repeats: bool = True,
) -> ServedJourney:
    """The net with its masks and ranking."""
    has_categories = net.sizes.num_category_codes > 2
    return ServedJourney(
        net,
        category_of_code=CATEGORY if has_categories else torch.zeros(NUM_CODES),
        num_items=8,
        num_intents=3 if has_categories else 0,
        blend=blend,
        most_codes=most_codes,
        repeats=repeats,
    )


def draw(rows: int, wire: JourneyContract, seed: int = 0) -> Inputs:
    """Codes as encode.onnx gives them; every second row begins with padding."""
    random = np.random.default_rng(seed)
    length = wire.length
    action = random.integers(1, 4, (rows, length))
    for row in range(0, rows, 2):
        action[row, : random.integers(0, length + 1)] = 0
    there = action > 0
    age = np.sort(random.exponential(1e5, (rows, length)), axis=1)[:, ::-1]
    inputs = {
        "item_code": (random.integers(0, NUM_CODES, (rows, length)) * there).astype(np.int32),
        "action_code": action.astype(np.int32),
        "channel_code": (random.integers(0, 3, (rows, length)) * there).astype(np.int32),
        "age": (age * there).astype(np.float32),
        "now_hour": random.choice([-1.0, 0.0, 60.5, 167.9], (rows, 1)).astype(np.float32),
        "target_code": random.integers(1, 4, (rows, 1)).astype(np.int32),
        "exclude_code": random.integers(0, NUM_CODES, (rows, wire.max_exclude)).astype(np.int32),
        "allow_code": random.choice([0, 0, 2, 5], (rows, wire.max_allow)).astype(np.int32),
    }
    if not wire.channels:
        del inputs["channel_code"]
    if not wire.num_intents:
        del inputs["allow_code"]
    return inputs


def ask(served: ServedJourney, inputs: Inputs) -> dict[str, npt.NDArray[Any]]:
    """PyTorch's answers by name."""
    names = ["item_code", "action_code", "channel_code", "age", "now_hour", "target_code"]
    names += ["exclude_code", "allow_code"]
    given = [torch.from_numpy(inputs[name]) if name in inputs else None for name in names]
    with torch.inference_mode():
        answers = served.eval()(*given)
    return {name: answer.numpy() for name, answer in zip(served.outputs, answers, strict=True)}
