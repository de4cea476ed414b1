"""Golden rows as perf_analyzer reads them.

One step of the file is one row; for a batch of b rows perf_analyzer joins b consecutive steps, and
goes on from there in the next request, so that every batch holds real and different rows.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from penchant.clients.wire_contract import WireContract
from penchant.serving.golden import wire_bytes


def write_input_data(
    path: Path, contract: WireContract, inputs: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Write ``--input-data`` JSON.

    Values travel as base64 of their bytes on the wire, which keeps NaN, empty text and any script.

    Args:
        path: the file to write.
        contract: names and types of the tensors.
        inputs: by tensor name, (B, …); text as ``<U`` or objects.
    """
    num_rows = len(next(iter(inputs.values())))
    steps = [
        {
            spec.name: {"content": {"b64": _b64(inputs[spec.name][row], spec.dtype)}}
            for spec in contract.inputs
        }
        for row in range(num_rows)
    ]
    path.write_text(json.dumps({"data": steps}), encoding="ascii")


def _b64(value: npt.NDArray[Any], dtype: str) -> str:
    return base64.b64encode(wire_bytes(value, dtype)).decode("ascii")
