"""A plan on this machine's GPU, to see what it answers. Triton serves; this checks.

Memory and copies go through the CUDA driver's own library, which is there wherever TensorRT runs,
so that no other CUDA package is needed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from penchant.serving.engines.device import load_driver
from penchant.serving.engines.library import EngineLibrary
from penchant.serving.engines.logger import BuildLog
from penchant.serving.engines.plan import Plan
from penchant.serving.golden import Tensors


class EngineSession:
    """One execution context. Use as a context manager; not for several threads at once."""

    def __init__(self, plan: Plan, library: EngineLibrary, *, cuda: Any = None) -> None:
        """Load the plan onto the GPU.

        Args:
            plan: what to run.
            library: what built it.
            cuda: the driver's library; by default the installed one.

        Raises:
            ValueError: if there is no GPU, or the library refuses the plan; with its words.
        """
        self.record, self._library, self._log = plan.record, library, BuildLog(library)
        with ExitStack() as stack:
            self._cuda = _Cuda(cuda)
            stack.enter_context(self._cuda.context())
            self._stream = stack.enter_context(self._cuda.stream())
            runtime = library.module.Runtime(self._log.logger)
            self._engine = runtime.deserialize_cuda_engine(plan.content)
            if self._engine is None:
                raise ValueError(self._failed("a plan that loads"))
            self._context = self._engine.create_execution_context()
            if self._context is None:
                raise ValueError(self._failed("room for its tensors on the GPU"))
            self._stack = stack.pop_all()

    def __enter__(self) -> EngineSession:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the GPU back."""
        self._context = self._engine = None
        self._stack.close()

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Tensors:
        """All outputs (B, …) for inputs (B, …), in batches that the plan takes.

        Raises:
            ValueError: if the engine fails.
        """
        rows = len(next(iter(inputs.values())))
        most = self.record.profiles[-1].max_rows
        parts = [
            self._run({name: value[start : start + most] for name, value in inputs.items()})
            for start in range(0, rows, most)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Tensors:
        rows = len(next(iter(inputs.values())))
        fitting = (n for n, each in enumerate(self.record.profiles) if rows <= each.max_rows)
        self._context.set_optimization_profile_async(next(fitting), self._stream)
        with ExitStack() as stack:
            for name, value in inputs.items():
                given = np.ascontiguousarray(value)
                self._context.set_input_shape(name, given.shape)
                address = stack.enter_context(self._cuda.buffer(given.nbytes))
                self._cuda.to_gpu(address, given)
                self._context.set_tensor_address(name, address)
            outputs = {}
            for name in self._outputs():
                value = np.empty(tuple(self._context.get_tensor_shape(name)), self._dtype(name))
                address = stack.enter_context(self._cuda.buffer(value.nbytes))
                self._context.set_tensor_address(name, address)
                outputs[name] = value, address
            if not self._context.execute_async_v3(self._stream):
                raise ValueError(self._failed("an engine that runs"))
            self._cuda.wait(self._stream)
            for value, address in outputs.values():
                self._cuda.from_gpu(value, address)
        return {name: value for name, (value, _) in outputs.items()}

    def _outputs(self) -> list[str]:
        names = [self._engine.get_tensor_name(n) for n in range(self._engine.num_io_tensors)]
        mode = self._library.module.TensorIOMode.OUTPUT
        return [name for name in names if self._engine.get_tensor_mode(name) == mode]

    def _dtype(self, name: str) -> Any:
        return self._library.module.nptype(self._engine.get_tensor_dtype(name))

    def _failed(self, expected: str) -> str:
        said = "; ".join(self._log.errors) or "none, without a reason"
        return f"plan {self.record.file_name}: expected {expected}, got: {said}"


class _Cuda:
    """What of the driver's library is needed, with its error codes as errors."""

    def __init__(self, library: Any) -> None:
        self._library = library or load_driver()
        if self._library is None:
            raise ValueError("a plan runs on a GPU: expected one, got no CUDA driver")
        self._call("cuInit", 0)

    @contextmanager
    def context(self) -> Iterator[None]:
        """The GPU's primary context, which TensorRT uses too, as the thread's current one."""
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        try:
            self._call("cuCtxSetCurrent", context)
            yield
        finally:
            self._call("cuDevicePrimaryCtxRelease_v2", device)

    @contextmanager
    def stream(self) -> Iterator[int]:
        """A stream's handle."""
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), 0)
        try:
            yield stream.value or 0
        finally:
            self._call("cuStreamDestroy_v2", stream)

    @contextmanager
    def buffer(self, num_bytes: int) -> Iterator[int]:
        """Address of memory on the GPU."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(num_bytes, 1)))
        try:
            yield address.value
        finally:
            self._call("cuMemFree_v2", address)

    def to_gpu(self, address: int, value: npt.NDArray[Any]) -> None:
        """Copy an array there."""
        source = value.ctypes.data_as(ctypes.c_void_p)
        self._call(
            "cuMemcpyHtoD_v2", ctypes.c_uint64(address), source, ctypes.c_size_t(value.nbytes)
        )

    def from_gpu(self, value: npt.NDArray[Any], address: int) -> None:
        """Fill an array from there."""
        target = value.ctypes.data_as(ctypes.c_void_p)
        self._call(
            "cuMemcpyDtoH_v2", target, ctypes.c_uint64(address), ctypes.c_size_t(value.nbytes)
        )

    def wait(self, stream: int) -> None:
        """Until all that the stream was given is done."""
        self._call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise ValueError(f"{name}: expected CUDA's code 0, got {code}; see `nvidia-smi`")
