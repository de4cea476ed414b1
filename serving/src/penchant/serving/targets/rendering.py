"""A target: how Triton runs a package. Callers see the same model on each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from penchant.serving.package import ModelPackage

TargetName = Literal["cpu", "tensorrt", "rehearsal"]


@dataclass(frozen=True, kw_only=True)
class RenderedModel:
    """One model of Triton's, as its folder is to hold it."""

    name: str
    """Its name there, and its folder's."""
    config: str
    """Text of ``config.pbtxt``."""
    files: Mapping[str, bytes]
    """Content by name of what lies in the version's folder."""
    warmup: Mapping[str, bytes]
    """A row as raw tensors, by tensor."""


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """A package as models of Triton's, all of one version number."""

    public: RenderedModel
    """What callers name."""
    parts: tuple[RenderedModel, ...] = ()
    """The steps that it is an ensemble of; none where it runs by itself. Their names hold the
    version number, so that those of two versions stand side by side."""


Render = Callable[[int], Rendering]
"""Makes it once Triton's version number is known."""


class Target(Protocol):
    """Turns packages into models of Triton's."""

    @property
    def name(self) -> TargetName:
        """What the target is called."""

    def require(self, package: ModelPackage, version: int) -> None:
        """Refuse what this machine cannot serve, before anything is run or takes time.

        Raises:
            ValueError: saying what is missing, and how to get it.
        """

    def prepare(self, package: ModelPackage, version: int) -> Render:
        """Do whatever takes time or can fail.

        Args:
            package: what is to be served.
            version: its version in the registry, which every answer carries.

        Raises:
            ValueError: if it cannot be served so; the message says why and what to do.
        """
