"""Python packages that the check needs, those that are missing, and how to bring them.

Knows only the standard library, so that it runs where nothing is installed.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONSTRAINTS: Final = Path(__file__).parents[5] / "constraints.txt"
"""Versions that the tests ran with, in a checkout."""


@dataclass(frozen=True)
class Package:
    """One distribution."""

    name: str
    """As pip calls it."""
    module: str
    """As Python imports it."""
    is_optional: bool = False
    """Whether the check runs without it, and says less."""

    @property
    def is_there(self) -> bool:
        """Whether Python finds it."""
        try:
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:  # Of a package that the module would be in.
            return False


PACKAGES: Final = (
    Package("numpy", "numpy"),
    Package("torch", "torch"),
    Package("pytorch-lightning", "pytorch_lightning"),
    Package("onnx", "onnx"),
    Package("onnxscript", "onnxscript"),
    Package("onnxruntime", "onnxruntime"),
    Package("scipy", "scipy"),
    Package("scikit-learn", "sklearn"),
    Package("pandas", "pandas"),
    Package("lightgbm", "lightgbm"),
    Package("matplotlib", "matplotlib"),
    Package("Jinja2", "jinja2"),
    Package("ibis-framework", "ibis"),
    Package("atpublic", "public"),
    Package("parsy", "parsy"),
    Package("sqlglot", "sqlglot"),
    Package("toolz", "toolz"),
    Package("python-dateutil", "dateutil"),
    Package("duckdb", "duckdb"),
    Package("pyarrow", "pyarrow"),
    Package("pyarrow-hotfix", "pyarrow_hotfix"),
    Package("packaging", "packaging"),
    Package("rich", "rich"),
    Package("jsonargparse", "jsonargparse"),
    Package("docstring-parser", "docstring_parser"),
    Package("typeshed-client", "typeshed_client"),
    Package("PyYAML", "yaml"),
    Package("tzdata", "tzdata"),
    Package("tritonclient", "tritonclient"),
    Package("grpcio", "grpc"),
    Package("python-rapidjson", "rapidjson"),
    Package("protobuf", "google.protobuf"),
    Package("tensorrt", "tensorrt", is_optional=True),
    Package("tensorrt-rtx-cu13", "tensorrt_rtx", is_optional=True),
)
"""Each with what it needs itself, for pip is to fetch these alone."""


def missing_packages() -> tuple[list[Package], list[Package]]:
    """Those that are needed, and those that would say more."""
    absent = [package for package in PACKAGES if not package.is_there]
    return (
        [package for package in absent if not package.is_optional],
        [package for package in absent if package.is_optional],
    )


def how_to_bring(packages: Sequence[Package]) -> str:
    """Commands for a machine with a network, and then for this one."""
    names = " ".join(_pinned(package.name) for package in packages)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    machine = platform.machine()
    platforms = " ".join(
        f"--platform {name}_{machine}"
        for name in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
    )
    return (
        "where there is a network:\n"
        f"  python3 -m pip download --no-deps --only-binary=:all: --python-version {version} "
        f"--implementation cp {platforms} -d wheels {names}\n"
        "then here, beside the folder wheels:\n"
        f"  python3 -m pip install --no-index --no-deps --find-links wheels {names}"
    )


def _pinned(name: str) -> str:
    """The name with the version that the tests ran with, where it is known."""
    try:
        lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return name
    pins = {_plain(line.partition("==")[0]): line for line in lines if "==" in line}
    return pins.get(_plain(name), name)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
