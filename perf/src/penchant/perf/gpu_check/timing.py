"""How long one run takes: by CUDA events on a GPU, else by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

WARM_RUNS: Final = 5
LEAST_RUNS: Final = 20
MOST_RUNS: Final = 2_000
"""Events of more runs in flight would cost memory."""

Run = Callable[[], object]
"""One run with inputs and outputs that stay where they are; on a GPU it is only begun."""


@dataclass(frozen=True)
class Timed:
    """Times of many runs, one after another."""

    p50_us: float
    """Median, in microseconds."""
    p99_us: float
    """99th percentile; the longest of less than a hundred."""
    runs: int
    """How many."""


def timed(run: Run, *, device: str, measure_s: float) -> Timed:
    """Time runs for about so long, after some that warm up.

    On a GPU each run stands between two events of a stream, so that what is timed is the GPU's
    work and the gaps that a slow caller leaves between its kernels, not the caller itself. The
    stream is not the default one, on which TensorRT waits for the GPU in every run.
    """
    if device != "cuda":
        return _timed(run, device, measure_s)
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        found = _timed(run, device, measure_s)
    torch.cuda.current_stream().wait_stream(side)
    return found


def _timed(run: Run, device: str, measure_s: float) -> Timed:
    for _ in range(WARM_RUNS):
        run()
    started = time.perf_counter()
    run()
    _wait(device)
    once_s = max(time.perf_counter() - started, 1e-6)
    count = int(np.clip(measure_s / once_s, LEAST_RUNS, MOST_RUNS))
    times_us = _by_events(run, count) if device == "cuda" else _by_clock(run, count)
    p50_us, p99_us = np.percentile(times_us, [50, 99], method="higher")
    return Timed(float(p50_us), float(p99_us), count)


def _by_events(run: Run, count: int) -> list[float]:
    events = [(_event(), _event()) for _ in range(count)]
    for before, after in events:
        before.record()
        run()
        after.record()
    torch.cuda.synchronize()
    return [before.elapsed_time(after) * 1000 for before, after in events]


def _by_clock(run: Run, count: int) -> list[float]:
    times = []
    for _ in range(count):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) * 1e6)
    return times


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def captured(run: Run) -> Run:
    """The run as a CUDA graph: one launch, whatever it holds."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay
