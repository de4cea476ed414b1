"""How the models of a running server are: what failed, and how often in a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from penchant.serving.canary import BusyError, Canary, CanaryError
from penchant.serving.process import TritonProcess


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How closely the server is watched."""

    interval_s: float = 0.2
    """Seconds between two looks at the process and at the configs."""
    canary_every_s: float = 1.0
    """Seconds between two canaries of a model."""
    canary_timeout_s: float = 10.0
    """A canary that takes longer failed. Triton 2.51 can crash when a call is given up early, so
    this is long; the server is started anew then in any case."""
    failures: int = 2
    """Failed canaries in a row that end in a restart."""
    low_counts: int = 3
    """Looks in a row that find too few model processes and end in a restart."""
    start_timeout_s: float = 120.0
    """Seconds that a server may take until every model answers."""
    first_pause_s: float = 0.5
    """Pause before the first restart; it doubles with each that does not help."""
    longest_pause_s: float = 30.0
    """Longest pause before a restart."""


class Health:
    """Failures in a row of one server's models and processes."""

    def __init__(self, canary: Canary, process: TritonProcess, watch: Watch) -> None:
        """Nothing has failed yet."""
        self._canary = canary
        self._process = process
        self._watch = watch
        self._failures: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        self._low_counts = 0

    @property
    def in_doubt(self) -> bool:
        """Whether anything failed when it was last looked at."""
        return self._low_counts > 0 or any(self._failures.values())

    def trouble(self, models: Iterable[str], processes: Mapping[str, int]) -> str | None:
        """Count processes and ask every model; what has failed too often, if anything.

        Args:
            models: the models that are served.
            processes: Python processes by model.
        """
        models = tuple(models)
        # Of a model that is no longer served nothing is known, and nothing in doubt.
        self._failures = {model: self._failures.get(model, 0) for model in models}
        trouble = self._too_few(sum(processes[model] for model in models))
        for model in models:
            problem = self._problem(model)
            self._failures[model] = self._failures[model] + 1 if problem else 0
            if self._failures[model] >= self._watch.failures:
                trouble = trouble or problem
        return trouble

    def _too_few(self, expected: int) -> str | None:
        """The kernel's list of children may miss one that comes or goes: one low count is none."""
        alive = self._process.num_stubs()
        self._low_counts = self._low_counts + 1 if alive is not None and alive < expected else 0
        if self._low_counts < self._watch.low_counts:
            return None
        return f"of {expected} model processes only {alive} are alive"

    def _problem(self, model: str) -> str | None:
        """Ask the canary; a model too busy to let it through is well while it answers others."""
        timeout_s = self._watch.canary_timeout_s
        try:
            self._canary.ask(model, timeout_s=timeout_s)
        except BusyError as error:
            return None if self._makes_progress(model, timeout_s) else str(error)
        except (CanaryError, ValueError) as error:
            return str(error)
        return None

    def _makes_progress(self, model: str, timeout_s: float) -> bool:
        try:
            answered = self._canary.num_answered(model, timeout_s=timeout_s)
        except CanaryError:
            return False
        before = self._answered.get(model, -1)
        self._answered[model] = answered
        return answered != before
