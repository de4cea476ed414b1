"""Journeys: the ordered events of each visitor, stored jagged as memory-mapped columns.

Letters: V visitors, E events of all of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

LISTS: Final = "lists.json"
_LISTS: Final = ("actions", "channels", "timezone", "has_clock")


@dataclass(frozen=True, kw_only=True, eq=False)
class Journeys:
    """Events of visitor v are rows ``offsets[v]`` up to ``offsets[v + 1]``, oldest first."""

    visitor_id: npt.NDArray[Any]
    """(V,) ids: int64 or text as ``<U``."""
    offsets: npt.NDArray[np.int64]
    """(V + 1,) where each visitor's events begin."""
    item: npt.NDArray[np.int32]
    """(E,) item codes of a :class:`~penchant.training.journeys.catalogue.Catalogue`."""
    action: npt.NDArray[np.uint8]
    """(E,) action codes: place in `actions` plus 1."""
    channel: npt.NDArray[np.uint8]
    """(E,) channel codes: place in `channels` plus 1; 0 where there is none."""
    time_s: npt.NDArray[np.int64]
    """(E,) seconds since 1970 UTC; the event's place in the order where there is no clock."""
    session: npt.NDArray[np.int32]
    """(E,) number of the session among the visitor's sessions, from 0."""
    actions: tuple[str, ...]
    """Actions by code: the first has code 1."""
    channels: tuple[str, ...] = ()
    """Channels by code: the first has code 1."""
    timezone: str = "UTC"
    """Zone in which hours of the week are counted."""
    has_clock: bool = True
    """Whether `time_s` is a time and not only an order."""

    def __len__(self) -> int:
        """Number of visitors V."""
        return len(self.offsets) - 1

    @property
    def num_events(self) -> int:
        """E."""
        return len(self.item)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(V,) events of each visitor."""
        return np.diff(self.offsets)

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` a column and the lists as JSON; the folder is made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _columns():
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
        self.save_lists(folder, **{name: getattr(self, name) for name in _LISTS})

    @staticmethod
    def save_lists(folder: Path, **lists: Any) -> None:
        """Write what is no column: actions, channels, timezone and has_clock."""
        (folder / LISTS).write_text(json.dumps(lists, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> Journeys:
        """Open what :meth:`save` wrote; events are memory-mapped, not read."""
        lists = json.loads((folder / LISTS).read_text(encoding="utf-8"))
        columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _columns()}
        lists["actions"], lists["channels"] = tuple(lists["actions"]), tuple(lists["channels"])
        return cls(**columns, **lists)


def _columns() -> list[str]:
    return [each.name for each in fields(Journeys) if each.name not in _LISTS]
