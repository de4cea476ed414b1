from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.clients.lab import CONTRACT, Lab
from tests.journey_packages import NUM_ITEMS, NUMBERS, TEXT, TinyJourney, write_tiny_journey

from penchant.clients import PropensityClient
from penchant.serving.repository import Repository
from penchant.serving.supervisor import running_server

JOURNEY_VERSION = 6
BEYOND_DOUBLES = [*(2**53 + 1 + at for at in range(NUM_ITEMS - 1)), 2**63 - 1]
"""Ids of which a float, as JavaScript's numbers are, holds every other one."""
LARGE = TinyJourney(
    replace(NUMBERS.contract, model="tiny_large", has_hours=False, has_purchase=False),
    np.array(BEYOND_DOUBLES, np.int64),
)
"""Also without clock and purchases."""


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A real server: models `lab`, `liar` (answers of the wrong shape), `bare` (no contract)."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    server.publish(CONTRACT)
    server.publish(replace(CONTRACT, model="liar", goals=("purchase", "churn")), extra_goals=1)
    server.publish(replace(CONTRACT, model="bare"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def client(lab: Lab) -> Iterator[PropensityClient]:
    with PropensityClient(lab.url, model="lab", deadline_s=10) as client:
        yield client


@pytest.fixture(scope="session")
def journeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real server of journey models: ids that are text, integers, large integers."""
    home = tmp_path_factory.mktemp("journeys")
    repository = Repository(home / "model_repository")
    for tiny in (TEXT, NUMBERS, LARGE):
        package = write_tiny_journey(home / tiny.contract.model, tiny)
        repository.publish(package, version=JOURNEY_VERSION)
    with running_server(repository.folder, home=home) as server:
        yield server.address
