"""What Triton's Python backend runs: published as ``model.py`` beside the graphs.

It imports nothing of penchant, so that a model repository stands on its own. Nothing that one
caller sends can fail another caller's request: requests are batched here, and answered one by one
where the batch fails. ``execute`` never raises: that would fail every request of the batch and leak
shared memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # Triton's own

THREADS_PARAMETER = "intra_op_threads"

Tensors = dict[str, npt.NDArray[Any]]


class TritonPythonModel:
    """One instance of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graphs of the version that Triton loads."""
        config = json.loads(args["model_config"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"][THREADS_PARAMETER]["string_value"])
        options.inter_op_num_threads = 1
        # A spinning thread would take the core that the server and other instances need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        folder = os.path.join(args["model_repository"], args["model_version"])
        self.inputs = [(tensor["name"], tensor["data_type"]) for tensor in config["input"]]
        # ONNX Runtime computes a whole graph: whoever asks for little is answered by the smallest
        # that has it.
        names = [name for name in os.listdir(folder) if name.endswith(".onnx")]
        graphs = [_Graph(os.path.join(folder, name), options) for name in sorted(names)]
        self.graphs = sorted(graphs, key=lambda graph: len(graph.outputs))
        # Triton's own warm-up asks for every output, so it does not reach a smaller graph.
        with np.load(os.path.join(folder, "golden.npz"), allow_pickle=False) as golden:
            row = {name: golden["in_" + name][:1] for name, _ in self.inputs}
        for graph in self.graphs:
            graph.run(sorted(graph.outputs), row)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request, in order; those that want the same outputs in one run."""
        responses: list[Any] = [None] * len(requests)
        groups: dict[tuple[str, ...], list[tuple[int, Tensors]]] = {}
        for index, request in enumerate(requests):
            try:
                outputs = tuple(sorted(request.requested_output_names()))
                groups.setdefault(outputs, []).append((index, self._read(request)))
            except ValueError as error:
                responses[index] = _refused(str(error), pb_utils.TritonError.INVALID_ARG)
            except Exception as error:
                responses[index] = _refused(str(error), pb_utils.TritonError.INTERNAL)
        for outputs, members in groups.items():
            self._answer(outputs, members, responses)
        return responses

    def _read(self, request: Any) -> Tensors:
        """The request's tensors (B, …), text decoded; Triton has checked names and shapes."""
        tensors: Tensors = {}
        for name, data_type in self.inputs:
            value = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            tensors[name] = _decoded(value) if data_type == "TYPE_STRING" else value
        counts = {name: len(value) for name, value in tensors.items()}
        if len(set(counts.values())) != 1 or 0 in counts.values():
            raise ValueError(
                f"rows: expected at least one, and as many in every input tensor, got {counts}; "
                "send no request when there are no rows"
            )
        return tensors

    def _answer(
        self, outputs: tuple[str, ...], members: list[tuple[int, Tensors]], responses: list[Any]
    ) -> None:
        """Fill in the responses of requests that want the same outputs."""
        try:
            results = self._run(outputs, [tensors for _, tensors in members])
        except Exception as error:
            if len(members) == 1:
                message = f"the model failed on this request: {error}"
                responses[members[0][0]] = _refused(message, pb_utils.TritonError.INTERNAL)
                return
            for member in members:
                self._answer(outputs, [member], responses)
            return
        start = 0
        for index, tensors in members:
            stop = start + len(next(iter(tensors.values())))
            responses[index] = pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, result[start:stop])
                    for name, result in zip(outputs, results, strict=True)
                ]
            )
            start = stop

    def _run(self, outputs: tuple[str, ...], batches: list[Tensors]) -> list[npt.NDArray[Any]]:
        if len(batches) == 1:
            feed = batches[0]
        else:
            feed = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        graph = next(graph for graph in self.graphs if graph.outputs.issuperset(outputs))
        return graph.run(outputs, feed)


class _Graph:
    """One ONNX Runtime session and the names of what it computes."""

    def __init__(self, path: str, options: ort.SessionOptions) -> None:
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.outputs = {output.name for output in self.session.get_outputs()}

    def run(self, outputs: Sequence[str], feed: Tensors) -> list[npt.NDArray[Any]]:
        results: list[npt.NDArray[Any]] = self.session.run(outputs, feed)
        return results


def _decoded(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Bytes to text; what is no UTF-8 becomes the replacement character, hence an unknown word."""
    texts = np.empty(value.size, dtype=np.object_)
    texts[:] = [item.decode("utf-8", "replace") for item in value.ravel().tolist()]
    return texts.reshape(value.shape)


def _refused(message: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
