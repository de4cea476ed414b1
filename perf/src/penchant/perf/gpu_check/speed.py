"""Section: how fast the engine answers, by batch, catalogue and precision, beside the floor.

Times are those of the device, from an event before a run to one after it, over runs one after
another, with inputs and outputs that stay on the card: the net alone, without a server. The numbers
to reach come first, so that a time limit leaves out others.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

import onnx
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
from penchant.serving.engines.library import TENSORRT, TENSORRT_RTX
from penchant.serving.engines.memory import MOST_ELEMENTS
from penchant.serving.engines.precision import Precision, convert, has_tf32

SERVED_ROWS: Final = {"propensity": 256, "journey": 64}
"""Rows that a recipe's budget allows: engines are built for them, and others for larger batches."""
MOST_SHARE: Final = 0.25
"""Share of the free memory that one tensor of scores may take; masks and ranks take as much."""
ORDER: Final[tuple[Precision, ...]] = ("fp16", "tf32", "bf16", "fp32")


class Job(NamedTuple):
    """An engine to be made, and the batches to be timed with it."""

    net: Net
    precision: Precision
    batches: tuple[int, ...]
    graph: onnx.ModelProto
    """The net in that precision."""


def rows(settings: Settings) -> Iterator[Row]:
    """A row a net, precision, batch and way to launch."""
    ceilings = read_ceilings(read_rows(settings, "environment"))
    nets = all_nets(settings)
    runtime = runtime_of(settings)
    for net, size in product(nets, settings.batch_sizes):
        if net.num_items * size > MOST_ELEMENTS:
            scores = f"{net.num_items * size:,} scores, of which one TopK takes {MOST_ELEMENTS:,}"
            yield {"net": net.name, "batch": size, "not run": scores}
    for job in _jobs(nets, runtime, settings):
        try:
            runner = make_runner(runtime, job.net, job.precision, max(job.batches), settings)
        except Exception as error:  # What this card does not take costs only itself.
            yield _head(job, runtime, max(job.batches)) | {"not run": in_a_line(error)}
            continue
        for size in job.batches:
            head = _head(job, runtime, size)
            try:
                yield from [head | each for each in _timed(runner, job, size, ceilings, settings)]
            except Exception as error:  # Memory that is too small for one batch, above all.
                yield head | {"not run": in_a_line(error)}


def _jobs(nets: list[Net], runtime: RuntimeName, settings: Settings) -> Iterator[Job]:
    """One engine for the batches that a budget allows and one for larger ones; else one for all."""
    is_built = runtime in (TENSORRT, TENSORRT_RTX)
    for precision, is_large, net in product(ORDER, (False, True), nets):
        served = SERVED_ROWS[net.kind]
        sizes = [size for size in settings.batch_sizes if net.num_items * size <= MOST_ELEMENTS]
        if is_built:
            sizes = [size for size in sizes if (size > served) == is_large]
        if sizes and (is_built or not is_large):
            # What is to be reached first, a lone row last: PyTorch compiles anew for it.
            sizes.sort(key=lambda size: (size != served, -size))
            yield Job(net, precision, tuple(sizes), convert(net.model, precision))


def _timed(
    runner: Runner, job: Job, size: int, ceilings: Ceilings, settings: Settings
) -> Iterator[Row]:
    """A row a way to launch."""
    why_not = _too_large(job.net, size, settings)
    if why_not:
        yield {"not run": why_not}
        return
    work = graph_work(job.graph, size)
    floor_us, bound = work.floor_us(ceilings, has_tf32=has_tf32(job.precision))
    run, _ = runner.prepare(job.net.inputs(size, settings.device))
    ways = {"launches": run}
    if runner.takes_graphs:
        ways["CUDA graph"] = captured(run)
    for way, each in ways.items():
        found = timed(each, device=settings.device, measure_s=settings.measure_s)
        yield {
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
    if settings.device != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info()
    need = net.score_bytes(size)
    if need > MOST_SHARE * free:
        return f"{need / 2**30:.1f} GiB of scores beside {free / 2**30:.1f} GiB of free memory"
    return None
