"""What a container is told, by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from penchant.clients.home import Home
from penchant.serving.engines.precision import PRECISIONS, Precision
from penchant.serving.rollout.roles import check_name
from penchant.serving.targets.choose import TARGETS
from penchant.serving.targets.rendering import TargetName
from penchant.serving.tracking_uri import TRACKING_URI_VARIABLE

PREFIX: Final = "PENCHANT_"


@dataclass(frozen=True, kw_only=True)
class ContainerSettings:
    """Where packages come from, and what runs them."""

    packages: Path | None = None
    """Folder of sealed packages, each in a folder ``<model>-<version>``; without it they come from
    the MLflow store that MLFLOW_TRACKING_URI names. Variable PENCHANT_PACKAGES."""
    models: tuple[str, ...] = ()
    """Registered models to serve, the version that is champion of each; by default all that have
    one. Variable PENCHANT_MODELS, names with commas between."""
    target: TargetName = "tensorrt"
    """What runs them. Variable PENCHANT_TARGET."""
    precision: Precision = "fp32"
    """What the products of nets are computed in. Variable PENCHANT_PRECISION."""
    home: Home = field(default_factory=lambda: Home(Path("/var/lib/penchant")))
    """Where engines are kept from one start to the next. Variable PENCHANT_HOME."""
    grpc_port: int = 8001
    """Port of the endpoint. Variable PENCHANT_GRPC_PORT."""
    metrics_port: int = 8002
    """Port of the Prometheus metrics. Variable PENCHANT_METRICS_PORT."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: naming the variable.
        """
        for name, known in (("target", TARGETS), ("precision", PRECISIONS)):
            _check(name, getattr(self, name) in known, f"one of {', '.join(known)}", self)
        for name in ("grpc_port", "metrics_port"):
            _check(name, 0 < getattr(self, name) < 1 << 16, "a port, 1 to 65535", self)
        for model in self.models:
            check_name(model)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> ContainerSettings:
        """What the variables say; one that is empty counts as not there.

        Raises:
            ValueError: if one of them says what cannot be, or none says where packages are.
        """
        given: dict[str, Any] = {
            name: environment[PREFIX + name.upper()]
            for name in cls.__dataclass_fields__
            if environment.get(PREFIX + name.upper())
        }
        for name in ("grpc_port", "metrics_port"):
            if name in given:
                given[name] = int(given[name]) if given[name].isdecimal() else 0
        if "packages" in given:
            given["packages"] = Path(given["packages"])
        elif not environment.get(TRACKING_URI_VARIABLE):
            raise ValueError(
                f"packages: expected {PREFIX}PACKAGES, a folder of packages, or "
                f"{TRACKING_URI_VARIABLE}, an MLflow store, got neither; set one of them"
            )
        if "home" in given:
            given["home"] = Home(Path(given["home"]))
        if "models" in given:
            given["models"] = tuple(name.strip() for name in given["models"].split(","))
        return cls(**given)


def _check(name: str, is_right: bool, expected: str, settings: ContainerSettings) -> None:
    if not is_right:
        raise ValueError(
            f"{PREFIX}{name.upper()}: expected {expected}, got {getattr(settings, name)!r}; "
            "correct the variable"
        )
