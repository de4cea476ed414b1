"""Columns of a file of events, by what they mean: ids, names and times out of any Arrow type.

pyarrow is imported here; only the verbs that need it import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from penchant.clients.clock import LEAST_S, MOST_S, Place
from penchant.clients.item_ids import read_ids
from penchant.clients.journey_contract import JourneyContract

UNIT_S: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Units of times that are numbers, in seconds."""


_TEXT: Final = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,  # UTF-8 where a file's writer does not know text
    pa.types.is_large_binary,
    pa.types.is_binary_view,
)
_NUMBER: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_MOMENT: Final = (pa.types.is_timestamp, pa.types.is_date)
_TESTS: Final[Mapping[str, tuple[Callable[[Any], bool], ...]]] = {
    "text": _TEXT,
    "integers": _NUMBER,  # also those that are held as floats, as pandas does beside gaps
    "numbers since 1970": _NUMBER,
    "timestamps": _MOMENT,
    "truth values": (pa.types.is_boolean,),
}
_TAKEN: Final[Mapping[str, tuple[str, ...]]] = {
    "visitor": ("text", "integers"),
    "time": ("timestamps", "text", "numbers since 1970"),
    "action": ("text", "integers", "truth values"),
    "channel": ("text", "integers", "truth values"),
}
_REMEDY: Final = {"time": "join a time of day with its date", "item": "cast the column"}


def check_kinds(
    schema: Any, columns: Mapping[str, str], contract: JourneyContract, place: object
) -> None:
    """Refuse columns of a type that their meaning cannot have.

    Args:
        schema: of the file, which is no CSV.
        columns: column by meaning.
        contract: says what items are.
        place: the file, for messages.

    Raises:
        ValueError: naming the column.
    """
    items = "text" if contract.item_dtype == "BYTES" else "integers"
    for meaning, name in columns.items():
        kind = _plain(schema.field(name).type)
        taken = (items,) if meaning == "item" else _TAKEN[meaning]
        if pa.types.is_null(kind) or any(_is(kind, _TESTS[each]) for each in taken):
            continue
        why = ", which the model's items are," if meaning == "item" else ""
        raise ValueError(
            f"columns.{meaning}: expected {' or '.join(taken)}{why} in column {name!r} of {place}, "
            f"got {schema.field(name).type}; {_REMEDY.get(meaning, 'cast the column')}, or name "
            f"another one with --columns.{meaning}"
        )


def texts(column: Any) -> Any:
    """A column as text, null for missing and for "".

    Raises:
        pyarrow.ArrowInvalid: bytes that are no UTF-8.
    """
    column = column.cast(_plain(column.type)).cast(pa.string())
    return pc.if_else(pc.equal(column, ""), None, column)


def ids(column: Any) -> Any:
    """A column of ids as text or int64, null for none.

    Raises:
        pyarrow.ArrowInvalid: numbers with a fraction, bytes that are no UTF-8.
    """
    kind = _plain(column.type)
    if not _is(kind, _NUMBER):
        return texts(column)
    column = column.cast(kind)
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    return column.cast(pa.int64())


def written_ids(column: Any, contract: JourneyContract, place: Place) -> Any:
    """Item ids that are written in a CSV, as training reads them; null for none.

    Raises:
        InvalidRows: text where items are integers.
    """
    cells = texts(column).combine_chunks()
    encoded = cells.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    found = read_ids(
        distinct, contract, lambda at: place(int(pc.index(cells, distinct[at]).as_py()))
    )
    kind = pa.string() if contract.item_dtype == "BYTES" else pa.int64()
    return pa.array(found, kind).take(encoded.indices)


def seconds(column: Any, timezone: str, unit: str) -> Any:
    """Times as seconds since 1970 UTC, float64, null for missing.

    Args:
        column: timestamps, dates, text in ISO form, or numbers.
        timezone: of times that name none.
        unit: of numbers.

    Raises:
        pyarrow.ArrowInvalid: text that is no time.
    """
    column = column.cast(_plain(column.type))
    if _is(column.type, _TEXT):
        column = _parsed(texts(column))
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if not pa.types.is_timestamp(column.type):
        return pc.multiply(column.cast(pa.float64(), safe=False), UNIT_S[unit])
    if column.type.tz is None:
        column = pc.assume_timezone(column, timezone, ambiguous="earliest", nonexistent="earliest")
    # Not safe: what has more than 53 bits, as nanoseconds have, is rounded.
    counts = column.cast(pa.int64()).cast(pa.float64(), safe=False)
    return pc.multiply(counts, UNIT_S[column.type.unit])


def is_far(time_s: Any) -> Any:
    """Whether a time is beyond those that a client takes, as milliseconds are."""
    return pc.or_(pc.greater(time_s, MOST_S), pc.less(time_s, LEAST_S))


def _parsed(cells: Any) -> Any:
    for kind in (pa.float64(), pa.timestamp("us")):
        try:
            return cells.cast(kind)
        except pa.ArrowInvalid:
            continue
    return cells.cast(pa.timestamp("us", "UTC"))  # they name their zone


def _is(kind: Any, tests: Iterable[Callable[[Any], bool]]) -> bool:
    return any(test(kind) for test in tests)


def _plain(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
