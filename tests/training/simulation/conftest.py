"""One simulated log that the tests of its truth share."""

from __future__ import annotations

import pytest

from penchant.training.simulation.simulate import simulate_log
from penchant.training.simulation.simulated_log import SimulatedLog
from penchant.training.simulation.simulation_config import SimulationConfig


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedLog:
    """250,000 events, with more planted errors and bots than usual; to be read only."""
    config = SimulationConfig(events=250_000, seed=7, items=600, bots=0.002)
    return simulate_log(config, tmp_path_factory.mktemp("simulated") / "log")
