"""What a recipe says about examples: of which log, at which moments, for which goals.

Loads neither Ibis nor torch, so that a command answers at once when a recipe is wrong.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from penchant.training.recipe_checks import check_least

CUTOFF_COLUMN: Final = "cutoff"
"""Column of example rows that holds their cut-off; the split by time goes by it."""
DAY_S: Final = 86_400


@dataclass(frozen=True, kw_only=True)
class GoalConfig:
    """Something a visitor may do after a cut-off t: it counts in (t, t + within_days]."""

    name: str
    """Name of the goal in reports and answers, as in repeat_purchase."""
    actions: tuple[str, ...] = ()
    """Actions that reach it; none named: any event."""
    within_days: float = 30.0
    """Horizon, in days."""
    negate: bool = False
    """True for a goal that is reached when nothing of it happens, as in churn."""

    def __post_init__(self) -> None:
        """Refuse a horizon that is none."""
        check_least(f"examples.goals: within_days of {self.name}", self.within_days, 1e-4)

    @property
    def column(self) -> str:
        """The column of example rows that holds the label."""
        return f"goal_{self.name}"

    @property
    def horizon_s(self) -> int:
        """Horizon in seconds."""
        return round(self.within_days * DAY_S)


@dataclass(frozen=True, kw_only=True)
class CutoffConfig:
    """Moments at which visitors are looked at; each gives a row a visitor.

    Horizons of two cut-offs may not overlap: what trains a model then ends before the moment at
    which it is validated, and that before the moment at which it is tested.
    """

    dates: tuple[str, ...] = ()
    """Dates (their midnight) or times, in the log's zone, as in 2011-06-01; none: counted back."""
    every_days: float | None = None
    """Days from one cut-off to the next, counted back; the longest horizon when None."""
    count: int = 8
    """Cut-offs counted back from the newest whose horizons are over at the end of the log."""

    def __post_init__(self) -> None:
        """Refuse two ways at once, and no cut-off at all."""
        check_least("examples.cutoffs.count", self.count, 1)
        if self.every_days is not None:
            check_least("examples.cutoffs.every_days", self.every_days, 1e-4)
            if self.dates:
                raise ValueError(
                    "examples.cutoffs: expected dates or every_days, got both; leave one out"
                )
        twice = [date for date, count in Counter(self.dates).items() if count > 1]
        if twice:
            raise ValueError(f"examples.cutoffs.dates: {', '.join(twice)} named more than once")


@dataclass(frozen=True, kw_only=True)
class ExamplesConfig:
    """Rows made of an event log: what was known of each visitor at a moment, what she did then."""

    log: str
    """Path of the log recipe, relative to this one first."""
    goals: tuple[GoalConfig, ...]
    """What is predicted; one model answers for all of them."""
    cutoffs: CutoffConfig = field(default_factory=CutoffConfig)
    """When visitors are looked at."""
    windows_days: tuple[int, ...] = (1, 7, 30, 90, 365)
    """Lengths, in days, of the windows in which actions are counted; all time comes beside them."""
    actions: tuple[str, ...] = ()
    """Actions that are counted one by one; none named: all that the log has."""
    purchase_actions: tuple[str, ...] = ("purchase",)
    """Actions that are purchases, for orders and what they were worth; those that the log lacks
    are left out."""
    customer_columns: tuple[str, ...] = ()
    """Columns of the log's customer table that become features. They are as they are today, not as
    they were at a cut-off: name none that changes with what visitors do."""
    having_done: tuple[str, ...] = ()
    """Only visitors who did one of these before the cut-off; none named: any event."""
    active_within_days: float | None = None
    """Only visitors with an event in that many days before the cut-off; None: ever."""

    def __post_init__(self) -> None:
        """Refuse goals with one name, and windows that are none."""
        if not self.goals:
            raise ValueError("examples.goals: expected at least one goal with a name, got none")
        twice = [n for n, count in Counter(goal.name for goal in self.goals).items() if count > 1]
        if twice:
            raise ValueError(f"examples.goals: two goals have the name {', '.join(twice)}")
        if len(set(self.windows_days)) < len(self.windows_days):
            raise ValueError(
                f"examples.windows_days: expected each length once, got {self.windows_days}"
            )
        for days in self.windows_days:
            check_least("examples.windows_days", days, 1)
        if self.active_within_days is not None:
            check_least("examples.active_within_days", self.active_within_days, 1e-4)

    @property
    def horizon_s(self) -> int:
        """The longest horizon, in seconds."""
        return max(goal.horizon_s for goal in self.goals)

    def relative_to(self, folder: Path) -> ExamplesConfig:
        """The same, with the log recipe looked for in `folder` first."""
        near = folder / Path(self.log).expanduser()
        return replace(self, log=str(near.resolve())) if near.exists() else self
