"""Values of a caller's rows: numbers as float32, lists of categories as padded texts.

Shapes: B rows, l slots of a multi-valued column.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import chain
from numbers import Real
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from penchant.clients.contract import MultiValued, canonical_text, is_missing
from penchant.clients.errors import InvalidRows

_PLAIN_NUMBERS: Final = frozenset({int, float, bool, type(None), Decimal, np.float32, np.float64})
_PLAIN_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""A number as text; no words, no separators of thousands."""


def objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    """The values as they are, in an array of one axis."""
    return np.fromiter(values, dtype=np.object_, count=len(values))


def numbers(
    values: Sequence[Any], place: Callable[[int], tuple[str, int]]
) -> npt.NDArray[np.float32]:
    """Values as float32, (len(values),); ``place`` gives a position's column and row.

    Raises:
        InvalidRows: a value that is no number.
    """
    if set(map(type, values)) <= _PLAIN_NUMBERS:
        try:
            return as_float32(np.array(values, dtype=np.float64))
        except OverflowError:  # an int beyond float64: the loop below gives it its sign
            pass
    result = np.empty(len(values), dtype=np.float64)
    for at, value in enumerate(values):
        number = _number(value)
        if number is None:
            column, row = place(at)
            raise InvalidRows(
                f"column {column!r}, row {row}: expected a number, got {shown(value)} "
                f"({type(value).__name__}); convert it, or use None for missing"
            )
        result[at] = number
    return as_float32(result)


def as_float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Numbers as the wire has them."""
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which models take for missing
        return values.astype(np.float32)


def _number(value: Any) -> float | None:
    if is_missing(value):
        return math.nan
    if isinstance(value, str):  # training reads a text column of numbers too
        text = value.strip()
        return float(text) if _PLAIN_NUMBER.fullmatch(text) else None if text else math.nan
    if isinstance(value, np.timedelta64) or not isinstance(value, Real | Decimal | np.bool_):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if operator.gt(value, 0) else -math.inf


def shown(value: Any) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def padded_texts(rows: Sequence[Any], column: MultiValued) -> npt.NDArray[np.object_]:
    """The first l values of each row, left-aligned and padded with "", (B, l).

    Args:
        rows: lists of values, texts with the column's separator between values, or missing.
        column: says the separator and l.

    Raises:
        InvalidRows: a row that is none of these.
    """
    texts = [_texts(values, column, row)[: column.max_values] for row, values in enumerate(rows)]
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    padded = np.full((len(texts), column.max_values), "", dtype=np.object_)
    filled = np.arange(column.max_values) < lengths[:, None]
    padded[filled] = objects(list(chain.from_iterable(texts)))
    return padded


def _texts(values: Any, column: MultiValued, row: int) -> list[str]:
    if isinstance(values, str):
        return [text for text in map(str.strip, values.split(column.separator)) if text]
    if isinstance(values, list | tuple | set | frozenset | np.ndarray):
        return [text for text in map(canonical_text, values) if text]
    if is_missing(values):
        return []
    raise InvalidRows(
        f"column {column.name!r}, row {row}: expected a list of values, or a text with "
        f"{column.separator!r} between them, got {shown(values)} ({type(values).__name__}); "
        "wrap it in a list"
    )
