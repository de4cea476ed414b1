"""Where a container's packages come from: a folder that is mounted, or the registry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penchant.serving.container.settings import ContainerSettings
from penchant.serving.package import MANIFEST, ModelPackage
from penchant.serving.registry import CHAMPION, Registry
from penchant.serving.rollout.desired_state import DesiredState

_FOLDER: Final = re.compile(r"(?P<model>[A-Za-z0-9_]{1,64})-(?P<version>[1-9][0-9]*)")


@dataclass(frozen=True)
class Versioned:
    """A package and the version that its answers carry."""

    package: ModelPackage
    version: int


def find_packages(settings: ContainerSettings, temporary: Path) -> list[Versioned]:
    """The packages to serve, every file of them checked; one of each model.

    Args:
        settings: where they are.
        temporary: a folder for those that the registry holds.

    Raises:
        ValueError: if there is none, one is damaged, a folder does not say its model and version,
            or the registry does not answer or has no champion of a model.
    """
    if settings.packages is not None:
        return _mounted(settings.packages)
    return _registered(settings, temporary)


def _mounted(folder: Path) -> list[Versioned]:
    found: dict[str, Versioned] = {}
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        path = manifest.parent
        named = _FOLDER.fullmatch(path.name)
        package = ModelPackage.open(path)
        if named is None or named["model"] != package.manifest.name:
            raise ValueError(
                f"package {path}: expected a folder {package.manifest.name}-<version>, got "
                f"{path.name!r}; rename it, so that answers carry the version"
            )
        if named["model"] in found:
            raise ValueError(
                f"package {path}: expected one version of {named['model']!r}, got a second; "
                "mount the one to be served"
            )
        found[named["model"]] = Versioned(package, int(named["version"]))
    if not found:
        raise ValueError(
            f"packages: expected at least one folder with a {MANIFEST} in {folder}, got none; "
            "mount the folders of sealed packages there"
        )
    return list(found.values())


def _registered(settings: ContainerSettings, temporary: Path) -> list[Versioned]:
    registry = Registry(settings.home).connect()
    found = []
    for model in DesiredState(registry).models(settings.models):
        version = model.aliases.get(CHAMPION)
        if version is not None:
            found.append(Versioned(registry.fetch(model.name, version, temporary), version))
        elif model.name in settings.models:
            raise ValueError(
                f"models: expected one with a champion, got {model.name!r}; `penchant promote "
                f"--model {model.name} --version N` makes a version champion"
            )
    if not found:
        raise ValueError(
            "models: expected at least one registered model with a champion, got none; `penchant "
            "promote` makes a version champion"
        )
    return found
