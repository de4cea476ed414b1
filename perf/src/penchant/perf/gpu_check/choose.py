"""Which runtime stands for the engine on this card, and what those before it in line say.

TensorRT is what serves. Where it is not installed, TensorRT-RTX is tried, though some cards are not
among those that its engines are made for; else ONNX Runtime's CUDA provider; else PyTorch with
torch.compile, as the stand-in that is always there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import torch

from penchant.clients.journey_contract import JourneyContract
from penchant.clients.wire_contract import WireContract
from penchant.perf.gpu_check.engine_run import EngineRunner
from penchant.perf.gpu_check.nets import Net
from penchant.perf.gpu_check.runners import OnnxRunner, Runner, Tensors, TorchRunner
from penchant.perf.gpu_check.settings import Settings
from penchant.serving.engines.builder import build_engine
from penchant.serving.engines.library import (
    TENSORRT,
    TENSORRT_RTX,
    EngineLibrary,
    LibraryName,
    import_engine_library,
)
from penchant.serving.engines.precision import Precision

RuntimeName = Literal["tensorrt", "tensorrt_rtx", "onnxruntime", "torch"]
ONNX_RUNTIME: Final = "onnxruntime"
TORCH: Final = "torch"
LINE: Final[tuple[RuntimeName, ...]] = (TENSORRT, TENSORRT_RTX, ONNX_RUNTIME, TORCH)
MOST_WORDS: Final = 400
"""Characters of an error that a report keeps."""
LARGEST_GRAPH_BYTES: Final = 1 << 30
"""Above it a graph goes to ONNX Runtime by a file: messages hold at most 2 GiB."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of trying one runtime."""

    runtime: RuntimeName
    """Which."""
    works: bool
    """Whether it answered a small batch."""
    said: str
    """Version where it works, else why it does not."""


def try_all(net: Net, inputs: Tensors, settings: Settings) -> Iterator[Attempt]:
    """Try every runtime on a batch of one net, so that the report has what each says."""
    for name in LINE:
        yield _try(name, net, inputs, settings)


def chosen(attempts: list[Attempt]) -> RuntimeName:
    """The first that works."""
    working = [attempt.runtime for attempt in attempts if attempt.works]
    return working[0] if working else TORCH


def make_runner(
    runtime: RuntimeName,
    net: Net,
    precision: Precision,
    rows: int,
    settings: Settings,
    *,
    compiled: bool = True,
) -> Runner:
    """A net in a runtime.

    Args:
        runtime: Which.
        net: What it runs.
        precision: What products are computed in.
        rows: Most rows of a batch.
        settings: Device and folder.
        compiled: Whether PyTorch compiles it, which takes longer than a few answers.

    Raises:
        ValueError: If the runtime does not take the net, or is not there.
        RuntimeError: The same, as PyTorch and ONNX Runtime say it.
    """
    if runtime == ONNX_RUNTIME:
        is_large = sum(len(each.raw_data) for each in net.model.graph.initializer)
        path = settings.folder / "large.onnx" if is_large > LARGEST_GRAPH_BYTES else None
        return OnnxRunner(net.model, precision, device=settings.device, path=path)
    if runtime == TORCH:
        return TorchRunner(
            net.traced,
            net.model,
            precision,
            device=settings.device,
            compiled=compiled and not settings.is_dry,
        )
    library = _library(TENSORRT if runtime == TENSORRT else TENSORRT_RTX)
    plan = build_engine(
        net.graph,
        contract=for_batches(rows),
        precision=precision,
        library=library,
        timing_cache=settings.folder / "timings",
    )
    if settings.is_dry:
        raise ValueError(
            f"{library.name} {library.version} builds an engine of {len(plan.content):,} bytes, "
            "which runs on a GPU only"
        )
    return EngineRunner(plan, library)


def in_a_line(error: Exception) -> str:
    """What an error says, cut to what a table holds."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}"[:MOST_WORDS]


def for_batches(rows: int) -> WireContract:
    """A contract of which an engine's builder takes the batches, and nothing else."""
    return JourneyContract(
        model="net", actions=("view",), length=1, num_items=1, embedding_size=1, max_batch_size=rows
    )


def _library(name: LibraryName) -> EngineLibrary:
    library = import_engine_library(name)
    if library is None:
        raise ValueError(f"{name} is not installed")
    return library


def _try(name: RuntimeName, net: Net, inputs: Tensors, settings: Settings) -> Attempt:
    try:
        count = len(next(iter(inputs.values())))
        run, _ = make_runner(name, net, "fp32", count, settings).prepare(inputs)
        run()
        if not settings.is_dry:
            torch.cuda.synchronize()
    except Exception as error:  # Whatever a runtime does on a card that it was not made for.
        return Attempt(runtime=name, works=False, said=in_a_line(error))
    return Attempt(runtime=name, works=True, said=_VERSIONS[name]())


_VERSIONS: Final[dict[RuntimeName, Callable[[], str]]] = {
    TENSORRT: lambda: _library(TENSORRT).version,
    TENSORRT_RTX: lambda: _library(TENSORRT_RTX).version,
    ONNX_RUNTIME: lambda: __import__("onnxruntime").__version__,
    TORCH: lambda: torch.__version__,
}
