"""Small canonical event tables, and comparing what two ways of asking them answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

DAY_S = 86_400
START_S = 1_300_000_000
ACTIONS = ("view", "cart", "purchase", "email open")
SCHEMA = pa.schema(
    [
        ("visitor_id", pa.int64()),
        ("time_s", pa.int64()),
        ("action", pa.string()),
        ("item_id", pa.int64()),
        ("channel", pa.string()),
        ("value", pa.float64()),
        ("order_id", pa.string()),
        ("hour", pa.int32()),
        ("session", pa.int64()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("device", pa.string()),
        ("source", pa.string()),
        ("campaign", pa.string()),
        ("query", pa.string()),
    ]
)


def random_events(num_events: int = 600, *, seed: int = 0, days: int = 60) -> pa.Table:
    """Events of a dozen visitors with ties, gaps and missing values; in no order."""
    random, words = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    rows = []
    for _ in range(num_events):
        visitor = int(random.integers(12))
        # Few distinct moments, so that some events share theirs.
        time_s = START_S + int(random.integers(days * 24)) * 3600 + int(random.integers(2)) * 60
        action = str(random.choice(ACTIONS, p=(0.6, 0.1, 0.2, 0.1)))
        item = int(random.integers(9)) if random.random() < 0.9 else None
        bought = action == "purchase"
        rows.append(
            {
                "visitor_id": visitor,
                "time_s": time_s,
                "action": action,
                "item_id": item,
                "channel": _maybe(random, random.choice(["web", "store", "czat"])),
                "value": _maybe(random, round(float(random.uniform(1, 50)), 2)) if bought else None,
                "order_id": f"o{visitor}-{time_s // (2 * DAY_S)}"
                if bought and visitor % 2
                else None,
                "hour": _maybe(random, time_s // 3600 % 168),
                "session": (time_s - START_S) // (DAY_S // 2),
                "category": None if item is None or item == 8 else f"kategorie {item % 3}",
                "brand": None if item is None or item == 7 else f"značka {item % 4}",
                "device": _maybe(words, words.choice(["phone", "tablet", "desktop"])),
                "source": _maybe(words, words.choice(["search", "social", "direct"])),
                "campaign": f"c{words.integers(5)}" if words.random() < 0.1 else None,
                "query": f"بوت {words.integers(20)}" if words.random() < 0.2 else None,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _maybe(random: np.random.Generator, value: Any) -> Any:
    """The value, missing one time in ten."""
    if random.random() < 0.1:
        return None
    return value.item() if hasattr(value, "item") else value


def by_key(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> dict[Any, dict[str, Any]]:
    """Rows by the values of some columns, which tell them apart."""
    found = {tuple(row[key] for key in keys): row for row in rows}
    assert len(found) == len(rows), "keys are doubled"
    return found


def assert_same(
    found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]], keys: Sequence[str]
) -> None:
    """Rows with the same keys and columns; numbers to nine digits, missing equal to missing."""
    left, right = by_key(found, keys), by_key(expected, keys)
    assert left.keys() == right.keys()
    wrong = []
    for key, row in left.items():
        assert row.keys() == right[key].keys()
        wrong += [
            f"{name} of {key}: {value!r}, expected {right[key][name]!r}"
            for name, value in row.items()
            if not _equal(value, right[key][name])
        ]
    assert not wrong, "\n".join(wrong[:20])


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        if one is None or other is None:
            return one is other
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return bool(one == other)
