"""A caller's column names against the model's: which one lacks, and which was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from difflib import SequenceMatcher
from typing import Any, Final

from penchant.clients.errors import InvalidRows

_NEAR: Final = 0.85
"""Similarity of two names from which one is taken for a misspelling of the other."""


def check_keys(rows: Sequence[Mapping[str, Any]], features: frozenset[str]) -> None:
    """Refuse a key that is nearly a column its row lacks, which would pass as missing.

    Raises:
        InvalidRows: naming the row, the key and the column.
    """
    seen: set[frozenset[Any]] = set()
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidRows(f"row {at}: expected a dict, got {type(row).__name__}")
        if row.keys() <= features:
            continue
        keys = frozenset(row)
        if keys not in seen:
            seen.add(keys)
            _check_row_keys(at, keys, features)


def _check_row_keys(at: int, keys: Set[Any], features: Set[str]) -> None:
    missing = features - keys
    if missing == features:
        raise InvalidRows(
            f"row {at}: has none of the model's columns {sorted(features)}, "
            f"only {sorted(map(str, keys))}; rename its keys"
        )
    for key in sorted(map(str, keys - features)):
        near = nearest(key, missing)
        if near is not None:
            raise InvalidRows(
                f"row {at}: the model has no column {key!r} and the row lacks {near!r}; "
                f"did you mean {near!r}? Rename it, or leave it out if it is another thing"
            )


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that ``name`` probably stands for; ``day_1`` does not stand for ``day_2``."""
    best, best_ratio = None, _NEAR
    for candidate in candidates:
        left, right = _folded(name), _folded(candidate)
        if left != right and _digits(left) != _digits(right):
            continue
        ratio = SequenceMatcher(None, left, right).ratio()
        if ratio >= best_ratio:
            best, best_ratio = candidate, ratio
    return best


def _folded(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _digits(name: str) -> str:
    return "".join(letter for letter in name if letter.isdigit())


def check_columns(names: Sequence[str], features: Sequence[str]) -> None:
    """Refuse columns among which one of the model's is missing.

    Raises:
        InvalidRows: naming it, and the one that was probably meant.
    """
    missing = [name for name in features if name not in names]
    if not missing:
        return
    near = nearest(missing[0], [name for name in names if name not in features])
    hint = f"did you mean {near!r}? Rename it" if near else f"the rows have {sorted(names)}"
    others = f" (and {len(missing) - 1} more: {missing[1:]})" if len(missing) > 1 else ""
    raise InvalidRows(
        f"column {missing[0]!r}{others}: the model needs it and the rows lack it; {hint}, "
        "or add it with missing values"
    )
