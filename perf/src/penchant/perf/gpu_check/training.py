"""Section: samples a second of fits, on the GPU and on the CPU, each beside a plain loop.

The share of the ceiling is operations of products a second over the rate that the card was measured
to reach in the fit's precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from penchant.perf.gpu_check.environment import read_ceilings
from penchant.perf.gpu_check.processes import run_training
from penchant.perf.gpu_check.rows import read_rows
from penchant.perf.gpu_check.sections import Row
from penchant.perf.gpu_check.settings import Settings

PRECISIONS: Final = {"32-true": "fp32", "bf16-mixed": "bf16", "16-mixed": "fp16"}
"""Of a rate, by what Lightning calls it."""


def rows(settings: Settings) -> Iterator[Row]:
    """The GPU first, so that a time limit leaves out the CPU."""
    measured: list[Row] = []
    for device in dict.fromkeys((settings.device, "cpu")):
        arguments = [f"--device={device}", f"--small={str(settings.is_dry).lower()}"]
        for found in run_training("penchant.training.benchmarks.fit_speed", arguments):
            if "samples_per_s" in found:
                measured.append(found)
                if device == settings.device:
                    found["share_of_ceiling"] = _share(found, settings)
            yield found
    for kind in ("propensity", "journey"):
        yield _ratios(kind, [row for row in measured if row["kind"] == kind], settings)


def _share(found: Row, settings: Settings) -> float:
    ceilings = read_ceilings(read_rows(settings, "environment"))
    done = found["samples_per_s"] * found["flops_per_sample"]
    return float(done / ceilings.flops_per_s[PRECISIONS[found["precision"]]])


def _ratios(kind: str, measured: list[Row], settings: Settings) -> Row:
    """The fastest of ours over the plain loop on the same device, and over ours on the CPU."""

    def fastest(loop: str, device: str) -> float:
        speeds = [
            row["samples_per_s"]
            for row in measured
            if (row["loop"], row["device"]) == (loop, device)
        ]
        return float(max(speeds))

    ours = fastest("ours", settings.device)
    ratios: Row = {"kind": kind, "ours over plain": ours / fastest("plain", settings.device)}
    if not settings.is_dry:
        ratios["GPU over CPU"] = ours / fastest("ours", "cpu")
    return ratios
