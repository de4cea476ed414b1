"""Section: how fast the engine answers, by batch, catalogue and precision, beside the floor.

Times are those of the device, from an event before a run to one after it, over runs one after
another, with inputs and outputs that stay on the card: the net alone, without a server. The numbers
to reach come first, so that a time limit leaves out others.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

import torch

from penchant.perf.gpu_check.choose import RuntimeName, in_a_line, make_runner
from penchant.perf.gpu_check.environment import read_ceilings
from penchant.perf.gpu_check.nets import Net, all_nets
from penchant.perf.gpu_check.rows import read_rows
from penchant.perf.gpu_check.runners import Runner
from penchant.perf.gpu_check.runtimes import runtime_of
from penchant.perf.gpu_check.sections import Row
from penchant.perf.gpu_check.settings import Settings
from penchant.perf.gpu_check.timing import captured, timed
from penchant.perf.gpu_check.work import Ceilings, graph_work
from penchant.serving.engines.precision import Precision, convert, has_tf32

SERVED_ROWS: Final = {"propensity": 256, "journey": 64}
"""Rows that a recipe's budget allows: engines are built for them, and others for larger batches."""
MOST_ELEMENTS: Final = 2**31 - 1
"""Scores that one TopK takes."""
MOST_SHARE: Final = 0.25
"""Share of the free memory that one tensor of scores may take; masks and ranks take as much."""
ORDER: Final[tuple[Precision, ...]] = ("fp16", "tf32", "bf16", "fp32")


class Job(NamedTuple):
    """An engine to be made, and the batches to be timed with it."""

    net: Net
    precision: Precision
    batches: tuple[int, ...]


def rows(settings: Settings) -> Iterator[Row]:
    """A row a net, precision, batch and way to launch."""
    ceilings = read_ceilings(read_rows(settings, "environment"))
    nets = all_nets(settings)
    runtime = runtime_of(settings)
    for job in _jobs(nets, settings):
        try:
            runner = make_runner(runtime, job.net, job.precision, max(job.batches), settings)
            yield from _timed_batches(runner, runtime, job, ceilings, settings)
        except Exception as error:  # An engine that this card does not take costs only itself.
            yield _head(job, runtime, max(job.batches)) | {"not run": in_a_line(error)}


def _jobs(nets: list[Net], settings: Settings) -> Iterator[Job]:
    """Engines for the batches that a budget allows, of all nets; then those for larger ones."""
    for is_large, net, precision in product((False, True), reversed(nets), ORDER):
        served = SERVED_ROWS[net.kind]
        batches = tuple(size for size in settings.batch_sizes if (size > served) == is_large)
        if batches:
            yield Job(net, precision, batches)


def _timed_batches(
    runner: Runner, runtime: RuntimeName, job: Job, ceilings: Ceilings, settings: Settings
) -> Iterator[Row]:
    for size in sorted(job.batches, key=lambda count: count != SERVED_ROWS[job.net.kind]):
        head = _head(job, runtime, size)
        why_not = _too_large(job.net, size, settings)
        if why_not:
            yield head | {"not run": why_not}
            continue
        work = graph_work(convert(job.net.model, job.precision), size)
        floor_us, bound = work.floor_us(ceilings, has_tf32=has_tf32(job.precision))
        run, _ = runner.prepare(job.net.inputs(size, settings.device))
        ways = {"launches": run}
        if runner.takes_graphs:
            ways["CUDA graph"] = captured(run)
        for way, each in ways.items():
            found = timed(each, device=settings.device, measure_s=settings.measure_s)
            yield head | {
                "way": way,
                "p50_us": found.p50_us,
                "p99_us": found.p99_us,
                "rows_per_s": size / found.p50_us * 1e6,
                "floor_us": floor_us,
                "floor_by": bound,
                "times_floor": found.p50_us / floor_us,
            }


def _head(job: Job, runtime: RuntimeName, size: int) -> Row:
    return {"net": job.net.name, "by": runtime, "precision": job.precision, "batch": size}


def _too_large(net: Net, size: int, settings: Settings) -> str | None:
    """Why a batch is not tried; None where it is."""
    if net.num_items * size > MOST_ELEMENTS:
        return f"{net.num_items * size:,} scores, of which one TopK takes {MOST_ELEMENTS:,}"
    if settings.device != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info()
    need = net.score_bytes(size)
    if need > MOST_SHARE * free:
        return f"{need / 2**30:.1f} GiB of scores beside {free / 2**30:.1f} GiB of free memory"
    return None
