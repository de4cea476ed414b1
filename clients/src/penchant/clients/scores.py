"""What a propensity model answers.

Shapes: B rows, G goals, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Reason:
    """One feature's share in one row's score."""

    feature: str
    """Column name."""
    effect: float
    """What the value adds to the score's logit; positive raises the propensity."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Calibrated scores of B rows, in the order in which the rows were sent."""

    model: str
    """Model name."""
    goals: tuple[str, ...]
    """Names along the axis G."""
    features: tuple[str, ...]
    """Names along the axis F."""
    propensity: npt.NDArray[np.float32]
    """Probability of each goal, (B, G)."""
    unknown: npt.NDArray[np.int32]
    """Values of a row that the model had never seen, (B,)."""
    version: npt.NDArray[np.int64]
    """Package version that scored the row, (B,); two only while a new one is going live."""
    reason: npt.NDArray[np.float32] | None = None
    """Share of each feature in the score's logit, (B, G, F); None if not asked for."""
    base: npt.NDArray[np.float32] | None = None
    """Logit without any feature, (B, G); with ``reason`` it sums to the score's logit."""

    def __len__(self) -> int:
        """Number of rows B."""
        return len(self.propensity)

    def for_goal(self, goal: int | str) -> npt.NDArray[np.float32]:
        """Propensities of one goal, (B,)."""
        return self.propensity[:, self._goal(goal)]

    def reasons(self, row: int, goal: int | str = 0, top: int = 3) -> list[Reason]:
        """The strongest reasons for one row's score, strongest first, whichever their direction.

        Raises:
            ValueError: if the scores were asked for without reasons, or there is no such goal.
        """
        if self.reason is None:
            raise ValueError(
                "reasons: the scores hold none; ask for them: score(..., reasons=True)"
            )
        effects = self.reason[row, self._goal(goal)]
        strongest = np.argsort(-np.abs(effects), kind="stable")[:top]
        return [Reason(self.features[at], float(effects[at])) for at in strongest]

    def _goal(self, goal: int | str) -> int:
        if isinstance(goal, int):
            return goal
        if goal not in self.goals:
            raise ValueError(f"goal: expected one of {list(self.goals)}, got {goal!r}")
        return self.goals.index(goal)

    @classmethod
    def concatenate(cls, parts: Sequence[Scores]) -> Scores:
        """Scores of one model, of consecutive rows, as one."""
        first = parts[0]
        if len(parts) == 1:
            return first
        return cls(
            model=first.model,
            goals=first.goals,
            features=first.features,
            propensity=np.concatenate([part.propensity for part in parts]),
            unknown=np.concatenate([part.unknown for part in parts]),
            version=np.concatenate([part.version for part in parts]),
            reason=_joined([part.reason for part in parts]),
            base=_joined([part.base for part in parts]),
        )


def _joined(parts: Sequence[npt.NDArray[Any] | None]) -> npt.NDArray[Any] | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present) if present else None
