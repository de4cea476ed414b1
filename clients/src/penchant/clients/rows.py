"""A caller's rows as the tensors of the wire.

Shapes: B rows, n numeric columns, m categorical columns, l slots of a multi-valued column.
Data frames are known by what they can do, so none of their libraries is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from penchant.clients.column_names import check_columns, check_keys
from penchant.clients.columns import exact_values, numeric_column, one_axis
from penchant.clients.contract import (
    CATEGORICAL,
    MULTI_PREFIX,
    NUMERIC,
    Contract,
    canonical_texts,
)
from penchant.clients.errors import InvalidRows
from penchant.clients.values import numbers, objects, padded_texts, shown


class Frame(Protocol):
    """What pandas and polars data frames, ``pyarrow.Table`` and ``RecordBatch`` have in common."""

    @property
    def columns(self) -> Any:
        """The columns or their names."""

    def __getitem__(self, name: Any, /) -> Any:
        """One column."""


Rows: TypeAlias = Sequence[Mapping[str, Any]] | Mapping[str, Any] | Frame
"""Dicts, one a row; or a data frame; or a mapping from column to its values."""


def to_tensors(rows: Rows, contract: Contract) -> dict[str, npt.NDArray[Any]]:
    """The input tensors for these rows.

    None, NaN, NaT and pandas' NA are missing; so is a column that a dict leaves out. Numeric
    columns take numbers, truth values and decimals, not text. Categorical values become text by
    :func:`~penchant.clients.contract.canonical_text`. A multi-valued column takes a list a row, or
    a text that is cut at the column's separator, spaces around it dropped; of more values than it
    has slots the first are kept, as in training. Columns that the model does not know are passed
    over.

    Args:
        rows: B dicts, a data frame of B rows, or a mapping from column to B values.
        contract: of the model that the rows are for.

    Returns:
        ``numeric`` float32 (B, n) with NaN for missing, ``categorical`` object (B, m) of ``str``
        with "" for missing, ``multi_<column>`` object (B, l) padded with ""; a group without
        columns is left out.

    Raises:
        InvalidRows: no rows; a column missing, misspelt or there twice; columns of unequal length;
            a value that is no number in a numeric column, or neither list nor text in a
            multi-valued one.
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
    check_keys(rows, frozenset(contract.features))
    size = len(rows)
    tensors: dict[str, npt.NDArray[Any]] = {}
    if names := contract.numeric:
        values = [row.get(name) for row in rows for name in names]
        numeric = numbers(values, lambda at: (names[at % len(names)], at // len(names)))
        tensors[NUMERIC] = numeric.reshape(size, len(names))
    if names := contract.categorical:
        values = [row.get(name) for row in rows for name in names]
        tensors[CATEGORICAL] = canonical_texts(objects(values)).reshape(size, len(names))
    for column in contract.multi_valued:
        lists = [row.get(column.name) for row in rows]
        tensors[MULTI_PREFIX + column.name] = padded_texts(lists, column)
    return tensors


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
                f"column {name!r}: expected a sequence of values, got {shown(column)}; "
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
            numeric[:, at] = numeric_column(columns[name], name)
        tensors[NUMERIC] = numeric
    if contract.categorical:
        categorical = np.empty((size, len(contract.categorical)), dtype=np.object_)
        for at, name in enumerate(contract.categorical):
            categorical[:, at] = canonical_texts(one_axis(exact_values(columns[name]), name))
        tensors[CATEGORICAL] = categorical
    for column in contract.multi_valued:
        lists = exact_values(columns[column.name])
        tensors[MULTI_PREFIX + column.name] = padded_texts(list(lists), column)
    return tensors


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
