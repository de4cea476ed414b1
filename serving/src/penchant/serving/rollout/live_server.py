"""The server that a home serves from, as any caller sees it: whether it answers, and with what."""

from __future__ import annotations

import json
import time
from typing import Final

from penchant.clients.home import Home
from penchant.serving.canary import Canary, CanaryError
from penchant.serving.repository import Repository

ANSWER_S: Final = 10.0
"""Longest time for one answer."""
TAKE_UP_S: Final = 120.0
"""Longest time for a server to take a new version up."""
_EVERY_S: Final = 0.2


class LiveServer:
    """A running ``penchant serve``, asked from outside, without its secret."""

    def __init__(self, address: str, repository: Repository) -> None:
        """Nothing is asked yet.

        Args:
            address: host:port of its gRPC endpoint.
            repository: what it serves.
        """
        self.address = address
        self._repository = repository

    @classmethod
    def of(cls, home: Home, repository: Repository) -> LiveServer | None:
        """The home's server; None where none runs, or it serves none of the repository's models."""
        try:
            if home.serving_pid() is None:
                return None
            served = set(json.loads(home.endpoint.read_text()).get("models", []))
            address = home.server_address()
        except (OSError, ValueError, AttributeError):
            return None
        return cls(address, repository) if served & set(repository.models()) else None

    def problem(self, name: str) -> str:
        """What is wrong with a model's answer to its golden rows; "" where nothing is."""
        canary = Canary(self.address, {}, self._repository)
        try:
            canary.ask(name, timeout_s=ANSWER_S)
        except (CanaryError, ValueError, OSError) as error:
            return str(error)
        finally:
            canary.close()
        return ""

    def await_version(self, name: str, version: int, *, timeout_s: float = TAKE_UP_S) -> str:
        """Wait until a version answers rightly; what is wrong, if it does not or is taken back."""
        deadline, problem = time.monotonic() + timeout_s, "it was not asked"
        while time.monotonic() < deadline:
            try:
                if self._repository.served(name).package_version != version:
                    return "the server took it back: it did not load, or answered wrongly"
            except ValueError as error:
                return str(error)
            problem = self.problem(name)
            if not problem:
                return ""
            time.sleep(_EVERY_S)
        return f"the server does not answer with it after {timeout_s:g} s: {problem}"
