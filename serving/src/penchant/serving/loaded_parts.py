"""The steps of ensembles that one server holds: loaded before an ensemble, dropped after it.

Each is loaded by itself. Triton would load them with their ensemble, but where one of them fails it
drops the ensemble, the version that is served with it; and it would drop those of the version
before at once, which requests may still be on their way to.
"""

from __future__ import annotations

from collections.abc import Collection

from penchant.serving.canary import Canary
from penchant.serving.repository import Repository


class LoadedParts:
    """Names of the loaded steps by public model."""

    def __init__(self, repository: Repository, models: Collection[str]) -> None:
        """Take down the steps that a server is started with."""
        self._repository = repository
        self._loaded = {model: set(self._named(model)) for model in models}
        self._needed = {model: frozenset(parts) for model, parts in self._loaded.items()}
        """By model, what the server's ensemble is made of, whatever the config says by now."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, sorted."""
        return tuple(sorted(part for parts in self._loaded.values() for part in parts))

    def load_with(self, model: str, canary: Canary, *, timeout_s: float) -> None:
        """Have the server load the steps that the model's config names, and then the model.

        Raises:
            UnreachableError: if there is no server.
            CanaryError: if one of them does not load; the server keeps the model as it was.
        """
        parts = self._named(model)
        loaded = self._loaded.setdefault(model, set())
        for part in parts:
            if part not in loaded:
                canary.load(part, timeout_s=timeout_s)
                loaded.add(part)
        canary.load(model, timeout_s=timeout_s)
        self._needed[model] = frozenset(parts)

    def drop_old(self, models: Collection[str], canary: Canary, *, timeout_s: float) -> None:
        """Have the server drop what these models needed before.

        Raises:
            CanaryError: if it does not; it is asked again next time.
        """
        for model in models:
            self._drop(model, self._needed.get(model, frozenset()), canary, timeout_s)

    def drop_all(self, model: str, canary: Canary, *, timeout_s: float) -> None:
        """Have the server drop all steps of a model.

        Raises:
            CanaryError: if it does not.
        """
        self._drop(model, frozenset(), canary, timeout_s)

    def _drop(self, model: str, kept: Collection[str], canary: Canary, timeout_s: float) -> None:
        loaded = self._loaded.get(model, set())
        for part in sorted(loaded - set(kept)):
            canary.unload(part, timeout_s=timeout_s)
            loaded.discard(part)

    def _named(self, model: str) -> tuple[str, ...]:
        try:
            return self._repository.parts(model)
        except ValueError:
            return ()  # A damaged config: Triton says so when it does not load.
