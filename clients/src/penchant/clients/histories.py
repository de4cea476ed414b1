"""What visitors did, as callers hold it, and as columns.

Letters: B visitors, E events of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from penchant.clients.clock import utc_seconds
from penchant.clients.columns import exact_values
from penchant.clients.errors import InvalidRows
from penchant.clients.values import shown


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something a visitor did; it has a time or an age, not both."""

    item: str | int | None = None
    """Item id, as in the data that the model was trained on; None for none, as for a search."""
    action: str | None = None
    """What was done, as in view; may be left out where the model knows one action only."""
    channel: str | None = None
    """Through which channel; None for none."""
    time: datetime | float | None = None
    """When, as a datetime (one without a zone is of the model's) or seconds since 1970."""
    age_s: float | None = None
    """How long before now, in seconds."""


@dataclass(frozen=True)
class History:
    """What a visitor did, in any order, and what is wanted for her."""

    events: Iterable[Event | Mapping[str, Any]] = ()
    """Her events; none for a new visitor."""
    exclude: Iterable[str | int] = ()
    """Items never to be answered to her."""
    allow: Iterable[str] = ()
    """Categories to keep to; none for all."""
    target_action: str | None = None
    """Action to recommend for; None means the call's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Histories:
    """Histories of B visitors as columns: those of visitor b are ``offsets[b]:offsets[b + 1]``.

    For many visitors; no object is made for an event. Columns are anything with values one an
    event: NumPy arrays, lists, columns of Arrow, pandas or polars.
    """

    offsets: Any
    """(B + 1,) where each visitor's events begin; from 0 to E."""
    item: Any
    """(E,) item ids."""
    action: Any = None
    """(E,) names of actions; None where the model knows one action only."""
    channel: Any = None
    """(E,) names of channels."""
    time: Any = None
    """(E,) ``datetime64`` or seconds since 1970."""
    age_s: Any = None
    """(E,) seconds before now; instead of ``time``."""
    exclude: Sequence[Iterable[str | int]] | None = None
    """(B,) items never to be answered to that visitor."""
    allow: Sequence[Iterable[str]] | None = None
    """(B,) categories to keep to."""
    target_action: Sequence[str | None] | None = None
    """(B,) action to recommend for; None means the call's."""

    def __post_init__(self) -> None:
        """Make arrays of the columns.

        Raises:
            InvalidRows: columns of unequal length, or offsets that do not divide them.
        """
        put = object.__setattr__
        for name in EVENT_FIELDS:
            column = getattr(self, name)
            put(self, name, None if column is None else _column(name, column))
        offsets = np.asarray(self.offsets)
        num_events = len(self.item)
        is_whole = offsets.ndim == 1 and len(offsets) > 0 and offsets.dtype.kind in "iu"
        if not is_whole or offsets[0] != 0 or offsets[-1] != num_events or _falls(offsets):
            raise InvalidRows(
                f"offsets: expected integers that rise from 0 to the number of events, "
                f"{num_events}, got {shown(self.offsets)}"
            )
        put(self, "offsets", offsets.astype(np.int64))
        for name in EVENT_FIELDS:
            column = getattr(self, name)
            if column is not None and len(column) != num_events:
                raise InvalidRows(
                    f"{name}: has {len(column)} values, but item has {num_events}; every column "
                    "needs one value an event"
                )
        for name in ("exclude", "allow", "target_action"):
            if getattr(self, name) is None:
                continue
            values = as_list(getattr(self, name), name)
            if len(values) != len(self):
                raise InvalidRows(f"{name}: has {len(values)} values for {len(self)} visitors")
            if name != "target_action":
                values = [listed(each, f"history {at}, {name}") for at, each in enumerate(values)]
            put(self, name, values)

    def __len__(self) -> int:
        """Number of visitors B."""
        return len(self.offsets) - 1

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """(E,) number of the visitor whose event it is."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def place(self, at: int) -> str:
        """Where an event stands, for messages."""
        row = int(np.searchsorted(self.offsets, at, side="right")) - 1
        return f"history {row}, event {at - int(self.offsets[row])}"


EVENT_FIELDS: Final = tuple(each.name for each in fields(Event))

Events: TypeAlias = Iterable[Event | Mapping[str, Any]]
AnyHistory: TypeAlias = History | Mapping[str, Any] | Events
"""Of one visitor: a :class:`History`, a dict of the same keys, or her events."""
AnyHistories: TypeAlias = Histories | Iterable[AnyHistory]
"""Columns; or one history a visitor."""


def _column(name: str, column: Any) -> npt.NDArray[Any]:
    if isinstance(column, str | bytes) or not hasattr(column, "__len__"):
        raise InvalidRows(f"{name}: expected one value an event, got {shown(column)}")
    kind = getattr(column, "type", None) or getattr(column, "dtype", None)
    has_zone = getattr(kind, "tz", None) or getattr(kind, "time_zone", None)
    values = exact_values(column)
    if values.ndim != 1:
        raise InvalidRows(f"{name}: expected one value an event, got the shape {values.shape}")
    if has_zone and values.dtype.kind == "M":  # moments in UTC, whichever zone they are shown in
        return utc_seconds(values)
    return values


def listed(values: Any, place: str) -> list[Any]:
    """The values as a list; None is an empty one.

    Raises:
        InvalidRows: something that is no list, as one id alone, or a list of lists.
    """
    if values is None:
        return []
    found = as_list(values, place)
    for value in found:
        if isinstance(value, list | tuple | set | np.ndarray):
            raise InvalidRows(
                f"{place}: expected ids, got {shown(value)}; put a list of her own in each "
                "visitor's History(...)"
            )
    return found


def as_list(values: Any, place: str) -> list[Any]:
    """What stands in a list, a column or an iterator.

    Raises:
        InvalidRows: one value alone.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InvalidRows(f"{place}: expected a list, got {shown(values)}; wrap it in one")
    return values.to_pylist() if hasattr(values, "to_pylist") else list(values)


def _falls(offsets: npt.NDArray[Any]) -> bool:
    return bool((np.diff(offsets) < 0).any())
