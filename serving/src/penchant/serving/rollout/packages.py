"""Packages of one round, each fetched from the registry once."""

from __future__ import annotations

from pathlib import Path

from penchant.serving.package import ModelPackage
from penchant.serving.rollout.desired_state import DesiredState
from penchant.serving.tracking_uri import StoreError


class Packages:
    """Fetched into one folder, every file checked."""

    def __init__(self, desired: DesiredState, folder: Path) -> None:
        """Nothing is fetched yet."""
        self._desired = desired
        self._folder = folder
        self._found: dict[tuple[str, int], ModelPackage] = {}

    def get(self, model: str, version: int) -> ModelPackage:
        """The package of a version.

        Raises:
            StoreError: if the store fails.
            ValueError: if the version holds no package, or a damaged one.
        """
        if (model, version) not in self._found:
            self._found[model, version] = self._desired.fetch(model, version, self._folder)
        return self._found[model, version]

    def find(self, model: str, version: int) -> ModelPackage | None:
        """The same; None where the registry has none that can be used.

        Raises:
            StoreError: if the store fails.
        """
        try:
            return self.get(model, version)
        except StoreError:
            raise
        except ValueError:
            return None
