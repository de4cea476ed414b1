"""Settings: what a run of the check is told, and where it works."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The same for all sections of a run."""

    folder: Path
    """Where nets, models and the sections' rows lie while it runs."""
    is_dry: bool
    """Tiny sizes on the CPU, to see that everything runs; what only a GPU says is not run."""
    num_items: tuple[int, ...]
    """Items of the catalogues."""
    k: int
    """Items of an answer."""
    width: int
    """Numbers that stand for an item."""
    window: int
    """Events of a history."""
    batch_sizes: tuple[int, ...]
    """Rows of the batches that are timed."""
    measure_s: float
    """Longest time that one number is measured for, in seconds."""

    @property
    def device(self) -> str:
        """What PyTorch calls the device."""
        return "cpu" if self.is_dry else "cuda"

    @property
    def nets(self) -> Path:
        """Nets with random weights."""
        return self.folder / "nets"

    @property
    def models(self) -> Path:
        """Small trained models."""
        return self.folder / "models"

    def rows(self, section: str) -> Path:
        """Where a section writes what it found, a JSON object a line."""
        return self.folder / f"{section}.jsonl"

    def to_json(self) -> str:
        """For the process of a section."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read what :meth:`to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        known = {each.name: values[each.name] for each in fields(cls)}
        known["folder"] = Path(known["folder"])
        for name in ("num_items", "batch_sizes"):
            known[name] = tuple(known[name])
        return cls(**known)


def gpu_settings(folder: Path) -> Settings:
    """Sizes of the numbers to reach."""
    return Settings(
        folder=folder,
        is_dry=False,
        num_items=(50_000, 1_000_000),
        k=100,
        width=128,
        window=100,
        batch_sizes=(1, 8, 64, 256, 1_024, 4_096),
        measure_s=0.3,
    )


def dry_settings(folder: Path) -> Settings:
    """Sizes that take about a minute on two cores."""
    return Settings(
        folder=folder,
        is_dry=True,
        num_items=(500,),
        k=20,
        width=16,
        window=10,
        batch_sizes=(1, 8),
        measure_s=0.02,
    )
