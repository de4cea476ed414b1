"""Item ids as the wire has them, which is as they are in the data that the model was trained on.

Integers stay integers and text stays text, here as in training: 7, "7" and "007" look alike and may
be three items. So an id of the other kind is refused, not converted.

Letters: E ids.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from penchant.clients.clock import Place
from penchant.clients.contract import csv_text, is_missing
from penchant.clients.errors import InvalidRows
from penchant.clients.journey_contract import NO_ITEM, JourneyContract
from penchant.clients.values import objects, shown

_INT64: Final = np.iinfo(np.int64)
_WRITTEN: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_KINDS: Final = {"BYTES": "text", "INT64": "integers"}


def no_item(contract: JourneyContract) -> npt.NDArray[Any]:
    """What stands for no item, an array of no axis."""
    is_text = contract.item_dtype == "BYTES"
    return np.array("", dtype=np.object_) if is_text else np.array(NO_ITEM, dtype=np.int64)


def item_ids(values: npt.NDArray[Any], contract: JourneyContract, place: Place) -> npt.NDArray[Any]:
    """Ids for the wire, (E,): text as objects, "" for none; or int64, -1 for none.

    None, NaN and "" are none. Whole numbers that are held as floats are integers, as in training.

    Args:
        values: (E,) a caller's ids.
        contract: says which kind they are of.
        place: says where an id stands.

    Raises:
        InvalidRows: an id of another kind.
    """
    if contract.item_dtype == "BYTES":
        flat = values.tolist()
        if set(map(type, flat)) <= {str}:
            return objects(flat)
        return objects(_each(flat, _text, contract, place))
    if values.dtype.kind == "i" or (values.dtype.kind == "u" and values.dtype.itemsize < 8):
        return values.astype(np.int64)
    return np.array(_each(values.tolist(), _integer, contract, place), dtype=np.int64)


def read_ids(
    texts: Iterable[str | None], contract: JourneyContract, place: Place
) -> list[str | int | None]:
    """Ids that are written in a file that knows only text, as training reads a CSV.

    Text stays as it stands. Integers are those that a number would write the same, and 7.0; a file
    with 007 holds text.

    Args:
        texts: E cells; None where there is none.
        contract: says which kind they are of.
        place: says where a cell stands.

    Raises:
        InvalidRows: text where ids are integers.
    """
    found: list[str | int | None] = []
    for at, text in enumerate(texts):
        if contract.item_dtype == "BYTES" or text is None:
            found.append(text)
            continue
        digits = csv_text(text)
        if not _WRITTEN.fullmatch(digits) or not _INT64.min <= int(digits) <= _INT64.max:
            raise InvalidRows(
                f"{place(at)}: the model's items are integers, got {shown(text)}; give ids as they "
                "are in the data that it was trained on"
            )
        found.append(int(digits))
    return found


def _each(
    values: list[Any], convert: Callable[[Any], Any], contract: JourneyContract, place: Place
) -> list[Any]:
    found = list(map(convert, values))
    if None in found:
        at = found.index(None)
        raise InvalidRows(
            f"{place(at)}: the model's items are {_KINDS[contract.item_dtype]}, got "
            f"{shown(values[at])} ({type(values[at]).__name__}); give ids as they are in the data "
            "that it was trained on"
        )
    return found


def _text(value: Any) -> str | None:
    if isinstance(value, str | UUID):  # training reads a column of UUIDs as text
        return str(value)
    return "" if is_missing(value) else None


def _integer(value: Any) -> int | None:
    if is_missing(value) or (isinstance(value, str) and not value):
        return NO_ITEM
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, float | np.floating | Decimal):
        if math.isinf(value) or int(value) != value:
            return None
        value = int(value)
    is_number = isinstance(value, int | np.integer) and _INT64.min <= value <= _INT64.max
    return int(value) if is_number else None
