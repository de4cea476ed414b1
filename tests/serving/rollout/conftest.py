"""One registry for all tests of the rollout; each gets a copy of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serving.rollout.store import Store, copy_of, register
from tests.serving.rollout.variants import noisy, overconfident, variant, wrong_golden

from penchant.clients.home import Home
from penchant.serving.package import ModelPackage
from penchant.serving.registry import CHAMPION, Registry

FIRST, AS_GOOD, WORSE, MISCALIBRATED, WRONG = 1, 2, 3, 4, 5
"""Versions of the tiny model."""


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory, tiny_package: ModelPackage) -> Home:
    """A home whose registry holds the five versions; no alias is set."""
    folder = tmp_path_factory.mktemp("rollout")
    packages = [
        variant(tiny_package, folder / "first"),
        variant(tiny_package, folder / "as_good", noisy(0.002)),
        variant(tiny_package, folder / "worse", noisy(1.0)),
        variant(tiny_package, folder / "miscalibrated", overconfident),
        wrong_golden(tiny_package, folder / "wrong"),
    ]
    home = Home(folder / "home")
    registry = Registry(home).connect()
    numbers = [register(registry, package) for package in packages]
    assert numbers == [FIRST, AS_GOOD, WORSE, MISCALIBRATED, WRONG]
    return home


@pytest.fixture(scope="session")
def registered_and_served(registered: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The same, whose first version is champion and served."""
    store = copy_of(registered, tmp_path_factory.mktemp("served") / "home")
    store.point(CHAMPION, FIRST)
    store.rollout().reconciler.reconcile()
    return store.home


@pytest.fixture
def store(registered: Home, tmp_path: Path) -> Store:
    """A registry of this test's own."""
    return copy_of(registered, tmp_path / "home")


@pytest.fixture
def served(registered_and_served: Home, tmp_path: Path) -> Store:
    """A registry and a repository of this test's own, in which the first version is served."""
    return copy_of(registered_and_served, tmp_path / "home")
