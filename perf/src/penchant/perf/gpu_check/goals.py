"""The numbers to reach, each with what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Row = dict[str, Any]
Found = Mapping[str, list[Row]]
"""Rows by section."""

PROPENSITY: Final = "propensity"
LARGE: Final = "journey, 1,000,000 items"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One number."""

    what: str
    """For people."""
    limit: float
    """What it has to reach."""
    is_most: bool
    """Whether less is better."""
    unit: str
    """Of the number; empty where it has none."""
    value: float | None
    """What was found; None where nothing was."""

    @property
    def outcome(self) -> Literal["reached", "not reached", "not run"]:
        """How it ended."""
        if self.value is None:
            return "not run"
        is_reached = self.value <= self.limit if self.is_most else self.value >= self.limit
        return "reached" if is_reached else "not reached"


def find_goals(found: Found, *, is_dry: bool) -> list[Goal]:
    """All of them; without a GPU none was measured."""
    return [
        Goal(
            what=what,
            limit=limit,
            is_most=is_most,
            unit=unit,
            value=None if is_dry else value(found),
        )
        for what, limit, is_most, unit, value in _GOALS
    ]


def _timed(found: Found, net: str, batch: int) -> list[Row]:
    rows = found.get("speed", [])
    return [
        row for row in rows if (row.get("net"), row.get("batch")) == (net, batch) and "way" in row
    ]


def _least(rows: Iterable[Row], key: str) -> float | None:
    return min((row[key] for row in rows if key in row), default=None)


def _most(rows: Iterable[Row], key: str) -> float | None:
    return max((row[key] for row in rows if key in row), default=None)


def _times_floor(found: Found) -> float | None:
    """Of the way and precision that is fastest, not of the one that is nearest to its floor."""
    rows = sorted(_timed(found, LARGE, 64), key=lambda row: row["p50_us"])
    return rows[0]["times_floor"] if rows else None


def _difference(found: Found) -> float | None:
    """Of the engine in FP32, whatever runtime stands for it."""
    rows = [row for row in found.get("parity", []) if row["by"] != "onnxruntime on the CPU"]
    return _most((row for row in rows if row.get("precision") == "fp32"), "difference")


def _half(found: Found) -> list[Row]:
    return [row for row in found.get("quality", []) if row.get("precision") in ("fp16", "bf16")]


def _change(found: Found, model: str) -> float | None:
    rows = [row for row in _half(found) if row["model"] == model and "change" in row]
    return max((abs(row["change"]) for row in rows), default=None)


_GOALS: Final[tuple[tuple[str, float, bool, str, Callable[[Found], float | None]], ...]] = (
    (
        "propensity net, batch 256, in process: p99",
        1_000.0,
        True,
        "µs",
        lambda found: _least(_timed(found, PROPENSITY, 256), "p99_us"),
    ),
    (
        "propensity net, batch 4,096: rows a second",
        1e6,
        False,
        "",
        lambda found: _most(_timed(found, PROPENSITY, 4_096), "rows_per_s"),
    ),
    (
        "journey net (128 wide, 2 blocks, 100 events, 1,000,000 items, best 100), batch 64: median",
        2_000.0,
        True,
        "µs",
        lambda found: _least(_timed(found, LARGE, 64), "p50_us"),
    ),
    ("the same, as a multiple of its floor", 3.0, True, "", _times_floor),
    ("FP32: largest difference from PyTorch", 1e-4, True, "", _difference),
    (
        "FP16 and BF16: change of AUC",
        1e-3,
        True,
        "",
        lambda found: _change(found, "propensity"),
    ),
    (
        "FP16 and BF16: change of NDCG@10",
        1e-3,
        True,
        "",
        lambda found: _change(found, "journey"),
    ),
    (
        "FP16 and BF16: share of the best ten that stays",
        0.99,
        False,
        "",
        lambda found: _least(_half(found), "overlap"),
    ),
)
