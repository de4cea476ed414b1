"""The difference between what the registry wants served and what the repository serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from penchant.serving.registry import CHAMPION

Action = Literal["publish", "withdraw", "keep", "refuse", "hold", "wait"]
"""What happens to a model in a role: publish a version; withdraw the one that is served; keep it;
refuse the wanted one; hold it, because the evidence does not decide; wait for something else."""

CHANGES: Final = ("publish", "withdraw")
NOT_DONE: Final = ("refuse", "hold", "wait")
"""Actions that leave what is served other than what is wanted."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens to one model in one role."""

    model: str
    """The registered model."""
    role: str
    """champion or challenger."""
    action: Action
    version: int | None
    """The version that it is about."""
    served: int | None
    """The version that is served now; None where none is."""
    target: str = "cpu"
    """What is to run it."""
    reason: str = ""
    """Why, where it is not as wanted."""

    def because(self, action: Action, reason: str) -> Step:
        """The same step with another outcome."""
        return replace(self, action=action, reason=reason)

    def __str__(self) -> str:
        """One line for people."""
        place = self.model if self.role == CHAMPION else f"{self.model}'s challenger"
        version = "" if self.version is None else f" version {self.version}"
        instead = ""
        if self.served not in (None, self.version):
            is_new = self.action == "publish"
            instead = f" {'instead of' if is_new else 'while'} version {self.served}"
            instead += "" if is_new else " is served"
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.action} {place}{version}{instead}{reason}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All steps, in the order in which they are taken; after that, what became of each."""

    steps: Sequence[Step]

    @property
    def changes(self) -> Sequence[Step]:
        """Steps that change what is served."""
        return [step for step in self.steps if step.action in CHANGES]

    @property
    def not_done(self) -> Sequence[Step]:
        """Steps that leave something other than wanted."""
        return [step for step in self.steps if step.action in NOT_DONE]

    def __str__(self) -> str:
        """One line a step."""
        if not self.steps:
            return "nothing is wanted, and nothing of penchant's is served"
        return "\n".join(map(str, self.steps))
