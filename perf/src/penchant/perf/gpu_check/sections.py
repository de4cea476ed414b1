"""The sections of the check: what each is about, how long it may take and which packages it needs.

A section is a function that yields rows. It runs in a process of its own, so that one that hangs,
crashes or fills the card's memory costs only itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from penchant.perf.gpu_check.settings import Settings

Row = dict[str, Any]
Work = Callable[[Settings], Iterator[Row]]

HERE: Final = "penchant.perf.gpu_check"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of the check."""

    name: str
    """Name of its module, and of its rows' file."""
    title: str
    """For people."""
    limit_s: float
    """Longest time that it may take on a GPU, in seconds."""

    def rows(self, settings: Settings) -> Iterator[Row]:
        """Do it."""
        work: Work = importlib.import_module(f"{HERE}.{self.name}").rows
        return work(settings)


SECTIONS: Final = (
    Section(name="environment", title="The card, and what it does at best", limit_s=40),
    Section(name="models", title="Nets and small models to be measured", limit_s=150),
    Section(name="runtimes", title="Which runtime stands for the engine", limit_s=45),
    Section(name="speed", title="Engines: latency, throughput and floor", limit_s=180),
    Section(name="training", title="Training: samples a second", limit_s=100),
    Section(name="parity", title="The same answers from every runtime", limit_s=60),
    Section(name="quality", title="What precision costs quality", limit_s=45),
    Section(name="triton", title="Triton, end to end", limit_s=45),
)
