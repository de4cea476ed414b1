"""Columns of a caller's data as arrays, whichever library holds them.

Data frames are known by what they can do, so none of their libraries is imported here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from penchant.clients.errors import InvalidRows
from penchant.clients.values import as_float32, numbers, objects


def numeric_column(column: Any, name: str) -> npt.NDArray[np.float32]:
    """Numbers as float32, NaN for missing.

    Raises:
        InvalidRows: a value that is no number, or more than one a row.
    """
    values = one_axis(_numeric_values(column), name)
    if values.dtype.kind in "biuf":
        return as_float32(values)
    return numbers(list(values), lambda at: (name, at))


def _numeric_values(column: Any) -> npt.NDArray[Any]:
    if _is_pandas_extension(column) and column.dtype.kind in "biuf":
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return _values(column)


def exact_values(column: Any) -> npt.NDArray[Any]:
    """Values for text: integers beside missing ones must not become floats, which lose digits."""
    nulls = getattr(column, "null_count", 0)  # a property in pyarrow, a method in polars
    if (nulls() if callable(nulls) else nulls) > 0:
        return objects(column.to_pylist() if hasattr(column, "to_pylist") else column.to_list())
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
    return objects(column)


def one_axis(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """The values, refused if there is more than one a row.

    Raises:
        InvalidRows: naming the column.
    """
    if values.ndim != 1:
        raise InvalidRows(
            f"column {name!r}: expected one value a row, got an array of shape {values.shape}"
        )
    return values
