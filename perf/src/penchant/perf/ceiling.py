"""The ceiling: the same fused graph, in process, without server or wire.

Measured in a process of its own, with the thread settings of the served model, on the same golden
rows; throughput is the better of one caller that uses all threads and one single-threaded caller a
core. Run as ``python -m penchant.perf.ceiling`` it reads a request and writes the answer as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from penchant.serving.golden import INPUT_PREFIX, Tensors
from penchant.serving.session import GraphSession


@dataclass(frozen=True, kw_only=True)
class InProcess:
    """What ONNX Runtime alone does with batches of one size."""

    batch_size: int
    """Rows a batch."""
    p50_us: float
    """Median time of one batch with one caller, with the served model's threads."""
    p99_us: float
    """99th percentile of the same."""
    rows_per_s: float
    """Rows a second, of the better of the two ways to use the cores."""


def measure_ceiling(
    graph: Path,
    golden: Path,
    *,
    outputs: Sequence[str],
    batch_sizes: Sequence[int],
    threads: int,
    duration_s: float,
) -> list[InProcess]:
    """Measure a graph in a child process.

    Args:
        graph: the served ``model.onnx``.
        golden: the ``golden.npz`` beside it.
        outputs: the outputs to compute.
        batch_sizes: rows a batch, one measurement each.
        threads: ONNX Runtime threads of the served model.
        duration_s: how long each of the two ways is measured.

    Raises:
        ValueError: the child failed; the message holds what it said.
    """
    request = {
        "graph": str(graph),
        "golden": str(golden),
        "outputs": list(outputs),
        "batch_sizes": list(batch_sizes),
        "threads": threads,
        "duration_s": duration_s,
    }
    child = subprocess.run(
        [sys.executable, "-m", "penchant.perf.ceiling"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=60 + 4 * duration_s * len(batch_sizes),
        check=False,
    )
    if child.returncode != 0:
        raise ValueError(f"{graph}: could not be run in process: {child.stderr.strip()[-500:]}")
    return [InProcess(**answer) for answer in json.loads(child.stdout)]


def main() -> None:
    """The child's side of :func:`measure_ceiling`."""
    request = json.load(sys.stdin)
    with np.load(request["golden"], allow_pickle=False) as archive:
        inputs = {
            name.removeprefix(INPUT_PREFIX): archive[name]
            for name in archive.files
            if name.startswith(INPUT_PREFIX)
        }
    graph, outputs, duration_s = Path(request["graph"]), request["outputs"], request["duration_s"]
    wide = GraphSession(graph, intra_op_threads=request["threads"])
    narrow = GraphSession(graph)
    num_cores = len(os.sched_getaffinity(0))
    answers = []
    for batch_size in request["batch_sizes"]:
        feeds = _batches(inputs, batch_size)
        alone = _drive(partial(wide.run, outputs=outputs), feeds, callers=1, duration_s=duration_s)
        apart = _drive(
            partial(narrow.run, outputs=outputs), feeds, callers=num_cores, duration_s=duration_s
        )
        p50_us, p99_us = np.percentile(np.array(alone.latencies_s) * 1e6, [50, 99])
        calls_per_s = max(alone.calls_per_s, apart.calls_per_s)
        answers.append(
            InProcess(
                batch_size=batch_size,
                p50_us=float(p50_us),
                p99_us=float(p99_us),
                rows_per_s=calls_per_s * batch_size,
            )
        )
    json.dump([asdict(answer) for answer in answers], sys.stdout)


@dataclass(frozen=True)
class _Drive:
    latencies_s: list[float]
    calls_per_s: float


def _drive(
    run: Callable[[Tensors], Tensors], feeds: list[Tensors], *, callers: int, duration_s: float
) -> _Drive:
    for feed in feeds[:3]:
        run(feed)
    latencies: list[list[float]] = [[] for _ in range(callers)]
    begin = time.perf_counter()

    def call(caller: int) -> None:
        index = caller
        while (start := time.perf_counter()) - begin < duration_s:
            run(feeds[index % len(feeds)])
            latencies[caller].append(time.perf_counter() - start)
            index += callers

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed_s = time.perf_counter() - begin
    together = [latency for one in latencies for latency in one]
    return _Drive(together, len(together) / elapsed_s)


def _batches(inputs: Tensors, batch_size: int) -> list[Tensors]:
    """Batches over all golden rows, again from the first where they end; text as objects."""
    num_rows = len(next(iter(inputs.values())))
    batches = []
    for start in range(0, num_rows, batch_size):
        rows = np.arange(start, start + batch_size) % num_rows
        batches.append({name: _raw(value[rows]) for name, value in inputs.items()})
    return batches


def _raw(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return value.astype(np.object_) if value.dtype.kind == "U" else value


if __name__ == "__main__":
    main()
