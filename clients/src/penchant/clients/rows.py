"""A caller's rows as the tensors of the wire.

Shapes: B rows, n numeric columns, m categorical columns, l slots of a multi-valued column.
Data frames are known by what they can do, so none of their libraries is imported here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from decimal import Decimal
from difflib import SequenceMatcher
from itertools import chain
from numbers import Real
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from penchant.clients.contract import (
    CATEGORICAL,
    MULTI_PREFIX,
    NUMERIC,
    Contract,
    MultiValued,
    canonical_text,
    canonical_texts,
    is_missing,
)
from penchant.clients.errors import InvalidRows


class Frame(Protocol):
    """What pandas and polars data frames, ``pyarrow.Table`` and ``RecordBatch`` have in common."""

    @property
    def columns(self) -> Any:
        """The columns or their names."""

    def __getitem__(self, name: Any, /) -> Any:
        """One column."""


Rows: TypeAlias = Sequence[Mapping[str, Any]] | Mapping[str, Any] | Frame
"""Dicts, one a row; or a data frame; or a mapping from column to its values."""

_PLAIN_NUMBERS: Final = frozenset({int, float, bool, type(None), Decimal, np.float32, np.float64})
_NEAR: Final = 0.85
"""Similarity of two names from which one is taken for a misspelling of the other."""


def to_tensors(rows: Rows, contract: Contract) -> dict[str, npt.NDArray[Any]]:
    """The input tensors for these rows.

    None, NaN, NaT and pandas' NA are missing; so is a column that a dict leaves out. Numeric
    columns take numbers, truth values and decimals, not text. Categorical values become text by
    :func:`~penchant.clients.contract.canonical_text`. A multi-valued column takes a list a row.
    Columns that the model does not know are passed over.

    Args:
        rows: B dicts, a data frame of B rows, or a mapping from column to B values.
        contract: of the model that the rows are for.

    Returns:
        ``numeric`` float32 (B, n) with NaN for missing, ``categorical`` object (B, m) of ``str``
        with "" for missing, ``multi_<column>`` object (B, l) padded with ""; a group without
        columns is left out.

    Raises:
        InvalidRows: no rows; a column missing, misspelt or there twice; columns of unequal length;
            a value that is no number in a numeric column; too many values in a multi-valued one.
    """
    if isinstance(rows, Mapping):
        return _from_columns(_MappingSource(rows), contract)
    if hasattr(rows, "column_names") or hasattr(rows, "columns"):
        return _from_columns(_FrameSource(rows), contract)
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        return _from_dicts(rows, contract)
    raise InvalidRows(
        "rows: expected a list of dicts, a data frame, or a mapping from column to values, "
        f"got {type(rows).__name__}"
    )


# Rows as dicts.


def _from_dicts(
    rows: Sequence[Mapping[str, Any]], contract: Contract
) -> dict[str, npt.NDArray[Any]]:
    if not rows:
        raise InvalidRows("rows: expected at least one row, got none")
    _check_keys(rows, frozenset(contract.features))
    size = len(rows)
    tensors: dict[str, npt.NDArray[Any]] = {}
    if names := contract.numeric:
        values = [row.get(name) for row in rows for name in names]
        numbers = _numbers(values, lambda at: (names[at % len(names)], at // len(names)))
        tensors[NUMERIC] = numbers.reshape(size, len(names))
    if names := contract.categorical:
        values = [row.get(name) for row in rows for name in names]
        tensors[CATEGORICAL] = canonical_texts(_objects(values)).reshape(size, len(names))
    for column in contract.multi_valued:
        lists = [row.get(column.name) for row in rows]
        tensors[MULTI_PREFIX + column.name] = _padded(lists, column)
    return tensors


def _check_keys(rows: Sequence[Mapping[str, Any]], features: frozenset[str]) -> None:
    """Refuse a key that is nearly a column its row lacks, which would pass as missing."""
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


# Rows as columns.


class _Source(Protocol):
    """Columns by name."""

    @property
    def names(self) -> list[str]:
        """Names of all columns."""

    def __getitem__(self, name: str) -> Any:
        """A column as the caller holds it."""


class _MappingSource:
    def __init__(self, columns: Mapping[str, Any]) -> None:
        self.names = [name for name in columns if isinstance(name, str)]
        self._columns = columns

    def __getitem__(self, name: str) -> Any:
        column = self._columns[name]
        if isinstance(column, str | bytes) or not hasattr(column, "__len__"):
            raise InvalidRows(
                f"column {name!r}: expected a sequence of values, got {_shown(column)}; "
                "pass one row as [row]"
            )
        return column


class _FrameSource:
    def __init__(self, frame: Any) -> None:
        self._is_arrow = hasattr(frame, "column_names")
        names = frame.column_names if self._is_arrow else frame.columns
        self.names = [name for name in names if isinstance(name, str)]
        self._frame = frame

    def __getitem__(self, name: str) -> Any:
        if self.names.count(name) > 1:
            raise InvalidRows(f"column {name!r}: is in the data frame more than once; keep one")
        return self._frame.column(name) if self._is_arrow else self._frame[name]


def _from_columns(source: _Source, contract: Contract) -> dict[str, npt.NDArray[Any]]:
    check_columns(source.names, contract.features)
    columns = {name: source[name] for name in contract.features}
    size = _common_length(columns)
    tensors: dict[str, npt.NDArray[Any]] = {}
    if contract.numeric:
        numeric = np.empty((size, len(contract.numeric)), dtype=np.float32)
        for at, name in enumerate(contract.numeric):
            numeric[:, at] = _numeric_column(columns[name], name)
        tensors[NUMERIC] = numeric
    if contract.categorical:
        categorical = np.empty((size, len(contract.categorical)), dtype=np.object_)
        for at, name in enumerate(contract.categorical):
            categorical[:, at] = canonical_texts(_one_axis(_exact_values(columns[name]), name))
        tensors[CATEGORICAL] = categorical
    for column in contract.multi_valued:
        lists = _exact_values(columns[column.name])
        tensors[MULTI_PREFIX + column.name] = _padded(list(lists), column)
    return tensors


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


def _common_length(columns: Mapping[str, Any]) -> int:
    first, size = "", -1
    for name, column in columns.items():
        if size < 0:
            first, size = name, len(column)
        elif len(column) != size:
            raise InvalidRows(
                f"column {name!r}: has {len(column)} values, but column {first!r} has {size}; "
                "every column needs one value a row"
            )
    if size == 0:
        raise InvalidRows("rows: expected at least one row, got none")
    return size


def _numeric_column(column: Any, name: str) -> npt.NDArray[np.float32]:
    values = _one_axis(_numeric_values(column), name)
    if values.dtype.kind in "biuf":
        return _as_float32(values)
    return _numbers(list(values), lambda at: (name, at))


def _numeric_values(column: Any) -> npt.NDArray[Any]:
    if _is_pandas_extension(column) and column.dtype.kind in "biuf":
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return _values(column)


def _exact_values(column: Any) -> npt.NDArray[Any]:
    """Values for text: integers beside missing ones must not become floats, which lose digits."""
    nulls = getattr(column, "null_count", 0)  # a property in pyarrow, a method in polars
    if (nulls() if callable(nulls) else nulls) > 0:
        return _objects(column.to_pylist() if hasattr(column, "to_pylist") else column.to_list())
    if _is_pandas_extension(column):
        return np.asarray(column.to_numpy(dtype=np.object_))
    return _values(column)


def _is_pandas_extension(column: Any) -> bool:
    return hasattr(column, "array") and not isinstance(column.dtype, np.dtype)


def _values(column: Any) -> npt.NDArray[Any]:
    if isinstance(column, np.ndarray):
        return column
    if hasattr(column, "to_pylist"):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    if hasattr(column, "to_numpy"):
        return np.asarray(column.to_numpy())
    return _objects(column)


def _objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    return np.fromiter(values, dtype=np.object_, count=len(values))


def _one_axis(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    if values.ndim != 1:
        raise InvalidRows(
            f"column {name!r}: expected one value a row, got an array of shape {values.shape}"
        )
    return values


# Values.


def _numbers(
    values: Sequence[Any], place: Callable[[int], tuple[str, int]]
) -> npt.NDArray[np.float32]:
    """Values as float32, (len(values),); ``place`` gives a position's column and row."""
    if set(map(type, values)) <= _PLAIN_NUMBERS:
        try:
            return _as_float32(np.array(values, dtype=np.float64))
        except OverflowError:  # an int beyond float64: the loop below gives it its sign
            pass
    numbers = np.empty(len(values), dtype=np.float64)
    for at, value in enumerate(values):
        number = _number(value)
        if number is None:
            column, row = place(at)
            raise InvalidRows(
                f"column {column!r}, row {row}: expected a number, got {_shown(value)} "
                f"({type(value).__name__}); convert it, or use None for missing"
            )
        numbers[at] = number
    return _as_float32(numbers)


def _as_float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which models take for missing
        return values.astype(np.float32)


def _number(value: Any) -> float | None:
    if is_missing(value):
        return math.nan
    if isinstance(value, np.timedelta64) or not isinstance(value, Real | Decimal | np.bool_):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if operator.gt(value, 0) else -math.inf


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _padded(lists: Sequence[Any], column: MultiValued) -> npt.NDArray[np.object_]:
    """Lists of values, left-aligned and padded with "", (B, l)."""
    texts = [_texts(values, column.name, row) for row, values in enumerate(lists)]
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if int(lengths.max()) > column.max_values:
        row = int(np.argmax(lengths > column.max_values))
        raise InvalidRows(
            f"column {column.name!r}, row {row}: expected at most {column.max_values} values, "
            f"got {lengths[row]}; keep the {column.max_values} that matter most"
        )
    padded = np.full((len(texts), column.max_values), "", dtype=np.object_)
    filled = np.arange(column.max_values) < lengths[:, None]
    padded[filled] = _objects(list(chain.from_iterable(texts)))
    return padded


def _texts(values: Any, name: str, row: int) -> list[str]:
    if isinstance(values, list | tuple | set | frozenset | np.ndarray):
        return [text for text in map(canonical_text, values) if text]
    if is_missing(values):
        return []
    raise InvalidRows(
        f"column {name!r}, row {row}: expected a list of values, got {_shown(values)} "
        f"({type(values).__name__}); wrap it in a list"
    )
