"""Calls of MLflow that leave the terminal and this process's environment as they were."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from penchant.serving.tracking_uri import TRACKING_URI_VARIABLE

_NOISY_LOGGERS: Final = ("mlflow", "alembic")
_MLFLOW_WARNINGS: Final = (
    (DeprecationWarning, ".*noload"),
    (UserWarning, ".*Any type hint is inferred as AnyType"),
    (UserWarning, ".*An input example was not provided"),
)
"""What MLflow warns of that no user of penchant could mend: its own code, and an example that it
would only use to check a signature made from the contract."""
_QUIET: Final = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


@contextmanager
def unchanged_environment() -> Iterator[None]:
    """Undo that MLflow writes its store into the environment: another home has its own store."""
    before = os.environ.get(TRACKING_URI_VARIABLE)
    try:
        yield
    finally:
        os.environ.pop(TRACKING_URI_VARIABLE, None)
        if before is not None:
            os.environ[TRACKING_URI_VARIABLE] = before


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Keep MLflow's progress bars and announcements off the terminal; warnings and errors stay."""
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(), variables(_QUIET):
            for category, message in _MLFLOW_WARNINGS:
                warnings.filterwarnings("ignore", message=message, category=category)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the time of a block: MLflow reads its settings from there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
