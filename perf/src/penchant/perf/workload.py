"""What a measurement puts on a server, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure."""

    rounds: int
    """Times that floor, model and ceiling are measured in turn."""
    window_ms: int
    """Length of one of perf_analyzer's three windows."""
    ceiling_s: float
    """Length of one in-process run."""


FULL: Final = Effort(rounds=3, window_ms=1000, ceiling_s=1.0)
QUICK: Final = Effort(rounds=1, window_ms=300, ceiling_s=0.2)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One kind of load."""

    callers: int
    """Requests in flight."""
    batch_size: int
    """Rows a request."""

    @property
    def name(self) -> str:
        """For the first column of the table."""
        callers = "1 caller" if self.callers == 1 else f"{self.callers} callers"
        return f"{callers}, 1 row" if self.batch_size == 1 else f"{callers}, {self.batch_size} rows"

    @property
    def ceiling_batch_size(self) -> int:
        """Rows that the server can have in hand for one run of the graph."""
        return self.callers if self.batch_size == 1 else self.batch_size
