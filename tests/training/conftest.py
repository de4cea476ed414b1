"""What is put in order after all tests of the training component."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_database_outlives_the_tests() -> Iterator[None]:
    """Close Ibis' own DuckDB, which tables in memory use, before Python's exit.

    At exit the order of things is any, and DuckDB then lists what it could not release.
    """
    yield
    ibis = sys.modules.get("ibis")
    if ibis is not None and ibis.options.default_backend is not None:
        ibis.options.default_backend.disconnect()
        ibis.options.default_backend = None
        gc.collect()
