"""What the model repository serves under a name, and whether it is ours to change."""

from __future__ import annotations

from dataclasses import dataclass

from penchant.serving.repository import Repository
from penchant.serving.served_model import ServedModel


@dataclass(frozen=True, kw_only=True)
class Served:
    """What stands in the repository under one name."""

    model: ServedModel | None
    """What penchant published there; None where there is nothing, or nothing that can be read."""
    is_foreign: bool
    """Whether another tool wrote the config."""

    @property
    def version(self) -> int | None:
        """The package version; None where penchant serves none."""
        return self.model.package_version if self.model else None


def look(repository: Repository, name: str) -> Served:
    """What stands there now. A config that cannot be read is nobody's: publishing mends it."""
    if repository.read_config(name) is None:
        return Served(model=None, is_foreign=False)
    try:
        model = repository.served(name)
        # A version whose files are gone is not served, whatever the config says.
        return Served(model=model if model.folder.is_dir() else None, is_foreign=False)
    except ValueError:
        pass
    try:
        config = repository.config(name)
        is_ours = repository.is_published(name)
    except ValueError:
        return Served(model=None, is_foreign=False)
    return Served(model=None, is_foreign=bool(config.backend or config.platform) and not is_ours)
