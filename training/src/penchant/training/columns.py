"""From an Arrow column to arrays: numbers, coded categories, labels, and keys of a split.

N rows, l slots of a multi-valued column. Rows in messages count from 1, a header not counted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from penchant.clients.contract import canonical_text
from penchant.training.recipe import Goal, MultiValuedColumn
from penchant.training.recipe_checks import nearest

_TRUTH: Final = {"0": 0.0, "false": 0.0, "1": 1.0, "true": 1.0}
_MOST_VALUES_SHOWN: Final = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class CodedColumn:
    """Categories of one column as numbers, with the texts they stand for."""

    name: str
    """Column name."""
    codes: NDArray[np.int32]
    """Place of each value in `texts`: (N,), or (N, l) of a multi-valued column."""
    texts: NDArray[np.object_]
    """Distinct texts as they go over the wire; the first is "", which means missing."""

    def raw(self, rows: NDArray[np.int64]) -> NDArray[np.object_]:
        """Texts of the given rows: (B,), or (B, l) of a multi-valued column."""
        return self.texts[self.codes[rows]]


def read_numbers(column: pa.ChunkedArray, name: str) -> NDArray[np.float32]:
    """Numbers of a column as float32 (N,), NaN where missing.

    Text is read as numbers when all of it can be; blank text is missing.

    Raises:
        ValueError: The column holds something else than numbers; says the first and its row.
    """
    column = _plain(column)
    kind = column.type
    if _is_text(kind):
        numbers = _parse(column, name)
    elif pa.types.is_boolean(kind):
        numbers = column.cast(pa.uint8()).cast(pa.float64())
    elif pa.types.is_null(kind) or _is_number(kind):
        numbers = column.cast(pa.float64(), safe=False)
    else:
        raise ValueError(
            f"columns.numeric: '{name}' has the type {kind}, expected numbers, truth values or "
            "text that holds numbers; move it to columns.categorical or columns.ignored"
        )
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which counts as missing
        result: NDArray[np.float32] = numbers.to_numpy().astype(np.float32)
    return result


def read_categories(
    column: pa.ChunkedArray, name: str, *, text_of: Callable[[Any], str] = canonical_text
) -> CodedColumn:
    """Categories of a column with one value a row, as codes (N,).

    Args:
        column: N values.
        name: For messages.
        text_of: Gives the text that stands for a value.

    Raises:
        ValueError: The column holds lists or records.
    """
    column = _plain(column)
    if pa.types.is_nested(column.type):
        raise ValueError(
            f"columns.categorical: '{name}' has the type {column.type}, expected one value a row; "
            "move a list to columns.multi_valued, anything else to columns.ignored"
        )
    codes, texts = _encode(column, text_of)
    return CodedColumn(name=name, codes=codes, texts=texts)


def read_multi_valued(
    column: pa.ChunkedArray,
    config: MultiValuedColumn,
    *,
    text_of: Callable[[Any], str] = canonical_text,
) -> CodedColumn:
    """Categories of a column with several values a row, as codes (N, l), 0 where there is none.

    Missing values are left out, and those after the first l of a row.

    Args:
        column: N lists, or N texts with a separator.
        config: Says the separator and l.
        text_of: Gives the text that stands for one of the values.

    Raises:
        ValueError: The column holds neither lists nor text.
    """
    column = _plain(column)
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    is_text = _is_text(column.type)
    if is_text:
        column = pc.split_pattern(column, config.separator)
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or pa.types.is_nested(
        kind.value_type
    ):
        raise ValueError(
            f"columns.multi_valued: '{config.name}' has the type {kind}, expected lists of "
            "categories, or text with a separator"
        )
    row = pc.list_parent_indices(column).to_numpy().astype(np.int64)
    values = pc.list_flatten(column)
    if is_text:  # spaces around a separator; what a list holds is what callers send
        values = pc.utf8_trim_whitespace(values)
    code, texts = _encode(values, text_of)
    row, code = row[code > 0], code[code > 0]
    slot = np.arange(len(row)) - np.searchsorted(row, row)
    kept = slot < config.max_values
    codes = np.zeros((len(column), config.max_values), dtype=np.int32)
    codes[row[kept], slot[kept]] = code[kept]
    return CodedColumn(name=config.name, codes=codes, texts=texts)


def read_label(column: pa.ChunkedArray, goal: Goal) -> NDArray[np.float32]:
    """Labels of a goal as float32 (N,): 1 done, 0 not done, NaN not observed.

    Raises:
        ValueError: The column does not say 0 or 1, or says the same in all rows.
    """
    coded = read_categories(column, goal.column)
    seen = coded.texts[np.unique(coded.codes)]
    seen = seen[seen != ""]
    where = f"goals: column '{goal.column}' of goal '{goal.name}'"
    if goal.positive is None:
        values = [_TRUTH.get(text.casefold(), np.nan) for text in coded.texts[1:]]
        if any(text.casefold() not in _TRUTH for text in seen):
            raise ValueError(
                f"{where} holds {_shown(seen)}, expected 0 and 1 or true and false; say which "
                'value means 1, as in positive: "Yes"'
            )
    else:
        positive = canonical_text(goal.positive)
        values = [float(text == positive) for text in coded.texts[1:]]
        if positive not in seen:
            raise ValueError(
                f"{where} never holds the positive value {positive!r}{nearest(positive, seen)}; it "
                f"holds {_shown(seen)} (in a recipe, put text in quotes)"
            )
    label = np.array([np.nan, *values], dtype=np.float32)[coded.codes]
    if np.isnan(label).all() or np.nanmin(label) == np.nanmax(label):
        raise ValueError(
            f"{where} is constant: it holds nothing but {_shown(seen)}, so there is nothing to "
            "learn; take another column or other rows"
        )
    return label


def read_groups(column: pa.ChunkedArray, name: str) -> NDArray[np.int64]:
    """Number of each row's group, (N,).

    Raises:
        ValueError: A row has no group.
    """
    codes = read_categories(column, name).codes
    _refuse_missing(codes == 0, name)
    return codes.astype(np.int64)


def read_times(column: pa.ChunkedArray, name: str) -> NDArray[np.int64]:
    """Rank of each row's time among the distinct times, (N,); equal times have equal ranks.

    Raises:
        ValueError: A row has no time, or the column holds no times.
    """
    column = _plain(column)
    if _is_text(column.type):
        try:
            column = _parse(column, name)
        except ValueError:
            column = _parse(column, name, kind=pa.timestamp("us"))
    if not (pa.types.is_temporal(column.type) or _is_number(column.type)):
        raise ValueError(
            f"split.column: '{name}' has the type {column.type}, expected times, dates, numbers, "
            "or text as in 2026-01-31 or 2026-01-31T23:59:59"
        )
    _refuse_missing(pc.is_null(column, nan_is_null=True).to_numpy(), name)
    return np.unique(column.to_numpy(), return_inverse=True)[1].astype(np.int64)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _encode(
    column: pa.ChunkedArray, text_of: Callable[[Any], str]
) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    """Codes and texts as in `CodedColumn`; only the distinct values are turned into text."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    distinct = map(text_of, encoded.dictionary.to_pylist())
    # Several values can have one text (None and ""), hence the second numbering.
    code_of = {"": 0}
    code = [code_of.setdefault(text, len(code_of)) for text in distinct]
    place = encoded.indices.fill_null(len(code)).to_numpy(zero_copy_only=False)
    texts = np.empty(len(code_of), dtype=np.object_)
    texts[:] = list(code_of)
    return np.array([*code, 0], dtype=np.int32)[place], texts


def _parse(
    column: pa.ChunkedArray, name: str, *, kind: pa.DataType | None = None
) -> pa.ChunkedArray:
    """Text as numbers, or as times when `kind` says so; blank text as null."""
    trimmed = pc.utf8_trim_whitespace(column)
    trimmed = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
    encoded = trimmed.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    target = kind or pa.float64()
    try:
        return pa.chunked_array([encoded.dictionary.cast(target).take(encoded.indices)])
    except pa.ArrowInvalid as error:
        bad = _first_bad(encoded.dictionary, target)
        row = pc.index(trimmed, encoded.dictionary[bad]).as_py() + 1
        where, wanted = ("split.column", "a time") if kind else ("columns.numeric", "a number")
        remedy = "write it as 2026-01-31T23:59:59" if kind else "move it to columns.categorical"
        raise ValueError(
            f"{where}: '{name}' is text, and '{encoded.dictionary[bad]}' in row {row} is not "
            f"{wanted}; correct it or {remedy}"
        ) from error


def _first_bad(values: pa.Array, kind: pa.DataType) -> int:
    """Place of the first value that cannot be cast; there is one. Halves the range each time."""
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        try:
            values.slice(low, middle - low + 1).cast(kind)
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle + 1
    return low


def _refuse_missing(missing: NDArray[Any], name: str) -> None:
    if missing.any():
        raise ValueError(
            f"split.column: '{name}' has no value in {int(missing.sum())} rows, the first of them "
            f"row {int(missing.argmax()) + 1}; every row needs one"
        )


def _shown(values: NDArray[np.object_]) -> str:
    shown = ", ".join(repr(value) for value in values[:_MOST_VALUES_SHOWN])
    more = len(values) - _MOST_VALUES_SHOWN
    return (shown or "no value") + (f" and {more} more" if more > 0 else "")
