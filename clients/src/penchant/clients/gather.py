"""Histories as callers hold them, an object an event, put together as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np

from penchant.clients.errors import InvalidRows
from penchant.clients.histories import (
    EVENT_FIELDS,
    AnyHistories,
    AnyHistory,
    Event,
    Histories,
    History,
    listed,
)
from penchant.clients.spelling import nearest_word
from penchant.clients.values import objects, shown

_HISTORY_FIELDS: Final = tuple(each.name for each in fields(History))


def read_once(histories: AnyHistories) -> Histories | list[AnyHistory]:
    """The histories, such that they can be counted and read again.

    What can be read only once, as generators of visitors or of events, is read here, in the thread
    of whoever calls: what it generates may depend on that. The rest is left as it is, unchecked.

    Raises:
        InvalidRows: something that holds no histories, or generates none.
    """
    if isinstance(histories, Histories):
        return histories
    is_one = isinstance(histories, str | bytes | Mapping | History | Event)
    if is_one or not isinstance(histories, Iterable) or hasattr(histories, "columns"):
        raise InvalidRows(
            "histories: expected a list of them, one a visitor, or Histories(...), got "
            f"{type(histories).__name__}; pass one as [history], columns as Histories(item=...)"
        )
    return [
        each if type(_events(each)) is list else _history(row, each)
        for row, each in enumerate(histories)
    ]


def gather(histories: AnyHistories) -> Histories:
    """The histories as columns.

    Raises:
        InvalidRows: no history, or something that is none.
    """
    read = read_once(histories)
    columns = (
        read
        if isinstance(read, Histories)
        else _from_objects([_history(row, each) for row, each in enumerate(read)])
    )
    if len(columns) == 0:
        raise InvalidRows("histories: expected at least one, got none")
    return columns


def _from_objects(histories: Sequence[History]) -> Histories:
    lengths: list[int] = [0]
    events: list[Mapping[str, Any]] = []
    for row, history in enumerate(histories):
        before = len(events)
        events.extend(_by_name(row, at, event) for at, event in enumerate(history.events))
        lengths.append(len(events) - before)
    wishes = {
        name: [
            listed(getattr(history, name), f"history {row}, {name}")
            for row, history in enumerate(histories)
        ]
        for name in ("exclude", "allow")
    }
    return Histories(
        offsets=np.cumsum(lengths),
        **{name: objects([event.get(name) for event in events]) for name in EVENT_FIELDS},
        exclude=wishes["exclude"] if any(wishes["exclude"]) else None,
        allow=wishes["allow"] if any(wishes["allow"]) else None,
        target_action=[history.target_action for history in histories],
    )


def _history(row: int, raw: Any) -> History:
    """A visitor's history, whose events can be counted and read again."""
    if isinstance(raw, Mapping):
        if raw.keys() & set(EVENT_FIELDS):
            raise InvalidRows(
                f"history {row}: expected a visitor's events, got one event with the keys "
                f"{sorted(map(str, raw))}; a visitor is a list of events: [[event, ...], ...]"
            )
        _check_keys(raw, _HISTORY_FIELDS, f"history {row}")
        raw = History(**raw)
    elif isinstance(raw, list) or _is_iterable(raw):
        raw = History(raw)
    if not isinstance(raw, History):
        raise InvalidRows(
            f"history {row}: expected a visitor's events, as a list, a dict with 'events' or "
            f"History(...), got {shown(raw)} ({type(raw).__name__}); one visitor is [[event, ...]]"
        )
    if not isinstance(raw.events, Iterable):
        raise InvalidRows(
            f"history {row}, events: expected a list of events, got {shown(raw.events)}; an empty "
            "history is []"
        )
    return raw if isinstance(raw.events, Sized) else replace(raw, events=list(raw.events))


def _is_iterable(raw: Any) -> bool:
    """Whether it may be events; a data frame gives the names of its columns."""
    is_other = isinstance(raw, str | bytes | Event | History) or hasattr(raw, "columns")
    return isinstance(raw, Iterable) and not is_other


def _by_name(row: int, at: int, event: Any) -> Mapping[str, Any]:
    """An event's values by the names of its fields."""
    if isinstance(event, Event):
        return vars(event)
    if not isinstance(event, dict | Mapping):  # dict first, which is quick to tell
        raise InvalidRows(
            f"history {row}, event {at}: expected a dict or Event(...), got {shown(event)} "
            f"({type(event).__name__})"
        )
    if not event.keys() <= _EVENT_KEYS:
        _check_keys(event, EVENT_FIELDS, f"history {row}, event {at}")
    return event


_EVENT_KEYS: Final = frozenset(EVENT_FIELDS)


def _check_keys(raw: Mapping[Any, Any], known: Sequence[str], place: str) -> None:
    for key in raw:
        if key not in known:
            near = nearest_word(str(key), known)
            hint = f"did you mean {near!r}?" if near else f"it may have {', '.join(known)}"
            raise InvalidRows(f"{place}: has a key {key!r} that means nothing; {hint}")


def num_events(histories: Histories | Sequence[AnyHistory]) -> int:
    """Events of all visitors, as :func:`read_once` gives them."""
    if isinstance(histories, Histories):
        return len(histories.item)
    return sum(len(events) for events in map(_events, histories) if isinstance(events, Sized))


def _events(history: AnyHistory) -> Any:
    if isinstance(history, History):
        return history.events
    return history.get("events") if isinstance(history, dict | Mapping) else history
