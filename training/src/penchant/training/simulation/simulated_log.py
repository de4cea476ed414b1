"""A simulated log on disk: the tables a shop would have, and the truth beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True, kw_only=True)
class SimulatedLog:
    """The folder of a simulated log. Times in the truth are seconds since 1970, in UTC."""

    folder: Path
    """Where everything is."""

    @property
    def recipe(self) -> Path:
        """Log recipe (YAML) that names the tables and their columns."""
        return self.folder / "log.yaml"

    @property
    def events(self) -> Path:
        """Event table; a row group holds some visitors whole, in the order of their ids."""
        return self.folder / "events.parquet"

    @property
    def items(self) -> Path:
        """Item table."""
        return self.folder / "items.parquet"

    @property
    def customers(self) -> Path:
        """Customer table."""
        return self.folder / "customers.parquet"

    @property
    def truth(self) -> Path:
        """Folder of the truth."""
        return self.folder / "truth"

    def categories(self) -> dict[str, str]:
        """Item id to category, of the whole catalogue."""
        items = pq.read_table(self.items, columns=["item_id", "category"])
        return dict(zip(*(column.to_pylist() for column in items.columns), strict=True))

    def sessions(self) -> pa.Table:
        """A row a session or message, by visitor and time.

        visitor_id, start_s, end_s, channel, hour (of the week, of the beginning); sent, opened,
        clicked, unsubscribed (of the message it begins with); intent (category, null where no
        session followed a message), continued (the same intent as the session before), searched,
        num_views, purchase_probability (as drawn from; null without a session, 1 in a store),
        purchased, order_id.
        """
        return pq.read_table(self.truth / "sessions.parquet")

    def visitors(self) -> pa.Table:
        """A row a visitor: segment, channel (preferred), price_level (0 to 2), favourite
        (category), taste (share of each of `facts()["categories"]`), appetite, known, bot."""
        return pq.read_table(self.truth / "visitors.parquet")

    def hours(self) -> pa.Table:
        """segment, hour (of the week), share of the segment's visits that begin in it."""
        return pq.read_table(self.truth / "hours.parquet")

    def answer_rates(self) -> pa.Table:
        """channel, segment, hour (of the week, when it was sent), open (chance of being opened),
        click (of what was opened), unsubscribe (of what was opened and not clicked)."""
        return pq.read_table(self.truth / "answer_rates.parquet")

    def seasons(self) -> pa.Table:
        """week, category, weight: how much more than usual the category is wanted."""
        return pq.read_table(self.truth / "seasons.parquet")

    def pairs(self) -> pa.Table:
        """kind (bought_together, bought_after_viewing), item_id, other_id."""
        return pq.read_table(self.truth / "pairs.parquet")

    def facts(self) -> dict[str, Any]:
        """Numbers: config, events, visitors, sessions, bots, errors by kind, cold items, ..."""
        facts: dict[str, Any] = json.loads((self.truth / "facts.json").read_text("utf-8"))
        return facts
