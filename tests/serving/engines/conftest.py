"""Nets that several tests build engines of; exporting one takes seconds."""

from __future__ import annotations

import pytest
from tests.journey_packages import TEXT, write_tiny_journey
from tests.serving.engines.nets import Net, journey_net, propensity_net

from penchant.serving.engines.library import EngineLibrary, find_engine_library
from penchant.serving.package import ModelPackage

MAX_BATCH_SIZE = 1024
K = 200


@pytest.fixture(scope="session")
def shoppers(tmp_path_factory: pytest.TempPathFactory) -> Net:
    """The net of the shipped propensity recipe."""
    folder = tmp_path_factory.mktemp("shoppers")
    return propensity_net("online_shoppers", folder, max_batch_size=MAX_BATCH_SIZE)


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Net:
    """The net of the shipped journey recipe over a thousand items."""
    folder = tmp_path_factory.mktemp("journey")
    return journey_net(folder, num_items=1000, k=K, max_batch_size=MAX_BATCH_SIZE)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A package that no training made, whose net builds in a moment."""
    return write_tiny_journey(tmp_path_factory.mktemp("tiny") / "package", TEXT)


@pytest.fixture(scope="session")
def library() -> EngineLibrary:
    """The library that is installed here: TensorRT-RTX, which builds without a GPU."""
    return find_engine_library()
