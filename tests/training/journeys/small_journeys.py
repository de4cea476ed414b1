"""Journeys made from plain lists, for tests."""

from collections.abc import Sequence

import numpy as np

from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.journeys import Journeys


def journeys_of(
    items: Sequence[Sequence[int]],
    *,
    times: Sequence[Sequence[int]] | None = None,
    actions: Sequence[Sequence[int]] | None = None,
    sessions: Sequence[Sequence[int]] | None = None,
    names: tuple[str, ...] = ("view", "purchase"),
    has_clock: bool = True,
) -> Journeys:
    """Journeys with these item codes; by default one view a second in one session."""
    lengths = [len(row) for row in items]

    def flat(rows: Sequence[Sequence[int]], dtype: str) -> np.ndarray:
        return np.array([value for row in rows for value in row], dtype)

    return Journeys(
        visitor_id=np.arange(len(items), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item=flat(items, "int32"),
        action=flat(actions or [[1] * n for n in lengths], "uint8"),
        channel=np.zeros(sum(lengths), np.uint8),
        time_s=flat(times or [range(n) for n in lengths], "int64"),
        session=flat(sessions or [[0] * n for n in lengths], "int32"),
        actions=names,
        has_clock=has_clock,
    )


def random_journeys(
    visitors: int = 40, items: int = 30, *, longest: int = 25, seed: int = 0
) -> Journeys:
    """Journeys of random items, actions and times; some events have no item or an unknown one."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, longest, visitors)
    return journeys_of(
        [rng.integers(0, items + 2, n).tolist() for n in lengths],
        times=[np.sort(rng.integers(0, 10_000_000, n)).tolist() for n in lengths],
        actions=[rng.integers(1, 3, n).tolist() for n in lengths],
        sessions=[np.sort(rng.integers(0, 4, n)).tolist() for n in lengths],
    )


def catalogue_of(categories: Sequence[str | None]) -> Catalogue:
    """Items 0, 1, 2... with these categories."""
    names = tuple(dict.fromkeys(name for name in categories if name))
    return Catalogue(
        item_id=np.arange(len(categories), dtype=np.int64),
        category=np.array([names.index(c) + 2 if c else 0 for c in categories], np.int32),
        categories=names,
    )
