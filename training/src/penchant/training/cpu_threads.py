"""How many threads PyTorch may use: threads that wait for one another cost more than they give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def at_most_threads(most: int) -> Iterator[None]:
    """Let PyTorch use that many threads of those it has, at least one, while the body runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, max(1, most)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
