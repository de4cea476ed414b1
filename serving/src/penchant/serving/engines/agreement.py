"""Whether an engine gives the net's own answers, as near as its precision allows.

Shapes: B rows, K ranked items.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penchant.serving.engines.precision import Precision
from penchant.serving.golden import Tensors
from penchant.serving.parity import Tolerance

TOLERANCE: Final[Mapping[Precision, Tolerance]] = MappingProxyType(
    {
        "fp32": Tolerance(1e-4, 1e-3),
        "tf32": Tolerance(5e-3, 2e-2),
        "fp16": Tolerance(5e-3, 2e-2),
        "bf16": Tolerance(2e-2, 5e-2),
    }
)
"""How far a number may be from the net's in FP32."""
TOP: Final = 10
LEAST_OVERLAP: Final = 0.99
"""Share of the net's best items that an engine's best have to hold, over all rows; ties and near
ties change places between two runtimes."""


def check_agreement(expected: Tensors, got: Tensors, precision: Precision) -> None:
    """Compare an engine's outputs with the net's, in the net's own tensors.

    Numbers have to be near. Integers (B, K) are ranked codes, whose best have to be the same ones;
    others have to be equal.

    Raises:
        ValueError: naming the output and how far it is off.
    """
    for name, wanted in expected.items():
        found = got[name]
        if found.shape != wanted.shape:
            raise ValueError(f"{name}: expected shape {wanted.shape}, got {found.shape}")
        if wanted.dtype.kind == "f":
            _check_numbers(name, wanted, found, TOLERANCE[precision])
        elif wanted.shape[1] > 1:
            _check_ranking(name, wanted, found)
        elif not np.array_equal(found, wanted):
            row = int(np.flatnonzero((found != wanted).any(1))[0])
            raise ValueError(f"{name}: expected {wanted[row]} in row {row}, got {found[row]}")


def _check_numbers(
    name: str, wanted: npt.NDArray[Any], found: npt.NDArray[Any], tolerance: Tolerance
) -> None:
    difference = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    if not (difference <= tolerance.around(wanted)).all():
        raise ValueError(
            f"{name}: expected the net's answers within {tolerance}, got a difference of "
            f"{difference.max():g}"
        )


def _check_ranking(name: str, wanted: npt.NDArray[Any], found: npt.NDArray[Any]) -> None:
    pairs = zip(wanted[:, :TOP].tolist(), found[:, :TOP].tolist(), strict=True)
    shares = [len(set(best) & set(other)) / len(set(best)) for best, other in pairs]
    if np.mean(shares) < LEAST_OVERLAP:
        raise ValueError(
            f"{name}: expected {LEAST_OVERLAP:.0%} of the net's best {TOP}, got "
            f"{np.mean(shares):.2%}"
        )
