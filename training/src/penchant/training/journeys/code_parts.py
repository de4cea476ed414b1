"""Parts of a catalogue that is too large to be scored at once.

TensorRT takes no tensor of more than :data:`MOST_ELEMENTS`, and scores are (B, N). So parts of the
item codes are scored, masked and ranked by themselves, which gives the same items.

Letters: B visitors, N item codes, M of them in a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from penchant.serving.engines.memory import MOST_ELEMENTS

MASKED: Final = -30_000.0
"""Score of a code that may not be answered; finite in half precision too, so that a visitor
without any item left still gets numbers."""


@dataclass(frozen=True)
class CodePart:
    """Item codes from `start` to before `stop`, M of them."""

    start: int
    stop: int
    repeats: int = 0
    """How many of the first codes are in the part before too, and count there."""

    @property
    def size(self) -> int:
        """M."""
        return self.stop - self.start

    def place(self, code: Tensor) -> Tensor:
        """Columns of codes in the part; column M, one more than there are, of other codes."""
        inside = (code >= self.start + self.repeats) & (code < self.stop)
        return torch.where(inside, code - self.start, torch.full_like(code, self.size))


def code_parts(num_codes: int, most_codes: int | None = None) -> tuple[CodePart, ...]:
    """Parts of one size that cover all codes; the last may repeat codes of the one before.

    Of parts of several sizes TensorRT-RTX 1.7.1 builds no engine ("CHECK(is_const()) failed").

    Args:
        num_codes: N.
        most_codes: Most codes M of a part; one part holds all when None.
    """
    count = 1 if most_codes is None else -(-num_codes // most_codes)
    size = -(-num_codes // count)
    starts = [min(place * size, num_codes - size) for place in range(count)]
    return tuple(
        CodePart(start, start + size, repeats=place * size - start)
        for place, start in enumerate(starts)
    )


def codes_at_once(max_batch_size: int, *, tables: int = 1) -> int:
    """Most codes of a part.

    Args:
        max_batch_size: Most visitors of a request.
        tables: Scores that one tensor holds of each code.
    """
    return (MOST_ELEMENTS // max_batch_size - 1) // tables  # one column more is for other codes
