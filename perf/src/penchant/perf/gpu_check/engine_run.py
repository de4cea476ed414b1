"""A TensorRT engine over tensors of PyTorch, on PyTorch's own stream: to be timed and captured.

`serving.engines.session` checks an engine with NumPy arrays and copies; here nothing is copied.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from penchant.perf.gpu_check.runners import Tensors
from penchant.perf.gpu_check.timing import Run
from penchant.serving.engines.library import EngineLibrary
from penchant.serving.engines.logger import BuildLog
from penchant.serving.engines.plan import Plan


class EngineRunner:
    """One execution context of a plan."""

    def __init__(self, plan: Plan, library: EngineLibrary) -> None:
        """Load the plan onto the GPU.

        Raises:
            ValueError: If the library refuses it; with its words.
        """
        self._log = BuildLog(library)
        self._module, self._profiles = library.module, plan.record.profiles
        runtime = library.module.Runtime(self._log.logger)
        self._engine = runtime.deserialize_cuda_engine(plan.content)
        if self._engine is None:
            raise ValueError(self._failed("a plan that loads"))
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise ValueError(self._failed("room for its tensors on the GPU"))

    @property
    def takes_graphs(self) -> bool:
        """It runs on whatever stream is current."""
        return True

    def prepare(self, inputs: Tensors) -> tuple[Run, Tensors]:
        """Set shapes and addresses once.

        Raises:
            ValueError: If no profile takes the batch.
        """
        rows = len(next(iter(inputs.values())))
        fitting = [n for n, each in enumerate(self._profiles) if rows <= each.max_rows]
        if not fitting:
            raise ValueError(f"batch: expected at most {self._profiles[-1].max_rows}, got {rows}")
        stream = torch.cuda.current_stream()
        self._context.set_optimization_profile_async(fitting[0], stream.cuda_stream)
        stream.synchronize()
        for name, tensor in inputs.items():
            self._context.set_input_shape(name, tuple(tensor.shape))
            self._context.set_tensor_address(name, tensor.data_ptr())
        kept = {name: self._place(name) for name in self._outputs()}

        def run(_: Tensors = inputs) -> None:  # holds them: the context knows addresses alone
            if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
                raise ValueError(self._failed("an engine that runs"))

        return run, kept

    def _place(self, name: str) -> torch.Tensor:
        kind = self._module.nptype(self._engine.get_tensor_dtype(name))
        dtype = torch.from_numpy(np.empty(0, kind)).dtype
        shape = tuple(self._context.get_tensor_shape(name))
        place = torch.empty(shape, dtype=dtype, device="cuda")
        self._context.set_tensor_address(name, place.data_ptr())
        return place

    def _outputs(self) -> list[str]:
        names: list[Any] = [
            self._engine.get_tensor_name(n) for n in range(self._engine.num_io_tensors)
        ]
        mode = self._module.TensorIOMode.OUTPUT
        return [name for name in names if self._engine.get_tensor_mode(name) == mode]

    def _failed(self, expected: str) -> str:
        said = "; ".join(self._log.errors) or "none, without a reason"
        return f"engine: expected {expected}, got: {said}"
