"""Golden rows: real raw inputs with the PyTorch model's outputs.

They prove parity at publication, warm the served model up and are the canary's question.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penchant.clients.contract import (
    BASE,
    PROPENSITY,
    REASON,
    UNKNOWN,
    VERSION,
    Contract,
    TensorSpec,
)

INPUT_PREFIX: Final = "in_"
OUTPUT_PREFIX: Final = "out_"

Tensors = dict[str, npt.NDArray[Any]]

_NUMPY_KIND: Final = {"FP32": "f", "INT32": "i", "INT64": "i", "BYTES": "U"}


@dataclass(frozen=True)
class GoldenRows:
    """Inputs and outputs of the same rows, by tensor name; text is ``<U``."""

    inputs: Tensors
    outputs: Tensors

    @property
    def num_rows(self) -> int:
        """Number of rows B."""
        return len(next(iter(self.inputs.values())))

    def rows(self, start: int, stop: int) -> GoldenRows:
        """The rows from ``start`` up to ``stop``."""
        return GoldenRows(
            {name: value[start:stop] for name, value in self.inputs.items()},
            {name: value[start:stop] for name, value in self.outputs.items()},
        )


TOLERANCE: Final = {PROPENSITY: 1e-5, REASON: 1e-3, BASE: 1e-4, UNKNOWN: 0.0}
"""Largest difference from PyTorch that counts as the same answer, by output.

Reasons add up to the logit of a score that is rounded to float32: at .9999 one unit in its last
place moves the logit by 6e-4.
"""


def check_answers(golden: GoldenRows, outputs: Mapping[str, npt.NDArray[Any]]) -> None:
    """Compare the outputs for the golden rows with what PyTorch gave; outputs may be left out.

    Raises:
        ValueError: if a value differs by more than its tolerance, or is NaN.
    """
    for name, tolerance in TOLERANCE.items():
        if name not in outputs:
            continue
        expected, got = golden.outputs[name], outputs[name]
        if got.shape != expected.shape:
            raise ValueError(f"{name}: expected shape {expected.shape}, got {got.shape}")
        worst = float(np.abs(got - expected).max())
        if not worst <= tolerance:
            raise ValueError(
                f"{name}: expected PyTorch's golden answers within {tolerance:g}, got a difference "
                f"of {worst:g}"
            )


def write_golden(
    path: Path,
    inputs: Mapping[str, npt.NDArray[Any]],
    outputs: Mapping[str, npt.NDArray[Any]],
) -> None:
    """Write golden rows without pickle: text, also in object arrays, is stored as ``<U``."""
    arrays = {INPUT_PREFIX + name: _plain(value) for name, value in inputs.items()}
    arrays |= {OUTPUT_PREFIX + name: _plain(value) for name, value in outputs.items()}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_golden(path: Path, contract: Contract) -> GoldenRows:
    """Read golden rows and check them against the contract.

    Raises:
        ValueError: if the file is damaged, or a tensor is missing or has another type or shape.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive.items())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: expected golden rows as plain arrays, got {error}; train again"
        ) from error
    inputs = {spec.name: _take(arrays, INPUT_PREFIX, spec, path) for spec in contract.inputs}
    outputs = {
        spec.name: _take(arrays, OUTPUT_PREFIX, spec, path)
        for spec in contract.outputs
        if spec.name != VERSION
    }
    if len({len(value) for value in (*inputs.values(), *outputs.values())} - {0}) != 1:
        raise ValueError(
            f"{path}: expected as many rows, at least one, in every tensor; train again"
        )
    return GoldenRows(inputs, outputs)


def _plain(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return value.astype(np.str_) if value.dtype.kind == "O" else value


def _take(arrays: Tensors, prefix: str, spec: TensorSpec, path: Path) -> npt.NDArray[Any]:
    value = arrays.get(prefix + spec.name)
    got = None if value is None else f"{value.dtype} {value.shape}"
    if (
        value is None
        or value.dtype.kind != _NUMPY_KIND[spec.dtype]
        or value.shape[1:] != spec.shape
    ):
        raise ValueError(
            f"{path}: expected {prefix + spec.name!r} as {spec.dtype} (B, {spec.shape}), got "
            f"{got}; train again"
        )
    return value
