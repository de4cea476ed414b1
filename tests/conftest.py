"""Fixtures that several components share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.packages import write_tiny_package

from penchant.serving.package import ModelPackage
from penchant.serving.repository import Repository
from penchant.serving.supervisor import Supervisor, running_server

TINY_VERSION = 5


@dataclass(frozen=True)
class RunningTriton:
    """A real server with the tiny model as version 5."""

    server: Supervisor
    repository: Repository
    package: ModelPackage
    home: Path

    @property
    def address(self) -> str:
        """host:port of the gRPC endpoint."""
        return self.server.address


@pytest.fixture(scope="session")
def tiny_package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """The hand-made package, to be read only."""
    return write_tiny_package(tmp_path_factory.mktemp("tiny") / "package")


@pytest.fixture(scope="session")
def triton(
    tmp_path_factory: pytest.TempPathFactory, tiny_package: ModelPackage
) -> Iterator[RunningTriton]:
    """One real server for the whole suite; tests must leave it running version 5."""
    home = tmp_path_factory.mktemp("triton")
    repository = Repository(home / "model_repository")
    repository.publish(tiny_package, version=TINY_VERSION)
    with running_server(repository.folder, home=home) as server:
        yield RunningTriton(server, repository, tiny_package, home)
