"""Histories as the tensors of a journey model's wire.

Letters: B visitors, E events of all of them, L events of a history, X items to leave out, A
categories to keep to.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from penchant.clients.clock import Place, ages_s, hours_of_week, moments_s, open_zone
from penchant.clients.contract import canonical_texts, is_missing
from penchant.clients.errors import InvalidAnswer, InvalidRows
from penchant.clients.histories import Histories, listed
from penchant.clients.item_ids import item_ids, no_item
from penchant.clients.journey_contract import (
    ACTION,
    AGE_S,
    ALLOW,
    CHANNEL,
    EXCLUDE,
    HOUR,
    ITEM,
    NO_ITEM,
    TARGET_ACTION,
    JourneyContract,
)
from penchant.clients.slots import Slots
from penchant.clients.spelling import nearest_word
from penchant.clients.values import as_float32, objects, shown


@dataclass(frozen=True, kw_only=True, eq=False)
class Wish:
    """What a call wants for all its visitors."""

    now: Any = None
    """A datetime or seconds since 1970, or one a visitor; None is the current time."""
    target_action: str | None = None
    """Action to recommend for; None is the model's own."""
    exclude: Iterable[str | int] = ()
    """Items never to be answered."""
    allow: Iterable[str] = ()
    """Categories to keep to."""

    def __post_init__(self) -> None:
        """Refuse what is no list.

        Raises:
            InvalidRows: naming it.
        """
        for name in ("exclude", "allow"):
            object.__setattr__(self, name, listed(getattr(self, name), name))


def to_tensors(
    histories: Histories, contract: JourneyContract, wish: Wish
) -> dict[str, npt.NDArray[Any]]:
    """The input tensors for these histories.

    Of a history the newest L events are taken, oldest first, padded in front; events of the same
    time, and those of a history without any, keep their order. A single event without a time counts
    as one of now. Ages go as they are: where they are negative, NaN or infinite the model takes 0.

    Args:
        histories: of B visitors.
        contract: of the model that they are for.
        wish: what all of them have in common.

    Returns:
        One array for each of ``contract.inputs``, (B, ...); texts as objects.

    Raises:
        InvalidRows: an unknown action or channel; an id of another kind than the model's; a time
            that is none; an event with both a time and an age; more items to leave out, or more
            categories, than a request holds.
        InvalidAnswer: the contract's zone is not known here.
    """
    try:
        zone = open_zone(contract.timezone)
    except ValueError as error:
        raise InvalidAnswer(f"model {contract.model!r}: contract.{error}") from error
    now_s = _now_s(wish.now, zone, len(histories))
    age_s = _ages(histories, now_s, zone)
    taken = _newest(histories, age_s, contract.length)
    shape = (len(histories), contract.length)

    def item_place(at: int) -> str:
        return f"{histories.place(at)}, item"

    tensors = {
        ITEM: taken.padded(item_ids(histories.item, contract, item_place), shape),
        ACTION: taken.padded(_actions(histories, contract), shape),
        AGE_S: taken.padded(as_float32(age_s), shape),
        HOUR: hours_of_week(now_s, zone)[:, None],
        TARGET_ACTION: _targets(histories, contract, wish.target_action),
        EXCLUDE: _excluded(histories, contract, wish.exclude),
    }
    if contract.channels:
        tensors[CHANNEL] = taken.padded(_channels(histories, contract), shape)
    if contract.num_intents:
        tensors[ALLOW] = _allowed(histories, contract, wish.allow)
    elif list(wish.allow) or any(histories.allow or ()):
        raise InvalidRows(
            f"allow: the items of model {contract.model!r} have no categories; leave it out"
        )
    return tensors


# Time and order


def _now_s(now: Any, zone: tzinfo, num_rows: int) -> npt.NDArray[np.float64]:
    if now is None:
        now = time.time()
    is_one = isinstance(now, datetime | np.datetime64) or np.ndim(now) == 0
    values = np.asarray([now]) if is_one else np.asarray(now)
    if isinstance(now, datetime):
        values = objects([now])
    if not is_one and values.shape != (num_rows,):
        raise InvalidRows(f"now: expected one time or {num_rows}, got the shape {values.shape}")
    moments = moments_s(values, zone, lambda at: "now" if is_one else f"now, history {at}")
    if np.isnan(moments).any():
        raise InvalidRows("now: expected a time, got a missing one; None is the current time")
    return np.broadcast_to(moments, (num_rows,))


def _ages(
    histories: Histories, now_s: npt.NDArray[np.float64], zone: tzinfo
) -> npt.NDArray[np.float64]:
    age_s = np.full(len(histories.item), np.nan)
    if histories.age_s is not None:
        age_s = ages_s(histories.age_s, lambda at: f"{histories.place(at)}, age_s")
    if histories.time is None:
        return age_s
    time_s = moments_s(histories.time, zone, lambda at: f"{histories.place(at)}, time")
    both = np.flatnonzero(~np.isnan(age_s) & ~np.isnan(time_s))
    if len(both):
        raise InvalidRows(
            f"{histories.place(int(both[0]))}: has both a time and an age_s; give one of them"
        )
    return np.where(np.isnan(age_s), now_s[histories.rows] - time_s, age_s)


@dataclass(frozen=True)
class _Taken:
    """Which events go on the wire, and where in the tensors (B, L) they stand."""

    events: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]

    def padded(self, values: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
        if values.dtype == np.object_:
            tensor = np.full(shape, "", dtype=np.object_)
        elif values.dtype == np.int64:
            tensor = np.full(shape, NO_ITEM, dtype=np.int64)
        else:
            tensor = np.zeros(shape, dtype=values.dtype)
        tensor[self.rows, self.columns] = values[self.events]
        return tensor


def _newest(histories: Histories, age_s: npt.NDArray[np.float64], length: int) -> _Taken:
    rows = histories.rows
    key = np.where(np.isfinite(age_s), -age_s, 0.0)  # as the model takes them
    events = np.arange(len(rows))
    if ((np.diff(key) < 0) & (np.diff(rows) == 0)).any():
        events = np.lexsort((key, rows))  # stable, and visitors stay where they are
    columns = length - (histories.offsets[rows + 1] - np.arange(len(rows)))
    kept = columns >= 0
    return _Taken(events[kept], rows[kept], columns[kept])


# Names as codes


def _actions(histories: Histories, contract: JourneyContract) -> npt.NDArray[np.int32]:
    codes = {name: code for code, name in enumerate(contract.actions, start=1)}
    if len(codes) == 1:
        codes[""] = 1
    if histories.action is None:
        if len(contract.actions) > 1 and len(histories.item):
            raise InvalidRows(f"action: every event needs one of {list(contract.actions)}")
        return np.ones(len(histories.item), dtype=np.int32)
    return _codes(histories.action, codes, lambda at: f"{histories.place(at)}, action")


def _channels(histories: Histories, contract: JourneyContract) -> npt.NDArray[np.int32]:
    if histories.channel is None:
        return np.zeros(len(histories.item), dtype=np.int32)
    codes = {name: code for code, name in enumerate(contract.channels, start=1)} | {"": 0}
    return _codes(histories.channel, codes, lambda at: f"{histories.place(at)}, channel")


def _targets(
    histories: Histories, contract: JourneyContract, usual: str | None
) -> npt.NDArray[np.int32]:
    codes: dict[str, int] = {name: code for code, name in enumerate(contract.actions, start=1)}
    (default,) = _codes(objects([usual]), codes | {"": 0}, lambda _: "target_action").tolist()
    if histories.target_action is None:
        return np.full((len(histories), 1), default, dtype=np.int32)
    names = objects(histories.target_action)
    place = "history {}, target_action".format
    return _codes(names, codes | {"": default}, place)[:, None]


def _codes(names: npt.NDArray[Any], codes: Mapping[str, int], place: Any) -> npt.NDArray[np.int32]:
    texts = canonical_texts(names).tolist()
    try:
        return np.fromiter(map(codes.__getitem__, texts), dtype=np.int32, count=len(texts))
    except KeyError:
        at = next(at for at, text in enumerate(texts) if text not in codes)
    known = [name for name in codes if name]
    if not texts[at]:
        raise InvalidRows(f"{place(at)}: is missing; expected one of {known}")
    near = nearest_word(texts[at], known)
    hint = f"did you mean {near!r}?" if near else f"it knows {known}"
    raise InvalidRows(f"{place(at)}: the model knows no {texts[at]!r}; {hint}")


# Ids and categories


def _excluded(
    histories: Histories, contract: JourneyContract, common: Iterable[str | int]
) -> npt.NDArray[Any]:
    slots = Slots(
        "exclude",
        "items",
        contract.max_exclude,
        no_item(contract),
        lambda values, place: item_ids(values, contract, place),
    )
    return slots.filled(histories.exclude, common, len(histories))


def _allowed(
    histories: Histories, contract: JourneyContract, common: Iterable[str]
) -> npt.NDArray[Any]:
    nothing = np.array("", dtype=np.object_)
    slots = Slots("allow", "categories", contract.max_allow, nothing, _category_names)
    return slots.filled(histories.allow, common, len(histories))


def _category_names(values: npt.NDArray[Any], place: Place) -> npt.NDArray[Any]:
    for at, value in enumerate(values.tolist()):
        is_name = isinstance(value, str | Real) and not isinstance(value, bool | np.bool_)
        if not (is_name or is_missing(value)):
            raise InvalidRows(
                f"{place(at)}: expected the name of a category, got {shown(value)} "
                f"({type(value).__name__})"
            )
    return canonical_texts(values)
