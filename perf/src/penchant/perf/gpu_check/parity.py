"""Section: PyTorch, ONNX Runtime and the engine on golden rows and on odd ones, of both kinds.

The reference is PyTorch on the CPU in FP32. Numbers are compared by their largest difference, and
ranked codes by how many of the reference's best ten are among the best ten.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from penchant.perf.gpu_check.cases import SmallModel, small_models, with_odd_rows
from penchant.perf.gpu_check.choose import in_a_line, make_runner
from penchant.perf.gpu_check.nets import on_device
from penchant.perf.gpu_check.runners import OnnxRunner, Runner, TorchRunner
from penchant.perf.gpu_check.runtimes import runtime_of
from penchant.perf.gpu_check.sections import Row
from penchant.perf.gpu_check.settings import Settings
from penchant.serving.engines.agreement import TOLERANCE, TOP
from penchant.serving.engines.precision import PRECISIONS, Precision
from penchant.serving.golden import Tensors


def rows(settings: Settings) -> Iterator[Row]:
    """How near each comes, an output a row."""
    engine = runtime_of(settings)
    for model in small_models(settings):
        inputs = model.encoded(with_odd_rows(model.package.golden().inputs))
        reference = TorchRunner(
            model.net.traced, model.net.model, "fp32", device="cpu", compiled=False
        )
        expected = answers(reference, inputs, "cpu")
        on_cpu = OnnxRunner(model.net.model, "fp32", device="cpu")
        found = answers(on_cpu, inputs, "cpu")
        yield from _compared(model, "onnxruntime on the CPU", "fp32", found, expected)
        for precision in PRECISIONS:
            try:
                count = len(next(iter(inputs.values())))
                runner = make_runner(engine, model.net, precision, count, settings, compiled=False)
                found = answers(runner, inputs, settings.device)
            except Exception as error:  # A precision that the runtime does not take.
                head = {"model": model.kind, "by": engine, "precision": precision}
                yield head | {"not run": in_a_line(error)}
                continue
            yield from _compared(model, engine, precision, found, expected)


def answers(runner: Runner, inputs: Tensors, device: str) -> Tensors:
    """All outputs (B, …) for inputs (B, …), as arrays."""
    run, kept = runner.prepare(on_device(inputs, device))
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return {name: value.float().cpu().numpy() for name, value in kept.items()}


def overlap(wanted: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> float:
    """Mean share of the best ten codes (B, K) that are among the other's best ten."""
    pairs = zip(wanted[:, :TOP].tolist(), found[:, :TOP].tolist(), strict=True)
    return float(np.mean([len(set(one) & set(other)) / len(set(one)) for one, other in pairs]))


def _compared(
    model: SmallModel, runtime: str, precision: Precision, found: Tensors, expected: Tensors
) -> Iterator[Row]:
    tolerance = TOLERANCE[precision]
    codes = {v.name for v in model.net.model.graph.output if v.type.tensor_type.elem_type != 1}
    for name, wanted in expected.items():
        row: Row = {"model": model.kind, "by": runtime, "precision": precision, "output": name}
        got = found[name]
        if name in codes:
            row["overlap"] = overlap(wanted, got)
            row["agrees"] = row["overlap"] >= 0.99
        else:
            difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
            row["difference"] = float(difference.max())
            row["agrees"] = bool((difference <= tolerance.around(wanted)).all())
        yield row
