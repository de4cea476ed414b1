"""What all starts of one supervisor's server have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from penchant.clients.home import Home
from penchant.serving.health import Watch
from penchant.serving.repository import Repository, Stamp
from penchant.serving.tritonserver import LOOPBACK, TritonServer


@dataclass(frozen=True, kw_only=True)
class ServerPlan:
    """How to start the server, and what its starts have learnt so far."""

    repository: Repository
    """What to serve."""
    home: Home
    """Where the log and the endpoint file go."""
    server: TritonServer
    """What to start."""
    ports: tuple[int, int]
    """Of gRPC and of the metrics."""
    watch: Watch
    """How closely to watch."""
    say: Callable[[str], None]
    """Called with a line for each event that a person should know of; never raises."""
    stopping: threading.Event
    """Set once the server is to end."""
    open_statistics: bool = False
    """Whether everyone may read the server's statistics."""
    proven: dict[str, bytes] = field(default_factory=dict)
    """By model, the config whose version answered its canary."""
    rejected: dict[str, Stamp | None] = field(default_factory=dict)
    """Models of which no version ever answered, and the config that they are passed over with."""

    @property
    def address(self) -> str:
        """host:port of the gRPC endpoint."""
        return f"{LOOPBACK}:{self.ports[0]}"

    def described(self, model: str) -> str:
        """The model and the version that its config names, for people."""
        try:
            if self.repository.is_published(model):
                return f"{model} version {self.repository.served(model).package_version}"
        except (OSError, ValueError):
            pass  # A damaged config has no version to tell.
        return model
