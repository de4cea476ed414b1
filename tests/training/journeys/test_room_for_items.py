"""A catalogue that has grown a little gives a net of the same shapes: an engine can take it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests.training.journeys.served_models import CONFIG, ask, contract, draw

from penchant.serving.engines.precision import convert
from penchant.serving.engines.refit import changed_weights
from penchant.training.headroom import padded
from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.blend import Blend, BlendModule
from penchant.training.journeys.journey_export import export_journey_net
from penchant.training.journeys.journey_net import ItemContent, JourneyNet, JourneySizes
from penchant.training.journeys.served_journey import ServedJourney

ROOM, CATEGORY_ROOM = 64, 16
NAMES = ("bought_together", "popular")


def served(num_codes: int, num_categories: int, *, has_room: bool = True) -> ServedJourney:
    """A net with random weights over so many items and categories."""
    torch.manual_seed(num_codes)
    random = np.random.default_rng(num_codes)
    category = torch.from_numpy(random.integers(2, num_categories, num_codes))
    category[:2] = 0
    sizes = JourneySizes(
        num_item_codes=num_codes, num_actions=3, num_channels=2, num_category_codes=num_categories
    )
    tables = AssociationTables(
        names=NAMES,
        code=np.stack([random.permutation(num_codes)[:4] for _ in range(num_codes)])[None].astype(
            np.int32
        ),
        weight=random.random((1, num_codes, 4), np.float32),
        popularity=random.random(num_codes, np.float32),
        newest=2,
    )
    blend = Blend(
        network=1.0,
        alpha=dict.fromkeys(NAMES, 0.5),
        targets=1,
        logloss_before=1.0,
        logloss=1.0,
        ndcg_before=0.0,
        ndcg=0.0,
    )
    if has_room:
        tables = tables.with_room(ROOM)
    return ServedJourney(
        JourneyNet(sizes, CONFIG, ItemContent(category=category)),
        category_of_code=padded(category, ROOM) if has_room else category,
        num_items=8,
        num_intents=3,
        num_categories=CATEGORY_ROOM if has_room else None,
        blend=BlendModule(blend, tables, num_known=num_codes),
    )


@pytest.mark.parametrize("exclude", [False, True])
def test_rows_without_an_item_or_category_are_never_answered(exclude: bool) -> None:
    inputs = draw(200, contract())
    if exclude:  # all but three items
        inputs["exclude_code"] = np.tile(np.arange(2, 29, dtype=np.int32), (200, 1))
        inputs["allow_code"][:] = 0
    expected, got = (ask(served(32, 6, has_room=room), inputs) for room in (False, True))
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


def test_a_grown_catalogue_differs_in_weights_alone(tmp_path: Path) -> None:
    graphs = []
    for num_codes, num_categories in ((32, 6), (41, 8)):
        path = tmp_path / f"{num_codes}.onnx"
        export_journey_net(served(num_codes, num_categories), path, contract())
        graphs.append(convert(onnx.load(path), "fp16").graph)
    changed = changed_weights(*graphs)
    assert {"served.net.items.id", "served.net.intent.weight", "served.blend.popular"} <= changed
