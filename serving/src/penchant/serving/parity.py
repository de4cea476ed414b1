"""Whether a served model gives the answers that PyTorch gave for the golden rows.

Numbers may differ by a tolerance. Ranked items may change places where their scores tie within it,
for two runtimes add up in different orders; an item whose score is no tie is a wrong answer.
Shapes: B rows, K ranked items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penchant.clients.contract import BASE, PROPENSITY, REASON
from penchant.clients.journey_contract import (
    CHANNEL_SCORE,
    HOUR_SCORE,
    INTENT,
    INTENT_SCORE,
    NEXT_ITEM,
    NO_ITEM,
    PURCHASE,
    SCORE,
    VISITOR_EMBEDDING,
)
from penchant.serving.golden import GoldenRows


@dataclass(frozen=True)
class Tolerance:
    """Largest difference that counts as the same number: ``absolute + relative * |expected|``."""

    absolute: float = 0.0
    relative: float = 0.0

    def around(self, expected: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """How far from each expected number is near enough."""
        return self.absolute + self.relative * np.abs(expected.astype(np.float64))

    def __str__(self) -> str:
        relative = f" and {self.relative:g} of the number" if self.relative else ""
        return f"{self.absolute:g}{relative}"


_PROBABILITY: Final = Tolerance(1e-5)
_SHARE: Final = Tolerance(1e-9, 1e-3)
"""Of a probability that is shared out among up to a million items: what a difference of 1e-3 in a
logit makes of it."""

TOLERANCE: Final[Mapping[str, Tolerance]] = MappingProxyType(
    {
        PROPENSITY: _PROBABILITY,
        # Reasons add up to the logit of a score that is rounded to float32: at .9999 one unit in
        # its last place moves the logit by 6e-4.
        REASON: Tolerance(1e-3),
        BASE: Tolerance(1e-4),
        SCORE: _SHARE,
        INTENT_SCORE: _SHARE,
        CHANNEL_SCORE: _PROBABILITY,
        HOUR_SCORE: _PROBABILITY,
        PURCHASE: _PROBABILITY,
        VISITOR_EMBEDDING: Tolerance(1e-4, 1e-3),
    }
)
"""By output of any kind of model; others have to be the same."""

RANKED: Final[Mapping[str, str]] = MappingProxyType({NEXT_ITEM: SCORE, INTENT: INTENT_SCORE})
"""Outputs that rank things -> the output with their scores."""


def check_answers(golden: GoldenRows, outputs: Mapping[str, npt.NDArray[Any]]) -> None:
    """Compare the outputs for the golden rows with what PyTorch gave; outputs may be left out.

    Args:
        golden: the rows.
        outputs: by name, (B, …); text as ``str`` or as UTF-8 bytes.

    Raises:
        ValueError: if a number differs by more than its tolerance or is NaN, or a ranked thing
            stands where its score is no tie.
    """
    for name, expected in golden.outputs.items():
        if name not in outputs:
            continue
        got = outputs[name]
        if got.shape != expected.shape:
            raise ValueError(f"{name}: expected shape {expected.shape}, got {got.shape}")
        if name in RANKED:
            scored_by = RANKED[name]
            _check_ranks(name, expected, got, golden.outputs[scored_by], TOLERANCE[scored_by])
        else:
            _check_numbers(name, expected, got, TOLERANCE.get(name, Tolerance()))


def _check_numbers(
    name: str, expected: npt.NDArray[Any], got: npt.NDArray[Any], tolerance: Tolerance
) -> None:
    difference = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    if not (difference <= tolerance.around(expected)).all():
        raise ValueError(
            f"{name}: expected PyTorch's golden answers within {tolerance}, got a difference of "
            f"{difference.max():g}"
        )


def _check_ranks(
    name: str,
    expected: npt.NDArray[Any],
    got: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    tolerance: Tolerance,
) -> None:
    near = tolerance.around(scores)
    for row, (wanted, found) in enumerate(zip(expected.tolist(), _plain(got), strict=True)):
        if wanted == found:
            continue
        at = _first_wrong(wanted, found, scores[row].tolist(), near[row].tolist())
        if at is not None:
            raise ValueError(
                f"{name}: expected PyTorch's golden answers but for ties within {tolerance}, got "
                f"{found[at]!r} instead of {wanted[at]!r} in place {at + 1} of row {row}"
            )


def _first_wrong(
    wanted: list[Any], found: list[Any], scores: list[float], near: list[float]
) -> int | None:
    """The first place whose item is neither the wanted one nor a tie with it; None where all are.

    An item that is not among the wanted ones may tie with the last of them, which it displaced.
    """
    places = {item: at for at, item in enumerate(wanted)}
    last = len(wanted) - 1
    for at, item in enumerate(found):
        if item == wanted[at] and (_is_nothing(item) or item not in found[:at]):
            continue
        home = places.get(item, last)
        if item in found[:at] or any(map(_is_nothing, (item, wanted[at], wanted[home]))):
            return at
        if abs(scores[home] - scores[at]) > near[at]:
            return at
    return None


def _is_nothing(item: object) -> bool:
    """Whether it stands for no item or no category."""
    return item in ("", NO_ITEM)


def _plain(value: npt.NDArray[Any]) -> list[Any]:
    """Rows of a table as lists; bytes as text."""
    return [
        [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in row]
        for row in value.tolist()
    ]
