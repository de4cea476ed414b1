"""What is true of the whole shop, as tables.

Letters: S segments, H hours of the week, A asking channels, W weeks, C categories.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from penchant.training.simulation.product_words import CATEGORY_NAMES
from penchant.training.simulation.segments import (
    ASKING,
    CHANNELS,
    HOURS,
    SEGMENTS,
    click_rates,
    hour_shares,
    open_rates,
    unsubscribe_rates,
)
from penchant.training.simulation.shop import Shop

_SEGMENT_NAMES = np.array([segment.name for segment in SEGMENTS])


def write_shop_truth(shop: Shop, folder: Path) -> None:
    """Write hours, answer rates, seasons and planted pairs."""
    tables = {
        "hours": _hours(),
        "answer_rates": _answer_rates(),
        "seasons": _seasons(shop),
        "pairs": _pairs(shop),
    }
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")


def _hours() -> pa.Table:
    segment, hour = (axis.ravel() for axis in np.indices((len(SEGMENTS), HOURS)))
    return pa.table(
        {"segment": _SEGMENT_NAMES[segment], "hour": hour, "share": hour_shares().ravel()}
    )


def _answer_rates() -> pa.Table:
    opened = open_rates()
    asking, segment, hour = (axis.ravel() for axis in np.indices(opened.shape))
    return pa.table(
        {
            "channel": np.array(CHANNELS)[np.array(ASKING)[asking]],
            "segment": _SEGMENT_NAMES[segment],
            "hour": hour,
            "open": opened.ravel(),
            "click": click_rates()[asking],
            "unsubscribe": unsubscribe_rates()[asking],
        }
    )


def _seasons(shop: Shop) -> pa.Table:
    week, category = (axis.ravel() for axis in np.indices(shop.seasons.shape))
    return pa.table(
        {
            "week": week,
            "category": np.array(CATEGORY_NAMES)[category],
            "weight": shop.seasons.ravel(),
        }
    )


def _pairs(shop: Shop) -> pa.Table:
    pairs = np.concatenate([shop.pairs.together, shop.pairs.after])
    kinds = ["bought_together"] * len(shop.pairs.together)
    ids = pa.array(shop.names.items)
    return pa.table(
        {
            "kind": [*kinds, *["bought_after_viewing"] * len(shop.pairs.after)],
            "item_id": ids.take(pa.array(pairs[:, 0])),
            "other_id": ids.take(pa.array(pairs[:, 1])),
        }
    )
