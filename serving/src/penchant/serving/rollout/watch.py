"""Follow the registry for good, through whatever becomes of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from penchant.serving.rollout.rollout import Rollout

LONGEST_PAUSE_S: Final = 300.0
"""Longest pause after a failure; pauses double until then."""


class Watch:
    """One round after the other; what failed is tried again after a growing pause."""

    def __init__(
        self,
        open_rollout: Callable[[], Rollout],
        interval_s: float,
        *,
        say: Callable[[str], None],
    ) -> None:
        """Nothing is looked at yet.

        Args:
            open_rollout: connects to the registry; called again after each failure.
            interval_s: seconds between two rounds.
            say: called with a text whenever there is something new to say.
        """
        self._open = open_rollout
        self._interval_s = interval_s
        self._say = say
        self._rollout: Rollout | None = None
        self._said = ""
        self._failures = 0

    def run(self, models: Sequence[str], stopping: threading.Event) -> None:
        """Go on until the event is set; a round that has begun is finished."""
        while not stopping.is_set():
            self.round(models)
            stopping.wait(self.pause_s() * random.uniform(0.9, 1.1))

    def pause_s(self) -> float:
        """Seconds until the next round."""
        longest = max(LONGEST_PAUSE_S, self._interval_s)
        return float(min(self._interval_s * 2 ** min(self._failures, 20), longest))

    def round(self, models: Sequence[str]) -> None:
        """Look once; a failure is said once, and counted."""
        try:
            if self._rollout is None:
                self._rollout = self._open()
            text = str(self._rollout.reconciler.reconcile(models))
            self._failures = 0
        except (ValueError, OSError) as error:
            # What is served stays: nothing that failed says what is wanted.
            self._rollout = None
            self._failures += 1
            text = f"nothing is changed: {error}"
        if text != self._said:
            self._said = text
            self._say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n{text}")
