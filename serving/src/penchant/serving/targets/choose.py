"""The targets by name."""

from __future__ import annotations

from pathlib import Path
from typing import Final, get_args

from penchant.serving.engines.precision import Precision
from penchant.serving.targets.cpu import CpuTarget
from penchant.serving.targets.rehearsal import RehearsalTarget
from penchant.serving.targets.rendering import Target, TargetName

TARGETS: Final[tuple[TargetName, ...]] = get_args(TargetName)


def make_target(name: str, *, engines: Path, precision: Precision | None = None) -> Target:
    """The target of that name.

    Args:
        name: cpu, tensorrt or rehearsal.
        engines: folder of the plans that the tensorrt target serves.
        precision: which of them; by default those that were built last.

    Raises:
        ValueError: if there is none of that name.
    """
    if name == "cpu":
        return CpuTarget()
    if name == "rehearsal":
        return RehearsalTarget()
    if name == "tensorrt":
        from penchant.serving.targets.tensorrt import TensorRTTarget

        return TensorRTTarget(engines=engines, precision=precision)
    raise ValueError(f"target: expected one of {', '.join(TARGETS)}, got {name!r}; correct it")
