"""Small tables on disk, with recipes for them, for tests that need something to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from penchant.training.recipe import (
    Columns,
    Goal,
    MultiValuedColumn,
    Recipe,
    Split,
    TableSource,
)


def shop_rows(num_rows: int = 600, *, seed: int = 0) -> dict[str, Any]:
    """Made-up visits with every kind of column, and goals that depend on them."""
    random = np.random.default_rng(seed)
    seconds = random.exponential(60, num_rows)
    device = random.choice(["phone", "desktop", "رایانه"], num_rows)
    bought = random.random(num_rows) < 1 / (1 + np.exp(2 - seconds / 60 - (device == "desktop")))
    interests = [random.choice(["shoes", "coats", "żółty"], 2).tolist() for _ in range(num_rows)]
    return {
        "visitor": [f"v{number // 3}" for number in range(num_rows)],
        "day": random.integers(0, 40, num_rows),
        "seconds": [None if number % 50 == 7 else s for number, s in enumerate(seconds.tolist())],
        "pages": random.integers(1, 9, num_rows),
        "device": [None if number % 40 == 3 else d for number, d in enumerate(device.tolist())],
        "member": random.random(num_rows) < 0.3,
        "interests": ["|".join(words) for words in interests],
        "note": ["x"] * num_rows,
        "bought": bought,
        "left": np.where(random.random(num_rows) < 0.4, "yes", "no"),
    }


def shop_recipe(folder: Path, rows: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    """A recipe for `rows`, which are written to a Parquet file in `folder`."""
    path = folder / "shop.parquet"
    pq.write_table(pa.table(shop_rows() if rows is None else rows), path)
    values: dict[str, Any] = {
        "name": "shop",
        "table": TableSource(path=str(path)),
        "columns": Columns(
            numeric=("seconds", "pages"),
            categorical=("device", "member"),
            multi_valued=(MultiValuedColumn(name="interests", max_values=3),),
        ),
        "goals": (
            Goal(name="purchase", column="bought"),
            Goal(name="leave", column="left", positive="yes"),
        ),
        "split": Split(),
    }
    return Recipe(**(values | changes))
