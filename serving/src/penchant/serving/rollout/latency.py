"""The latency gate: a new version and the champion timed in turns, in one process, a row a call.

Blocks of calls of both versions alternate, so that whatever else the machine does slows both. Of
each block stand its median and its 99th percentile; what counts is the median over blocks, which a
burst of noise in fewer than half of them does not move, with an interval by a bootstrap over
blocks. An undecided comparison goes on until it is decided or the time is up. Letters: P blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from penchant.serving.resampling import Floats, interval
from penchant.serving.rollout.gates import UNDECIDED, Finding, LatencyGate, judge

LATENCY: Final = "latency"
_ROUNDS: Final = 500
_WARM_UP: Final = 10

Call = Callable[[int], object]
"""Asks a version one row, of a number; rows may repeat."""


def compare_latency(
    new: Call,
    champion: Call | None,
    *,
    budget_ms: float,
    gate: LatencyGate,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Finding]:
    """Time a version against its budget, and against the champion where there is one.

    Args:
        new: the version that is to be served.
        champion: the version that is served.
        budget_ms: the 99th percentile that the contract states, in milliseconds.
        gate: ratios, and how long to go on.
        clock: the time in seconds.
    """
    calls = [call for call in (new, champion) if call is not None]
    for call in calls:
        for row in range(_WARM_UP):
            call(row)
    blocks: list[list[tuple[float, float]]] = [[] for _ in calls]
    deadline = clock() + gate.most_s
    while True:
        number = len(blocks[0])
        # Whoever goes first may find the caches warmer: they take turns in that, too.
        order = range(len(calls)) if number % 2 == 0 else reversed(range(len(calls)))
        for at in order:
            blocks[at].append(_block(calls[at], number * gate.calls, gate.calls, clock))
        if number + 1 < gate.least_blocks:
            continue
        findings = list(_findings([np.array(each) for each in blocks], budget_ms, gate))
        if UNDECIDED not in {f.outcome for f in findings} or clock() > deadline:
            return findings


def _block(call: Call, first: int, calls: int, clock: Callable[[], float]) -> tuple[float, float]:
    """Median and 99th percentile of some calls, in milliseconds."""
    taken = np.empty(calls)
    for at in range(calls):
        start = clock()
        call(first + at)
        taken[at] = clock() - start
    p50, p99 = np.percentile(taken * 1e3, [50, 99])
    return float(p50), float(p99)


def _findings(blocks: list[Floats], budget_ms: float, gate: LatencyGate) -> Iterator[Finding]:
    """What the blocks (P, 2) of each version say so far."""
    p99 = blocks[0][:, 1]
    limit = budget_ms * gate.budget_share
    yield _finding("p99", p99, limit, gate, f"ms of a budget of {limit:g} ms")
    if len(blocks) == 2:
        for at, (name, most) in enumerate((("p50", gate.p50_ratio), ("p99", gate.p99_ratio))):
            ratio = blocks[0][:, at] / blocks[1][:, at]
            middle = np.median(blocks[1][:, at])
            yield _finding(
                f"{name} ratio", ratio, most, gate, f"times the champion's {middle:.3f} ms"
            )


def _finding(metric: str, found: Floats, most: float, gate: LatencyGate, unit: str) -> Finding:
    middle = float(np.median(found))
    ends = interval(_medians(found), level=gate.confidence)
    outcome = judge(ends.low, ends.high, most)
    words = {"pass": "within", "block": "beyond", "undecided": "undecided about"}[outcome]
    return Finding(
        gate=LATENCY,
        metric=metric,
        outcome=outcome,
        reason=(
            f"{metric} is {words} its limit: {middle:.3f} ({ends.low:.3f} to {ends.high:.3f}) "
            f"{unit}, where {most:g} is the limit"
        ),
        numbers={
            "found": middle,
            "low": ends.low,
            "high": ends.high,
            "limit": most,
            "blocks": len(found),
        },
    )


def _medians(found: Floats) -> Floats:
    """Medians of the blocks drawn again, (R,)."""
    drawn = np.random.default_rng(0).integers(len(found), size=(_ROUNDS, len(found)))
    medians: Floats = np.median(found[drawn], axis=1)
    return medians
