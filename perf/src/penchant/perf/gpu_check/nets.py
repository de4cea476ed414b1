"""Nets to be run: written by a process of the training component, read here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from penchant.perf.gpu_check.runners import Tensors
from penchant.perf.gpu_check.settings import Settings


@dataclass(frozen=True)
class Net:
    """One net, as ONNX and as PyTorch take it."""

    kind: str
    """propensity or journey."""
    graph: Path
    """net.onnx."""
    traced: Path
    """The same net as torch.export saved it."""
    num_items: int = 0
    """Items of a journey net's catalogue, where that is what is measured."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind}, {self.num_items:,} items" if self.num_items else self.kind

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The graph, read."""
        return onnx.load(self.graph)

    @cached_property
    def rows(self) -> dict[str, npt.NDArray[Any]]:
        """Rows that were written beside it."""
        with np.load(self.graph.with_name("inputs.npz"), allow_pickle=False) as archive:
            return dict(archive.items())

    def inputs(self, count: int, device: str) -> Tensors:
        """So many of its rows on the device; where there are fewer, again from the first."""
        place = np.arange(count) % len(next(iter(self.rows.values())))
        return on_device({name: value[place] for name, value in self.rows.items()}, device)

    def score_bytes(self, rows: int) -> int:
        """Bytes of one FP32 score for each item and row."""
        return 4 * self.num_items * rows


def all_nets(settings: Settings) -> list[Net]:
    """Those that the settings ask for, the propensity net first."""
    journeys = [
        _written("journey", settings.nets / f"journey-{count}", count)
        for count in settings.num_items
    ]
    return [_written("propensity", settings.nets / "propensity", 0), *journeys]


def _written(kind: str, folder: Path, num_items: int) -> Net:
    return Net(kind, folder / "net.onnx", folder / "net.pt2", num_items)


def on_device(rows: dict[str, npt.NDArray[Any]], device: str) -> Tensors:
    """Arrays as tensors on the device."""
    return {name: torch.from_numpy(value).to(device) for name, value in rows.items()}
