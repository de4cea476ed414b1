"""Event rows as arrays, and as an Arrow table.

Letters: E events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penchant.training.simulation.arrivals import DEVICES, SOURCES
from penchant.training.simulation.draws import Flags, Floats, Ints
from penchant.training.simulation.segments import CHANNELS
from penchant.training.simulation.visits import Visits

ACTIONS: Final = (
    "sent",
    "open",
    "click",
    "unsubscribe",
    "search",
    "view",
    "cart",
    "purchase",
    "return",
)
"""All actions, in the order in which events of one second happen."""
SENT, OPEN, CLICK, UNSUBSCRIBE, SEARCH, VIEW, CART, PURCHASE, RETURN = range(len(ACTIONS))
NOTHING: Final = -1
"""A number where there is no item, campaign, query, order, device or source."""
UNKNOWN_ITEM: Final = -2
"""Number of an item that is not in the catalogue."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EventRows:
    """Some events; each field is (E,)."""

    visit: Ints
    """Place of the visit among those of the chunk, -1 for what belongs to none."""
    visitor: Ints
    """Place of the visitor among those of the chunk."""
    time_s: Ints
    action: Ints
    item: Ints
    channel: Ints
    device: Ints
    source: Ints
    campaign: Ints
    query: Ints
    price: Floats
    """NaN where nothing is for sale."""
    quantity: Ints
    """0 where nothing is for sale."""
    order: Ints
    """Number of the order."""

    def __len__(self) -> int:
        """E."""
        return len(self.visitor)

    def take(self, rows: Ints | Flags) -> EventRows:
        """Some of the rows."""
        return EventRows(**{name: values[rows] for name, values in vars(self).items()})

    def by_visitor_and_time(self) -> EventRows:
        """The rows in order; what happens in one second stays in the order of the actions."""
        return self.take(np.lexsort((self.action, self.time_s, self.visitor)))


def rows_of(
    visits: Visits, visit: Ints, *, time_s: Ints, action: int, **columns: Ints | Floats
) -> EventRows:
    """One event of each of the visits `visit` (E,); `columns` are those of what it is about."""
    about = _about_nothing(len(visit)) | columns
    return EventRows(
        visit=visit,
        visitor=visits.visitor[visit],
        time_s=time_s,
        action=np.full(len(visit), action),
        channel=visits.channel[visit],
        device=visits.device[visit],
        source=visits.source[visit],
        campaign=visits.campaign[visit],
        **about,
    )


def _about_nothing(count: int) -> dict[str, Any]:
    columns: dict[str, Any] = {name: np.full(count, NOTHING) for name in ("item", "query", "order")}
    return columns | {
        "price": np.full(count, np.nan),
        "quantity": np.zeros(count, dtype=np.int64),
    }


def joined(parts: Sequence[EventRows]) -> EventRows:
    """All parts, one after the other."""
    return EventRows(
        **{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])}
    )


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the numbers in event rows stand for."""

    items: tuple[str, ...]
    campaigns: tuple[str, ...]
    queries: tuple[str, ...]

    def arrow(
        self, rows: EventRows, *, visitor_id: Ints, no_visitor: Flags, no_time: Flags
    ) -> pa.Table:
        """The rows as the event table has them.

        Args:
            rows: Events (E,).
            visitor_id: Id of each visitor (V,).
            no_visitor: Rows whose visitor is left out (E,).
            no_time: Rows whose time is left out (E,).
        """
        item = np.where(rows.item == UNKNOWN_ITEM, len(self.items), rows.item)
        sold = rows.quantity == 0
        time = pa.array(rows.time_s * 1_000_000, mask=no_time).cast(pa.timestamp("us"))
        return pa.table(
            {
                "visitor_id": pa.array(visitor_id[rows.visitor], mask=no_visitor),
                "time": time,
                "action": _words(rows.action, ACTIONS),
                "item_id": _words(item, (*self.items, "withdrawn")),
                "channel": _words(rows.channel, CHANNELS),
                "device": _words(rows.device, DEVICES),
                "source": _words(rows.source, SOURCES),
                "campaign": _words(rows.campaign, self.campaigns),
                "query": _words(rows.query, self.queries),
                "price": pa.array(rows.price, mask=sold),
                "quantity": pa.array(rows.quantity.astype(np.int32), mask=sold),
                "order_id": order_ids(rows.order, cancelled=rows.action == RETURN),
            }
        )


def order_ids(order: Ints, *, cancelled: Flags) -> pa.Array:
    """Order numbers as text: o and the number, or c and the number of a cancelled order."""
    prefix = pa.array(np.where(cancelled, "c", "o"))
    number = pa.array(order, mask=order == NOTHING).cast(pa.string())
    return pc.binary_join_element_wise(prefix, number, "")


def _words(numbers: Ints, words: tuple[str, ...]) -> pa.DictionaryArray:
    indices = pa.array(numbers.astype(np.int32), mask=numbers == NOTHING)
    return pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.string()))
