"""Rows of a small model as its net takes them: golden ones, odd ones, and held-out ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penchant.perf.gpu_check.nets import Net
from penchant.perf.gpu_check.settings import Settings
from penchant.serving.golden import Tensors
from penchant.serving.package import ModelPackage
from penchant.serving.session import GraphSession

UNHEARD: Final = "never heard of"
"""Text that no vocabulary holds."""
NO_ID: Final = -7
"""A number that is no id and no code."""
ODD_SHARE: Final = 0.3
"""Share of values that are changed in odd rows."""


@dataclass(frozen=True)
class SmallModel:
    """A trained package, with its net as torch.export saved it beside it."""

    kind: str
    """propensity or journey."""
    folder: Path
    """Where both are."""

    @cached_property
    def package(self) -> ModelPackage:
        """The package, checked."""
        return ModelPackage.open(self.folder / "package")

    @cached_property
    def net(self) -> Net:
        """Its net."""
        return Net(self.kind, self.package.net, self.folder / "net.pt2")

    def encoded(self, raw: Tensors) -> Tensors:
        """What the net takes, of raw inputs (B, …)."""
        names = [value.name for value in self.net.model.graph.input]
        return GraphSession(self.package.encode).run(raw, names)


def small_models(settings: Settings) -> list[SmallModel]:
    """One of each kind."""
    return [SmallModel(kind, settings.models / kind) for kind in ("propensity", "journey")]


def with_odd_rows(raw: Tensors) -> Tensors:
    """The rows, and the same again with unheard words, unknown ids, NaN and infinity."""
    random = np.random.default_rng(0)
    return {name: np.concatenate([value, _odd(value, random)]) for name, value in raw.items()}


def _odd(value: npt.NDArray[Any], random: np.random.Generator) -> npt.NDArray[Any]:
    changed = random.random(value.shape) < ODD_SHARE
    if value.dtype.kind == "U":
        return np.where(changed, UNHEARD, value)
    if value.dtype.kind == "f":
        strange = np.array([np.nan, np.inf, -np.inf, -1e30], value.dtype)
        return np.where(changed, random.choice(strange, value.shape), value)
    return np.where(changed, np.array(NO_ID, value.dtype), value)
