"""Section: which runtime stands for the engine here, and what those before it in line say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from penchant.perf.gpu_check.choose import TORCH, Attempt, RuntimeName, chosen, try_all
from penchant.perf.gpu_check.nets import all_nets
from penchant.perf.gpu_check.rows import read_rows
from penchant.perf.gpu_check.sections import Row
from penchant.perf.gpu_check.settings import Settings


def rows(settings: Settings) -> Iterator[Row]:
    """A row a runtime, in the order in which they are preferred."""
    net = all_nets(settings)[0]
    for attempt in try_all(net, net.inputs(8, settings.device), settings):
        yield asdict(attempt)


def runtime_of(settings: Settings) -> RuntimeName:
    """The one that was found to work."""
    found = [Attempt(**row) for row in read_rows(settings, "runtimes")]
    return chosen(found) if found else TORCH
