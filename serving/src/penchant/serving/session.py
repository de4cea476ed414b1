"""The fused graph in this process: the same answers as the endpoint, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from penchant.serving.golden import Tensors


class GraphSession:
    """ONNX Runtime over one graph, with the settings of the served model."""

    def __init__(self, graph: onnx.ModelProto | Path, *, intra_op_threads: int = 1) -> None:
        """Load the graph.

        Args:
            graph: a fused graph, or its file.
            intra_op_threads: threads of one run.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = intra_op_threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        source = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
        self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    @property
    def outputs(self) -> list[str]:
        """Names of all outputs."""
        return [output.name for output in self._session.get_outputs()]

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> Tensors:
        """Compute outputs (B, …), all or those named, for raw inputs (B, …); text is ``str``."""
        names = list(outputs or self.outputs)
        feed = {
            name: value.astype(object) if value.dtype.kind == "U" else value
            for name, value in inputs.items()
        }
        results = self._session.run(names, feed)
        return dict(zip(names, (np.asarray(result) for result in results), strict=True))
