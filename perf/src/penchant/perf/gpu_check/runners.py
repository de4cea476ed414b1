"""What can run a net on the device: PyTorch and ONNX Runtime; TensorRT is in engine_run.py.

All take and give tensors of PyTorch that lie on the device, so that all are timed in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from penchant.perf.gpu_check.timing import Run
from penchant.serving.engines.precision import Precision, convert, has_tf32

CUDA_PROVIDER: Final = "CUDAExecutionProvider"
CPU_PROVIDER: Final = "CPUExecutionProvider"
HALF: Final[Mapping[str, torch.dtype]] = {"fp16": torch.float16, "bf16": torch.bfloat16}
NUMBER_TYPES: Final[Mapping[str, torch.dtype]] = {
    "tensor(float)": torch.float32,
    "tensor(int32)": torch.int32,
    "tensor(int64)": torch.int64,
}

Tensors = dict[str, Tensor]


class Runner(Protocol):
    """A net in one precision, ready to be run."""

    @property
    def takes_graphs(self) -> bool:
        """Whether PyTorch can capture its run as a CUDA graph."""
        ...

    def prepare(self, inputs: Tensors) -> tuple[Run, Tensors]:
        """A run over inputs (B, …) that stay where they are, and where its outputs will be.

        The outputs hold answers after the first run.
        """
        ...


class TorchRunner:
    """The net as torch.export saved it, run by PyTorch as it is or compiled."""

    def __init__(
        self,
        net: Path,
        model: onnx.ModelProto,
        precision: Precision,
        *,
        device: str,
        compiled: bool,
    ) -> None:
        """Load the net onto the device.

        Args:
            net: net.pt2.
            model: The same net's net.onnx, for the names of its tensors.
            precision: Mixed precision is torch.autocast's.
            device: cpu or cuda.
            compiled: Whether torch.compile makes kernels of it.
        """
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(torch.export.load(net), device)
        self._net: Any = _without_checks(program.module())
        if compiled:
            self._net = torch.compile(self._net, dynamic=True)
        self._names = [value.name for value in model.graph.input]
        self._outputs = [value.name for value in model.graph.output]
        self._precision, self._device = precision, device

    @property
    def takes_graphs(self) -> bool:
        """PyTorch captures its own runs."""
        return self._device == "cuda"

    def prepare(self, inputs: Tensors) -> tuple[Run, Tensors]:
        """Outputs are copied to where they stay."""
        given = [inputs[name] for name in self._names]
        kept: Tensors = {}

        def run() -> None:
            with torch.inference_mode(), self._mixed(), products(self._precision):
                answers = self._net(*given)
            for name, answer in zip(self._outputs, answers, strict=True):
                kept[name] = answer

        return run, kept

    def _mixed(self) -> AbstractContextManager[Any]:
        kind = HALF.get(self._precision)
        return nullcontext() if kind is None else torch.autocast(self._device, dtype=kind)


def _without_checks(net: Any) -> Any:
    """The net without its own checks of types and devices, which mixed precision changes."""
    for node in list(net.graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            net.graph.erase_node(node)
    net.recompile()
    return net


class products:  # noqa: N801 (used as a function)
    """Let PyTorch's products of FP32 matrices use TF32, or not, for as long as it lasts."""

    def __init__(self, precision: Precision) -> None:
        self._allowed = has_tf32(precision)

    def __enter__(self) -> None:
        self._before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = self._allowed

    def __exit__(self, *_: object) -> None:
        torch.backends.cuda.matmul.allow_tf32 = self._before


class OnnxRunner:
    """net.onnx in ONNX Runtime, on its CUDA provider or on the CPU."""

    def __init__(
        self, model: onnx.ModelProto, precision: Precision, *, device: str, path: Path | None = None
    ) -> None:
        """Load the graph.

        Args:
            model: net.onnx.
            precision: Written into the graph as for engines.
            device: cpu or cuda.
            path: A file to pass the graph through, where it is larger than a message can be.

        Raises:
            ValueError: If ONNX Runtime does not take the device.
        """
        graph = convert(model, precision)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        providers: list[Any] = [CPU_PROVIDER]
        if device == "cuda":
            choice = {"use_tf32": int(has_tf32(precision))}
            providers = [(CUDA_PROVIDER, choice), CPU_PROVIDER]
        source: Any = graph.SerializeToString() if path is None else str(path)
        if path is not None:
            onnx.save(graph, path)
        self._session = onnxruntime.InferenceSession(source, options, providers=providers)
        if device == "cuda" and CUDA_PROVIDER not in self._session.get_providers():
            raise ValueError(
                f"onnxruntime {onnxruntime.__version__}: expected {CUDA_PROVIDER}, got "
                f"{', '.join(self._session.get_providers())}; install onnxruntime-gpu"
            )
        self._device = device

    @property
    def takes_graphs(self) -> bool:
        """It captures runs itself, in another way."""
        return False

    def prepare(self, inputs: Tensors) -> tuple[Run, Tensors]:
        """Bind inputs and outputs where they lie."""
        binding = self._session.io_binding()
        rows = len(next(iter(inputs.values())))
        for spec in self._session.get_inputs():
            self._bind(binding.bind_input, spec.name, inputs[spec.name])
        kept = {}
        for spec in self._session.get_outputs():
            shape = [rows, *spec.shape[1:]]
            kept[spec.name] = torch.empty(shape, dtype=NUMBER_TYPES[spec.type], device=self._device)
            self._bind(binding.bind_output, spec.name, kept[spec.name])

        def run(_: Tensors = inputs) -> None:  # holds them: a binding knows addresses alone
            self._session.run_with_iobinding(binding)

        return run, kept

    def _bind(self, bind: Any, name: str, tensor: Tensor) -> None:
        kind = np.dtype(str(tensor.dtype).removeprefix("torch."))
        bind(name, self._device, 0, kind, tuple(tensor.shape), tensor.data_ptr())
