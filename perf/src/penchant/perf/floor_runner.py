"""The floor: what Triton's Python backend runs in place of a model, published as ``model.py``.

It takes the same tensors as the model and answers zeros and empty texts of the same shapes, so that
its latency is what the wire, the server and the backend cost on this machine without any model.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # Triton's own


class TritonPythonModel:
    """An empty model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read names, types and shapes of the tensors."""
        config = json.loads(args["model_config"])
        self.first_input = config["input"][0]["name"]
        self.outputs = [
            (
                output["name"],
                pb_utils.triton_string_to_numpy(output["data_type"]),
                [int(size) for size in output["dims"]],
            )
            for output in config["output"]
        ]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Nothing but zeros and empty texts for every row of every request."""
        return [self._zeros(request) for request in requests]

    def _zeros(self, request: Any) -> Any:
        rows = pb_utils.get_input_tensor_by_name(request, self.first_input).shape()[0]
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, np.full([rows, *shape], _nothing(dtype), dtype))
                for name, dtype, shape in self.outputs
            ]
        )


def _nothing(dtype: Any) -> int | bytes:
    return b"" if dtype is np.object_ else 0
