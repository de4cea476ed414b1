"""What a simulation may be told, and what it says to what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from penchant.training.simulation.simulation_config import PlantedErrors, SimulationConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"events": 0}, "events: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"items": 100}, "items: expected at least 480, got 100"),
        ({"weeks": 3}, "weeks: expected at least 4"),
        ({"weeks": 5_000}, "end in the future; take fewer weeks or an earlier start"),
        ({"start": "2024-01-02"}, "start: expected a Monday .* got '2024-01-02'"),
        ({"start": "next week"}, "start: expected a day as YYYY-MM-DD"),
        ({"intent": 1.5}, r"intent: expected a share from 0 to 1, got 1\.5"),
        ({"bots": float("nan")}, "bots: expected a share"),
        ({"no_consent": 0.7, "missing_consent": 0.7}, r"no_consent \+ missing_consent"),
        ({"pairs": 49}, "pairs: expected 0 to 48"),
        ({"sessions": 0.5}, "sessions: expected at least 1"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimulationConfig(**changes)


def test_a_share_of_errors_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"errors\.duplicates: expected a share from 0 to 0\.2"):
        PlantedErrors(duplicates=0.5)


def test_the_span_is_whole_weeks() -> None:
    config = SimulationConfig(start="2024-01-01", weeks=10)
    assert (config.end_s - config.start_s) == 10 * 7 * 24 * 3600
    assert config.start_s % 86_400 == 0
