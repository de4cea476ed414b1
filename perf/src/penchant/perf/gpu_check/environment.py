"""Section: the card, the versions, and what the card does at best.

Bandwidth is that of a large copy within the card's memory, bytes read and bytes written; rates are
those of one large product of random square matrices through PyTorch.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from typing import Final

import torch

from penchant.perf.gpu_check.runners import products
from penchant.perf.gpu_check.sections import Row
from penchant.perf.gpu_check.settings import Settings
from penchant.perf.gpu_check.timing import timed
from penchant.perf.gpu_check.work import Ceilings
from penchant.serving.engines.device import this_device
from penchant.serving.engines.precision import Precision

PACKAGES: Final = (
    "torch",
    "pytorch-lightning",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "triton",
    "numpy",
)
COPY_BYTES: Final = 1 << 30
SIDE: Final = 8_192
"""Rows and columns of the matrices."""
KINDS: Final[dict[Precision, torch.dtype]] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
BANDWIDTH: Final = "copy, bytes/s"
RATE: Final = "product, operations/s"


def rows(settings: Settings) -> Iterator[Row]:
    """What is here, then the ceilings."""
    yield from facts(settings)
    yield {"what": BANDWIDTH, "value": _bandwidth(settings)}
    for precision, kind in KINDS.items():
        yield {"what": f"{RATE}, {precision}", "value": _rate(precision, kind, settings)}


def facts(settings: Settings) -> Iterator[Row]:
    """Names and versions."""
    device = this_device()
    yield {"what": "card", "value": device.name if device else "none"}
    if device:
        yield {"what": "compute capability", "value": device.compute_capability}
        yield {"what": "driver", "value": device.driver}
        yield {"what": "memory, bytes", "value": device.memory_bytes}
    yield {"what": "measured on", "value": settings.device}
    yield {"what": "CUDA of torch", "value": torch.version.cuda or "none"}
    yield {"what": "cores", "value": len(os.sched_getaffinity(0))}
    yield {"what": "system", "value": f"{platform.system()} {platform.release()}"}
    yield {"what": "python", "value": platform.python_version()}
    for name in PACKAGES:
        yield {"what": name, "value": _version(name)}


def read_ceilings(found: list[Row]) -> Ceilings:
    """What the section measured.

    Raises:
        KeyError: If it did not come that far.
    """
    values = {row["what"]: row["value"] for row in found}
    rates = {str(name): float(values[f"{RATE}, {name}"]) for name in KINDS}
    return Ceilings(bytes_per_s=float(values[BANDWIDTH]), flops_per_s=rates)


def _bandwidth(settings: Settings) -> float:
    size = 1 << 20 if settings.is_dry else COPY_BYTES
    source = torch.empty(size, dtype=torch.uint8, device=settings.device).random_()
    target = torch.empty_like(source)
    copied = timed(
        lambda: target.copy_(source), device=settings.device, measure_s=settings.measure_s
    )
    return 2 * size / copied.p50_us * 1e6


def _rate(precision: Precision, kind: torch.dtype, settings: Settings) -> float:
    side = 256 if settings.is_dry else SIDE
    left, right = (torch.randn(side, side, device=settings.device).to(kind) for _ in range(2))
    out = torch.empty(side, side, dtype=kind, device=settings.device)
    with products(precision):
        taken = timed(
            lambda: torch.mm(left, right, out=out),
            device=settings.device,
            measure_s=settings.measure_s,
        )
    return 2 * side**3 / taken.p50_us * 1e6


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
