"""What a container is told, and what it does not take."""

from __future__ import annotations

from pathlib import Path

import pytest

from penchant.clients.home import Home
from penchant.serving.container.settings import ContainerSettings

MLFLOW = {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}


def test_variables_that_are_not_set_leave_what_is_usual() -> None:
    settings = ContainerSettings.read(MLFLOW)

    assert settings == ContainerSettings()
    assert (settings.target, settings.precision) == ("tensorrt", "fp32")
    assert (settings.grpc_port, settings.metrics_port) == (8001, 8002)


def test_every_variable_is_read() -> None:
    settings = ContainerSettings.read(
        {
            "PENCHANT_PACKAGES": "/packages",
            "PENCHANT_MODELS": "propensity, journey",
            "PENCHANT_TARGET": "cpu",
            "PENCHANT_PRECISION": "bf16",
            "PENCHANT_HOME": "/data",
            "PENCHANT_GRPC_PORT": "9001",
            "PENCHANT_METRICS_PORT": "9002",
        }
    )

    assert settings == ContainerSettings(
        packages=Path("/packages"),
        models=("propensity", "journey"),
        target="cpu",
        precision="bf16",
        home=Home(Path("/data")),
        grpc_port=9001,
        metrics_port=9002,
    )


def test_an_empty_variable_is_none() -> None:
    empty = {"PENCHANT_TARGET": "", "PENCHANT_MODELS": "", "PENCHANT_GRPC_PORT": ""}

    assert ContainerSettings.read(MLFLOW | empty) == ContainerSettings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PENCHANT_TARGET", "gpu", "PENCHANT_TARGET: expected one of cpu, tensorrt, rehearsal"),
        ("PENCHANT_PRECISION", "int8", "PENCHANT_PRECISION: expected one of fp32"),
        ("PENCHANT_GRPC_PORT", "http", "PENCHANT_GRPC_PORT: expected a port"),
        ("PENCHANT_METRICS_PORT", "65536", "PENCHANT_METRICS_PORT: expected a port"),
        ("PENCHANT_MODELS", "../etc", "model: expected the name"),
    ],
)
def test_what_cannot_be_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContainerSettings.read(MLFLOW | {name: value})


def test_without_packages_and_store_it_says_what_to_set() -> None:
    with pytest.raises(ValueError, match=r"expected PENCHANT_PACKAGES.*or MLFLOW_TRACKING_URI"):
        ContainerSettings.read({})
