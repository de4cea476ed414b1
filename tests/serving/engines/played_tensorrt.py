"""What of TensorRT's Python API the engines use, for a GPU that is not here.

A played engine is an ONNX graph that ONNX Runtime runs on this CPU, in memory that the played
driver gave, so that building, checking and refitting can be followed with real numbers.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from penchant.serving.engines.library import EngineLibrary

VERSION = "10.14.1.48"


class PlayedTensorRT:
    """The module. Attributes say how it fails; `engines` counts what was built and refitted."""

    __version__ = VERSION

    def __init__(self) -> None:
        self.built_in: set[str] = set()
        """Weights that a refit cannot change."""
        self.missing: list[str] = []
        """Weights that a refit does not find."""
        self.refit_error = 0.0
        """What a refit adds to each weight by mistake."""
        self.num_built = self.num_refitted = 0
        severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)
        self.ILogger = type("ILogger", (), {"Severity": severity})
        self.BuilderFlag = SimpleNamespace(TF32="TF32", REFIT="REFIT")
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.SerializationFlag = SimpleNamespace(INCLUDE_REFIT="INCLUDE_REFIT")
        self.TensorIOMode = SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT")

    @property
    def library(self) -> EngineLibrary:
        """As :func:`find_engine_library` gives TensorRT."""
        return EngineLibrary(self, "tensorrt", VERSION)

    def Builder(self, logger: Any) -> Any:  # noqa: N802
        return _Builder(self)

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802
        return SimpleNamespace(parse=network.parse)

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        def load(content: bytes) -> Any:
            if not content.startswith(_MAGIC):
                logger.log(1, "magic tag does not match")
                return None
            return _Engine(onnx.load_from_string(content.removeprefix(_MAGIC)))

        return SimpleNamespace(deserialize_cuda_engine=load)

    def Refitter(self, engine: Any, logger: Any) -> Any:  # noqa: N802
        return SimpleNamespace(
            engine=engine,
            get_all_weights=lambda: [
                t.name for t in engine.model.graph.initializer if t.name not in self.built_in
            ],
            get_missing_weights=lambda: self.missing,
            refit_cuda_engine=lambda: True,
        )

    def OnnxParserRefitter(self, refitter: Any, logger: Any) -> Any:  # noqa: N802
        def refit(content: bytes) -> bool:
            refitter.engine.model = onnx.load_from_string(content)
            for tensor in refitter.engine.model.graph.initializer:
                value = onnx.numpy_helper.to_array(tensor)
                if value.dtype.kind == "f" and value.ndim > 1:
                    wrong = (value + self.refit_error).astype(value.dtype)
                    tensor.CopyFrom(onnx.numpy_helper.from_array(wrong, tensor.name))
            self.num_refitted += 1
            return True

        return SimpleNamespace(refit_from_bytes=refit, num_errors=0)

    def nptype(self, dtype: int) -> Any:
        return helper.tensor_dtype_to_np_dtype(dtype)


_MAGIC = b"plan:"


class _Builder:
    def __init__(self, module: PlayedTensorRT) -> None:
        self.module = module

    def create_network(self, flags: int) -> Any:
        assert flags == 1 << self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return _Network()

    def create_builder_config(self) -> Any:
        flags: set[str] = set()
        timings = SimpleNamespace(serialize=lambda: b"timings")
        return SimpleNamespace(
            flags=flags,
            set_flag=flags.add,
            clear_flag=flags.discard,
            add_optimization_profile=lambda profile: None,
            create_timing_cache=lambda content: timings,
            set_timing_cache=lambda cache, ignore: True,
            get_timing_cache=lambda: timings,
        )

    def create_optimization_profile(self) -> Any:
        return SimpleNamespace(set_shape=lambda *shapes: None)

    def build_serialized_network(self, network: Any, config: Any) -> bytes:
        self.module.num_built += 1
        self.flags = config.flags
        return _MAGIC + bytes(network.model.SerializeToString())


class _Network:
    num_layers = 0

    def parse(self, content: bytes) -> bool:
        self.model = onnx.load_from_string(content)
        return True

    @property
    def num_inputs(self) -> int:
        return len(self.model.graph.input)

    def get_input(self, place: int) -> Any:
        value = self.model.graph.input[place]
        return SimpleNamespace(name=value.name, shape=(-1, *_row(value)))


class _Engine:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model

    @property
    def _values(self) -> list[onnx.ValueInfoProto]:
        return [*self.model.graph.input, *self.model.graph.output]

    @property
    def num_io_tensors(self) -> int:
        return len(self._values)

    def get_tensor_name(self, place: int) -> str:
        return self._values[place].name

    def get_tensor_mode(self, name: str) -> str:
        return "INPUT" if name in {v.name for v in self.model.graph.input} else "OUTPUT"

    def get_tensor_dtype(self, name: str) -> int:
        return self.value(name).type.tensor_type.elem_type

    def value(self, name: str) -> onnx.ValueInfoProto:
        return next(value for value in self._values if value.name == name)

    def create_execution_context(self) -> Any:
        return _Context(self)

    def create_serialization_config(self) -> Any:
        return SimpleNamespace(set_flag=lambda flag: None)

    def serialize_with_config(self, config: Any) -> bytes:
        return _MAGIC + bytes(self.model.SerializeToString())


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.shape: dict[str, tuple[int, ...]] = {}
        self.address: dict[str, int] = {}
        self.set_tensor_address = self.address.__setitem__
        self.set_input_shape = self.shape.__setitem__
        self.session = onnxruntime.InferenceSession(
            engine.model.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self.profile = index
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        (rows,) = {shape[0] for shape in self.shape.values()}
        return self.shape.get(name) or (rows, *_row(self.engine.value(name)))

    def execute_async_v3(self, stream: int) -> bool:
        names = [output.name for output in self.session.get_outputs()]
        inputs = {i.name: self._array(i.name).copy() for i in self.session.get_inputs()}
        for name, value in zip(names, self.session.run(names, inputs), strict=True):
            self._array(name)[...] = value
        return True

    def _array(self, name: str) -> Any:
        shape = self.get_tensor_shape(name)
        kind = np.dtype(helper.tensor_dtype_to_np_dtype(self.engine.get_tensor_dtype(name)))
        count = int(np.prod(shape)) * kind.itemsize
        memory = (ctypes.c_char * count).from_address(self.address[name])
        return np.frombuffer(memoryview(memory), kind).reshape(shape)


def _row(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])
