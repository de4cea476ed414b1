"""What a version has to pass before it is served, and what each gate found.

A comparison yields an interval of how much worse the new version is. It blocks where the whole
interval lies beyond the tolerance, passes where the whole interval lies within, and is undecided
where the tolerance lies inside the interval: then the evidence does not tell the two apart, and
neither luck nor bad luck decides.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Outcome = Literal["pass", "block", "undecided"]

PASS: Final = "pass"
BLOCK: Final = "block"
UNDECIDED: Final = "undecided"


@dataclass(frozen=True, kw_only=True)
class PreflightGate:
    """Load the package and answer its golden rows in a process of its own."""

    timeout_s: float = 300.0
    """Longest time that this may take, in seconds."""

    def __post_init__(self) -> None:
        _check("gates.preflight", timeout_s=self.timeout_s)


@dataclass(frozen=True, kw_only=True)
class QualityGate:
    """Not worse than the champion on the same held-out rows."""

    enabled: bool = True
    """Whether versions are compared at all."""
    auc_drop: float = 0.01
    """Of a propensity: how much AUC may fall."""
    logloss_rise: float = 0.02
    """Of a propensity: how much log loss may rise, as a share of the champion's."""
    ece_rise: float = 0.02
    """Of a propensity: how much the calibration error (10 bins of equal mass) may rise."""
    bias_rise: float = 0.1
    """Of a propensity: how much |log(mean score / rate)|, calibration in the large, may rise."""
    ndcg_drop: float = 0.05
    """Of a journey: how much NDCG@10 may fall, as a share of the champion's."""
    hit_rate_drop: float = 0.05
    """Of a journey: how much HR@10 may fall, as a share of the champion's."""
    confidence: float = 0.95
    """Of each interval."""
    rounds: int = 1000
    """Rounds of the bootstrap."""
    most_s: float = 120.0
    """Longest time that scoring the rows may take, in seconds; what is scored by then counts."""

    def __post_init__(self) -> None:
        limits = {name: value for name, value in asdict(self).items() if name != "enabled"}
        _check("gates.quality", **limits)
        _check_share("gates.quality.confidence", self.confidence)


@dataclass(frozen=True, kw_only=True)
class LatencyGate:
    """Within the contract's budget, and not much slower than the champion; in process, one row."""

    enabled: bool = True
    """Whether versions are timed at all."""
    p50_ratio: float = 1.25
    """Most that the median may be of the champion's, as a multiple."""
    p99_ratio: float = 1.5
    """Most that the 99th percentile may be of the champion's, as a multiple."""
    budget_share: float = 1.0
    """Most that the 99th percentile may be of the contract's latency budget, as a multiple."""
    calls: int = 50
    """Calls of a block; blocks of both versions take turns."""
    least_blocks: int = 8
    """Blocks of each version before anything is decided."""
    most_s: float = 20.0
    """Time after which an undecided comparison stays so, in seconds."""
    confidence: float = 0.95
    """Of each interval."""

    def __post_init__(self) -> None:
        limits = {name: value for name, value in asdict(self).items() if name != "enabled"}
        _check("gates.latency", **limits)
        _check_share("gates.latency.confidence", self.confidence)


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Settings of all gates. Package integrity has none: a damaged package is never served."""

    preflight: PreflightGate = field(default_factory=PreflightGate)
    """Golden answers in a throw-away process."""
    quality: QualityGate = field(default_factory=QualityGate)
    """Quality and calibration against the champion."""
    latency: LatencyGate = field(default_factory=LatencyGate)
    """Time against the budget and the champion."""
    undecided: Literal["hold", "pass"] = "hold"
    """What becomes of a version that is to replace the champion and that the evidence does not tell
    from a worse one: hold leaves the champion until a person accepts it, pass serves it."""

    def digest(self) -> str:
        """Short digest of all settings: changes whenever one does."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one gate, or one comparison of it, found."""

    gate: str
    """integrity, preflight, quality or latency."""
    metric: str
    """What was looked at, as in "purchase auc"; "" where the gate looks at one thing."""
    outcome: Outcome
    """Whether it may be served, as far as this goes."""
    reason: str
    """The same in words, with the numbers."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What was measured."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON values; a number that is none becomes a text."""
        numbers = {
            name: value if math.isfinite(value) else str(value)
            for name, value in self.numbers.items()
        }
        return asdict(self) | {"numbers": numbers}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What all gates found of one version."""

    findings: Sequence[Finding]

    @property
    def outcome(self) -> Outcome:
        """The worst of all findings."""
        found = {finding.outcome for finding in self.findings}
        if BLOCK in found:
            return BLOCK
        return UNDECIDED if UNDECIDED in found else PASS

    @property
    def reason(self) -> str:
        """What decided, in words; "" where all passed."""
        worst = self.outcome
        if worst == PASS:
            return ""
        return "; ".join(f.reason for f in self.findings if f.outcome == worst)


def judge(low: float, high: float, tolerance: float) -> Outcome:
    """The rule of every comparison; an interval of nothing (NaN) decides nothing.

    Args:
        low: lower end of how much worse the new version is.
        high: upper end.
        tolerance: how much worse it may be.
    """
    if low > tolerance:
        return BLOCK
    return PASS if high <= tolerance else UNDECIDED


def _check(place: str, **limits: float) -> None:
    for name, value in limits.items():
        if not value >= 0 or (name in ("calls", "least_blocks", "rounds") and value < 2):
            raise ValueError(
                f"{place}.{name}: expected {'at least 2' if value >= 0 else '0 or more'}, got "
                f"{value}; correct the gates"
            )


def _check_share(place: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{place}: expected between 0 and 1, got {value}; as in 0.95")


DEFAULT_GATES: Final = Gates()
