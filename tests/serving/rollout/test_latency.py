"""The latency gate: a version against its budget and the champion, whatever else the machine does.

Time is simulated: a call moves a clock of the test's own, so that what is tested is the rule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from penchant.serving.rollout.gates import Finding, LatencyGate
from penchant.serving.rollout.latency import compare_latency

GATE = LatencyGate(most_s=60)


class Clock:
    """Seconds that pass only where a call takes them."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def model(clock: Clock, milliseconds: float, seed: int, tail: float = 0.1) -> Callable[[int], None]:
    """Takes about so long, with a tail."""
    random = np.random.default_rng(seed)

    def call(row: int) -> None:
        clock.now_s += milliseconds / 1e3 * (1 + random.exponential(tail))

    return call


def outcomes(findings: list[Finding]) -> dict[str, str]:
    return {finding.metric: finding.outcome for finding in findings}


def test_a_version_as_fast_passes(clock: Clock) -> None:
    found = compare_latency(
        model(clock, 1, 1), model(clock, 1, 2), budget_ms=20, gate=GATE, clock=clock
    )

    assert outcomes(found) == {"p99": "pass", "p50 ratio": "pass", "p99 ratio": "pass"}


def test_a_version_twice_as_slow_is_blocked(clock: Clock) -> None:
    found = compare_latency(
        model(clock, 2, 1), model(clock, 1, 2), budget_ms=20, gate=GATE, clock=clock
    )

    assert outcomes(found)["p50 ratio"] == "block"
    assert "times the champion's" in found[1].reason


def test_a_version_beyond_its_budget_is_blocked_without_a_champion(clock: Clock) -> None:
    (found,) = compare_latency(model(clock, 30, 1), None, budget_ms=20, gate=GATE, clock=clock)

    assert found.outcome == "block"
    assert "ms of a budget of 20 ms" in found.reason


def test_a_slow_tail_alone_is_blocked(clock: Clock) -> None:
    found = compare_latency(
        model(clock, 1, 1, tail=1.0),
        model(clock, 1, 2, tail=0.01),
        budget_ms=20,
        gate=GATE,
        clock=clock,
    )

    assert outcomes(found)["p99 ratio"] == "block"


def test_bursts_of_noise_neither_block_nor_pass(clock: Clock) -> None:
    """A neighbour takes the machine for a tenth of the time, five times as slow for both."""

    def disturbed(call: Callable[[int], None]) -> Callable[[int], None]:
        def slow_down(row: int) -> None:
            before = clock.now_s
            call(row)
            if int(before * 10) % 10 == 3:
                clock.now_s += 4 * (clock.now_s - before)

        return slow_down

    as_fast = compare_latency(
        disturbed(model(clock, 1, 1)),
        disturbed(model(clock, 1, 2)),
        budget_ms=5,
        gate=GATE,
        clock=clock,
    )
    slower = compare_latency(
        disturbed(model(clock, 1.6, 1)),
        disturbed(model(clock, 1, 2)),
        budget_ms=5,
        gate=GATE,
        clock=clock,
    )

    assert set(outcomes(as_fast).values()) == {"pass"}
    assert outcomes(slower)["p50 ratio"] == "block"


def test_what_is_not_decided_is_measured_longer_and_then_said_to_be_so(clock: Clock) -> None:
    gate = LatencyGate(p50_ratio=1.0, most_s=5)

    found = compare_latency(
        model(clock, 1, 1), model(clock, 1, 2), budget_ms=20, gate=gate, clock=clock
    )

    assert outcomes(found)["p50 ratio"] == "undecided"
    assert found[1].numbers["blocks"] > gate.least_blocks
    assert clock.now_s == pytest.approx(5, abs=0.5)


def test_the_real_clock_tells_a_longer_loop_from_a_shorter_one() -> None:
    def loop(steps: int) -> Callable[[int], None]:
        def call(row: int) -> None:
            for _ in range(steps):
                pass

        return call

    found = compare_latency(
        loop(40_000),
        loop(10_000),
        budget_ms=1000,
        gate=LatencyGate(calls=10, least_blocks=5, most_s=5),
    )

    assert outcomes(found)["p50 ratio"] == "block"
