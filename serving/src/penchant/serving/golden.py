"""Golden rows: real raw inputs with the PyTorch model's outputs.

They prove parity at publication, warm the served model up and are the canary's question.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tritonclient.utils import serialize_byte_tensor

from penchant.clients.contract import VERSION, TensorSpec
from penchant.clients.wire_contract import WireContract

INPUT_PREFIX: Final = "in_"
OUTPUT_PREFIX: Final = "out_"

Tensors = dict[str, npt.NDArray[Any]]

_NUMPY_TYPE: Final = {"FP32": "<f4", "INT32": "<i4", "INT64": "<i8"}
"""NumPy's name of each Triton data type, as on the wire; text is ``<U`` of any length."""


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


def wire_bytes(value: npt.NDArray[Any], dtype: str) -> bytes:
    """A tensor's bytes on the wire: little endian, or each text's length and its UTF-8.

    Args:
        value: of any shape; text as ``<U`` or objects.
        dtype: Triton data type.
    """
    if dtype == "BYTES":
        return bytes(serialize_byte_tensor(value.astype(np.object_)).item())
    return value.astype(_NUMPY_TYPE[dtype]).tobytes()


def write_golden(
    path: Path,
    inputs: Mapping[str, npt.NDArray[Any]],
    outputs: Mapping[str, npt.NDArray[Any]],
) -> None:
    """Write golden rows without pickle: text, also in object arrays, is stored as ``<U``."""
    path.write_bytes(golden_bytes(inputs, outputs))


def golden_bytes(
    inputs: Mapping[str, npt.NDArray[Any]], outputs: Mapping[str, npt.NDArray[Any]]
) -> bytes:
    """Content of the file that :func:`write_golden` writes."""
    arrays = {INPUT_PREFIX + name: plain(value) for name, value in inputs.items()}
    arrays |= {OUTPUT_PREFIX + name: plain(value) for name, value in outputs.items()}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_arrays(path: Path, what: str) -> Tensors:
    """The arrays of a file of a package, by name.

    Args:
        path: the file.
        what: what it holds, for the message.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive.items())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: expected {what} as plain arrays, got {error}; train again"
        ) from error


def read_golden(path: Path, contract: WireContract) -> GoldenRows:
    """Read golden rows and check them against the contract.

    Raises:
        ValueError: if the file is damaged, or a tensor is missing or has another type or shape.
    """
    arrays = read_arrays(path, "golden rows")
    inputs = {spec.name: take(arrays, INPUT_PREFIX, spec, path) for spec in contract.inputs}
    outputs = {
        spec.name: take(arrays, OUTPUT_PREFIX, spec, path)
        for spec in contract.outputs
        if spec.name != VERSION
    }
    if len({len(value) for value in (*inputs.values(), *outputs.values())} - {0}) != 1:
        raise ValueError(
            f"{path}: expected as many rows, at least one, in every tensor; train again"
        )
    return GoldenRows(inputs, outputs)


def plain(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array without objects: text as ``<U``."""
    return value.astype(np.str_) if value.dtype.kind == "O" else value


def take(arrays: Tensors, prefix: str, spec: TensorSpec, path: Path) -> npt.NDArray[Any]:
    """A tensor out of a file's arrays.

    Raises:
        ValueError: if it is missing or has another type or shape.
    """
    value = arrays.get(prefix + spec.name)
    got = None if value is None else f"{value.dtype} {value.shape}"
    if value is None or not _is_of_type(value, spec.dtype) or value.shape[1:] != spec.shape:
        raise ValueError(
            f"{path}: expected {prefix + spec.name!r} as {spec.dtype} (B, {spec.shape}), got "
            f"{got}; train again"
        )
    return value


def _is_of_type(value: npt.NDArray[Any], dtype: str) -> bool:
    if dtype == "BYTES":
        return value.dtype.kind == "U"
    return value.dtype == np.dtype(_NUMPY_TYPE[dtype])
