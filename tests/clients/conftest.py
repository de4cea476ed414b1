from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.clients.lab import CONTRACT, Lab

from penchant.clients import PropensityClient


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
