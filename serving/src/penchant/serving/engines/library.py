"""The library that builds engines: TensorRT, or TensorRT-RTX where that is what is installed.

Both have the same Python API. TensorRT builds for the GPU that it finds, and Triton loads what it
builds. TensorRT-RTX builds on a machine without a GPU too, which shows on every commit that a net
converts; Triton does not load its engines.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Final, Literal

LibraryName = Literal["tensorrt", "tensorrt_rtx"]

TENSORRT: Final = "tensorrt"
TENSORRT_RTX: Final = "tensorrt_rtx"
OLDEST_TENSORRT: Final = (10, 12)
"""Release since which networks are strongly typed by recommendation; TensorRT 11 knows no other."""


@dataclass(frozen=True)
class EngineLibrary:
    """An imported library and its version."""

    module: Any
    """``tensorrt`` or ``tensorrt_rtx``; typed as Any because neither ships types."""
    name: LibraryName
    """What the module is called."""
    version: str
    """The library's own version."""

    @property
    def needs_gpu(self) -> bool:
        """Whether it builds only where there is a GPU."""
        return self.name == TENSORRT


def find_engine_library() -> EngineLibrary:
    """TensorRT where it is installed, else TensorRT-RTX.

    Raises:
        ValueError: if neither is installed, it cannot be loaded, or TensorRT is too old; the
            message holds the command that installs it.
    """
    found = import_engine_library(TENSORRT) or import_engine_library(TENSORRT_RTX)
    if found is None:
        raise ValueError(
            "engine library: expected tensorrt or tensorrt_rtx, got neither; run: pip install "
            "'penchant[gpu]' on the machine with the GPU, or pip install tensorrt-rtx-cu13 to try "
            "on any machine whether a net converts"
        )
    return found


def import_engine_library(name: LibraryName) -> EngineLibrary | None:
    """The library of that name; None where it is not installed.

    Raises:
        ValueError: if it cannot be loaded, or is too old.
    """
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return None
        raise _broken(name, error) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise _broken(name, error) from error
    return _checked(EngineLibrary(module, name, str(module.__version__)))


def _checked(library: EngineLibrary) -> EngineLibrary:
    numbers = tuple(int(part) for part in library.version.split(".")[:2])
    if library.name == TENSORRT and numbers < OLDEST_TENSORRT:
        oldest = ".".join(map(str, OLDEST_TENSORRT))
        raise ValueError(
            f"tensorrt: expected version {oldest} or later, got {library.version}; run: pip "
            "install --upgrade 'penchant[gpu]'"
        )
    return library


def _broken(name: str, error: Exception) -> ValueError:
    package = "'penchant[gpu]'" if name == TENSORRT else "tensorrt-rtx-cu13"
    return ValueError(
        f"{name}: expected a library that loads, got {type(error).__name__}: {error}; run: pip "
        f"install --force-reinstall {package}"
    )
