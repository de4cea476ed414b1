"""A published tiny model with its floor behind a real Triton, and a real perf_analyzer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.packages import write_tiny_package

from penchant.clients.contract import SCORE_OUTPUTS
from penchant.clients.home import Home
from penchant.perf.input_data import write_input_data
from penchant.perf.measure import copy_model
from penchant.perf.perf_analyzer import PerfAnalyzer, find_perf_analyzer, install_perf_analyzer
from penchant.serving.repository import Repository
from penchant.serving.served_model import ServedModel
from penchant.serving.supervisor import Supervisor, running_server


@dataclass(frozen=True)
class PrivateServer:
    """What a test needs to put load on."""

    supervisor: Supervisor
    served: ServedModel
    floor: str
    input_data: Path


@pytest.fixture(scope="session")
def perf_analyzer() -> PerfAnalyzer:
    """Installed once, 14 MB; later runs find it."""
    try:
        install_perf_analyzer()
    except ValueError as error:
        if "could not download" not in str(error) or _package_index_answers():
            raise
        pytest.skip(f"no perf_analyzer, and no package index that it could come from: {error}")
    return find_perf_analyzer()


def _package_index_answers() -> bool:
    command = [sys.executable, "-m", "pip", "index", "versions", "tritonclient"]
    patience = ["--retries", "0", "--timeout", "10"]
    done = subprocess.run([*command, *patience], capture_output=True, check=False, timeout=60)
    return done.returncode == 0


@pytest.fixture(scope="session")
def published_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the tiny model is published as version 3."""
    folder = tmp_path_factory.mktemp("perf")
    package = write_tiny_package(folder / "package")
    Repository(Home(folder / "home").model_repository).publish(package, version=3)
    return folder / "home"


@pytest.fixture(scope="session")
def private_server(
    published_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateServer]:
    """The tiny model, its scores only, and its floor."""
    served = Repository(Home(published_home).model_repository).served("tiny")
    folder = tmp_path_factory.mktemp("private")
    floor = copy_model(served, folder / "model_repository", outputs=SCORE_OUTPUTS)
    write_input_data(folder / "rows.json", served.contract, served.golden().inputs)
    with running_server(folder / "model_repository", open_statistics=True) as supervisor:
        yield PrivateServer(supervisor, served, floor, folder / "rows.json")
