"""The verb `penchant simulate`: a realistic event log of any size, with the truth beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from penchant.training.simulation.chunk import Chunk, simulate_chunk
from penchant.training.simulation.product_words import CATEGORY_NAMES
from penchant.training.simulation.segments import CHANNELS
from penchant.training.simulation.shop import Shop, open_shop
from penchant.training.simulation.simulated_log import SimulatedLog
from penchant.training.simulation.simulation_config import ERROR_KINDS, SimulationConfig
from penchant.training.simulation.truth_tables import write_shop_truth

_STREAMED: Final = {  # field of a chunk -> file
    "events": "events.parquet",
    "customers": "customers.parquet",
    "visitors": "truth/visitors.parquet",
    "sessions": "truth/sessions.parquet",
}
_RECIPE: Final = """\
# A simulated log; what is true of it is in the folder `truth` beside this file.
name: simulated
events:
  table: {path: events.parquet}
  columns:
    visitor_id: visitor_id
    time: time
    action: action
    item_id: item_id
    channel: channel
    device: device
    source: source
    campaign: campaign
    query: query
    price: price
    quantity: quantity
    order_id: order_id
  time_unit: timestamp
  timezone: UTC
  cancelled_order: ^c
items:
  table: {path: items.parquet}
  columns: {item_id: item_id, category: category, brand: brand, price: price, title: title}
customers:
  table: {path: customers.parquet}
  columns:
    visitor_id: visitor_id
    consent: consent
    numeric: [age, member_years]
    categorical: [city, language, tier]
cleaning:  # planted errors are dropped; how many there are is in truth/facts.json
  no_visitor: drop
  unparsable_time: drop
  future_time: drop
  duplicates: drop
  negative_value: drop
  returns: drop
  unknown_item: keep
  no_consent: keep
session_gap_minutes: 30
"""


def simulate(recipe: SimulationConfig, output: Path) -> str:
    """Write a realistic event log of any size, with catalogue, customers, recipe and the truth.

    Args:
        recipe: What to simulate.
        output: Folder for it, new or empty.

    Returns:
        What was written, and what to do next.

    Raises:
        ValueError: The folder holds something already.
    """
    log = simulate_log(recipe, output)
    facts = log.facts()
    return (
        f"{facts['events']:,} events of {facts['visitors']:,} visitors, {facts['sessions']:,} "
        f"sessions, {sum(facts['errors'].values()):,} wrong rows in {log.folder}\n"
        f"Next: penchant inspect data --config {log.recipe}"
    )


def simulate_log(config: SimulationConfig, folder: Path) -> SimulatedLog:
    """Write a log and its truth chunk by chunk; memory does not depend on its size.

    Raises:
        ValueError: The folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"output: expected a new or empty folder, but {folder} is there and not empty; name "
            "another one or remove it"
        )
    log = SimulatedLog(folder=folder)
    log.truth.mkdir(parents=True, exist_ok=True)
    shop = open_shop(config)
    shop.items.write(log.items)
    write_shop_truth(shop, log.truth)
    log.recipe.write_text(_RECIPE, encoding="utf-8")
    counts = _write_chunks(_chunks(shop, config), folder)
    facts = _facts(counts, shop, config)
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    (log.truth / "facts.json").write_text(text, encoding="utf-8")
    return log


def _chunks(shop: Shop, config: SimulationConfig) -> Iterator[Chunk]:
    number, left = 0, config.events
    while left > 0:
        chunk = simulate_chunk(number, shop=shop, config=config, most_events=left)
        yield chunk
        number, left = number + 1, left - len(chunk.events)


def _write_chunks(chunks: Iterator[Chunk], folder: Path) -> dict[str, Any]:
    """Write each chunk as a row group of its files; count what is in them."""
    errors = np.zeros(len(ERROR_KINDS), dtype=np.int64)
    counts = dict.fromkeys([*_STREAMED, "bots", "orders"], 0)
    writers: dict[str, pq.ParquetWriter] = {}
    with ExitStack() as stack:
        for chunk in chunks:
            for name, path in _STREAMED.items():
                table: pa.Table = getattr(chunk, name)
                if name not in writers:
                    writers[name] = stack.enter_context(_writer(folder / path, table.schema))
                writers[name].write_table(table, row_group_size=max(1, len(table)))
                counts[name] += len(table)
            counts["bots"] += chunk.visitors["bot"].to_numpy().sum().item()
            counts["orders"] += chunk.sessions["purchased"].to_numpy().sum().item()
            errors += chunk.errors
    return counts | {"errors": dict(zip(ERROR_KINDS, errors.tolist(), strict=True))}


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Without Arrow's own schema, readers see plain text where we hand over dictionaries.
    return pq.ParquetWriter(path, schema, compression="zstd", store_schema=False)


def _facts(counts: dict[str, Any], shop: Shop, config: SimulationConfig) -> dict[str, Any]:
    cold = np.flatnonzero(shop.items.popularity == 0).tolist()
    return counts | {
        "start_s": config.start_s,
        "end_s": config.end_s,
        "categories": CATEGORY_NAMES,
        "channels": CHANNELS,
        "cold_items": [shop.names.items[number] for number in cold],
        "config": asdict(config),
    }
