"""Held-out rows: raw inputs with what happened, which no part of the fit saw.

A new version and the champion answer the same rows before one replaces the other. They travel in
the package as ``holdout.npz``; visitors are numbered, not named. Shapes: N rows, G goals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penchant.clients.contract import Contract
from penchant.clients.journey_contract import ITEM
from penchant.clients.wire_contract import WireContract
from penchant.serving.golden import INPUT_PREFIX, Tensors, plain, read_arrays, take

HOLDOUT: Final = "holdout.npz"
"""Its name in the package."""
HOLDOUT_ROWS: Final = 4096
"""Most rows that a package carries."""
LABEL: Final = "label"
VISITOR: Final = "visitor"


@dataclass(frozen=True)
class HoldoutRows:
    """Raw inputs and what came of the same rows."""

    inputs: Tensors
    """By tensor name, (N, …); text is ``<U``."""
    label: npt.NDArray[Any]
    """Of a propensity (N, G) 0, 1 or NaN where nobody knows; of a journey (N,) the item that the
    visitor took next."""
    visitor: npt.NDArray[np.int64]
    """(N,) rows with the same number are the same visitor's."""

    def __len__(self) -> int:
        """N."""
        return len(self.label)

    def take(self, which: npt.NDArray[np.int64]) -> HoldoutRows:
        """Some of the rows."""
        inputs = {name: value[which] for name, value in self.inputs.items()}
        return HoldoutRows(inputs, self.label[which], self.visitor[which])


def write_holdout(
    path: Path,
    inputs: Mapping[str, npt.NDArray[Any]],
    label: npt.NDArray[Any],
    visitor: npt.NDArray[np.int64] | None = None,
) -> None:
    """Write held-out rows, compressed and without pickle.

    Args:
        path: the file.
        inputs: as the contract names them, (N, …).
        label: what happened: see :class:`HoldoutRows`.
        visitor: (N,) whose row each is; each its own visitor's by default. Written as small
            numbers that say nothing but which are the same.
    """
    if visitor is None:
        visitor = np.arange(len(label))
    numbered = np.unique(visitor, return_inverse=True)[1].astype(np.int64)
    arrays = {INPUT_PREFIX + name: plain(value) for name, value in inputs.items()}
    with path.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, **arrays, **{LABEL: plain(label), VISITOR: numbered}
        )


def read_holdout(path: Path, contract: WireContract) -> HoldoutRows | None:
    """Read held-out rows and check them against the contract; None where there are none.

    Raises:
        ValueError: if the file is damaged, or a tensor is missing or has another type or shape.
    """
    if not path.is_file():
        return None
    arrays = read_arrays(path, "held-out rows")
    inputs = {spec.name: take(arrays, INPUT_PREFIX, spec, path) for spec in contract.inputs}
    label, visitor = arrays.get(LABEL), arrays.get(VISITOR)
    _check_label(label, inputs, contract, path)
    assert label is not None
    if visitor is None or visitor.dtype.kind != "i" or visitor.shape != label.shape[:1]:
        raise ValueError(f"{path}: expected a whole number a row as {VISITOR!r}; train again")
    if {len(value) for value in inputs.values()} != {len(label)}:
        raise ValueError(f"{path}: expected as many rows in every tensor; train again")
    return HoldoutRows(inputs, label, visitor.astype(np.int64))


def _check_label(
    label: npt.NDArray[Any] | None, inputs: Tensors, contract: WireContract, path: Path
) -> None:
    kind = "f" if isinstance(contract, Contract) else inputs[ITEM].dtype.kind
    shape = (len(contract.goals),) if isinstance(contract, Contract) else ()
    if label is None or label.dtype.kind != kind or label.shape[1:] != shape:
        got = None if label is None else f"{label.dtype} {label.shape}"
        raise ValueError(
            f"{path}: expected {LABEL!r} of kind {kind!r} as (N, {shape}), got {got}; train again"
        )
