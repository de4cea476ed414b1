"""What a log recipe says: where events, customers and items are, and what their columns mean.

Loads neither Ibis nor torch, so that a command answers at once when a recipe is wrong.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from penchant.training.recipe import TableSource
from penchant.training.recipe_checks import check_least, check_model_name


@dataclass(frozen=True, kw_only=True)
class EventColumns:
    """Names of the columns of the event table; None where the table has no such column.

    Propensity features are made of them all. A journey model uses visitor_id, time, action, item_id
    and channel alone: they are what its callers send of an event, and it learns from nothing that
    it is not asked with.
    """

    visitor_id: str
    """Who did it: text or integers."""
    time: str
    """When it happened; see `time_unit`."""
    action: str | None = None
    """What was done, as in view, cart, purchase; None when every row is `default_action`."""
    item_id: str | None = None
    """To which item: text or integers."""
    channel: str | None = None
    """Through which channel, as in web, e-mail, push, store."""
    device: str | None = None
    """On which device."""
    source: str | None = None
    """Where the visitor came from."""
    campaign: str | None = None
    """Which campaign brought her."""
    query: str | None = None
    """What was searched for."""
    value: str | None = None
    """Money of the row: price times quantity."""
    price: str | None = None
    """Price of one piece; gives the value together with `quantity` where there is no value."""
    quantity: str | None = None
    """Pieces."""
    order_id: str | None = None
    """Basket or invoice; rows of one order were bought together."""


@dataclass(frozen=True, kw_only=True)
class ItemColumns:
    """Names of the columns of the item table."""

    item_id: str
    """Key, as in the events."""
    category: str | None = None
    """Category; what intent is about."""
    brand: str | None = None
    """Brand; gives cold items a vector, and propensity a favourite brand."""
    price: str | None = None
    """Price; its rank within the category gives cold items a vector."""
    title: str | None = None
    """Name or description; gives cold items a vector."""


@dataclass(frozen=True, kw_only=True)
class CustomerColumns:
    """Names of the columns of the customer table."""

    visitor_id: str
    """Key, as in the events."""
    consent: str | None = None
    """True where the visitor agreed to personalization; with the rule no_consent: drop."""
    numeric: tuple[str, ...] = ()
    """Columns whose order means something."""
    categorical: tuple[str, ...] = ()
    """Columns that name one thing out of several."""


Rule = Literal["drop", "keep", "refuse"]


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What is done with rows that are wrong; each rule's rows are counted in the report.

    drop leaves the rows out, keep keeps them as they are, refuse stops with the first row at fault.
    """

    no_visitor: Literal["drop", "refuse"] = "drop"
    """Rows without a visitor."""
    unparsable_time: Literal["drop", "refuse"] = "refuse"
    """Rows whose time cannot be read."""
    future_time: Rule = "refuse"
    """Rows later than now."""
    duplicates: Rule = "drop"
    """Rows equal to an earlier one in every mapped column, their times to the second."""
    negative_value: Rule = "drop"
    """Rows with a negative price or value, which are no purchase."""
    returns: Rule = "drop"
    """Rows with a negative quantity or an order that is a cancellation."""
    unknown_item: Rule = "keep"
    """Rows whose item is not in the item table; kept, it counts as an unknown item."""
    no_consent: Rule = "keep"
    """Rows of visitors whose consent is false or missing."""
    duplicate_keys: Literal["drop", "refuse"] = "drop"
    """Rows of the item or customer table without a key, or with one that another row has too; of
    those, the first in the order of the other columns stays."""
    excluded_items: tuple[str, ...] = ()
    """Item ids that are no items: postage, fees. Their rows are dropped and counted."""
    most_events: int = 10_000
    """Most events of one visitor, the newest; earlier ones are dropped and counted. Of examples,
    the newest before each cut-off: what comes later drops nothing that was known then."""

    def __post_init__(self) -> None:
        """Refuse a limit that leaves nothing."""
        check_least("cleaning.most_events", self.most_events, 1)


@dataclass(frozen=True, kw_only=True)
class EventsConfig:
    """The event table."""

    table: TableSource
    """Where it is."""
    columns: EventColumns
    """What its columns are called."""
    time_unit: Literal["timestamp", "s", "ms", "us", "order"] = "timestamp"
    """What the time column holds: a timestamp (or text in ISO form), seconds, milliseconds or
    microseconds since 1970, or only an order without a clock."""
    timezone: str = "UTC"
    """Zone of timestamps that have none, as in Europe/London; hours of the week are in it."""
    default_action: str = "view"
    """Action of each row where there is no action column."""
    actions: dict[str, str] = field(default_factory=dict)
    """Value in the data to action, as in {transaction: purchase}; others stay as they are."""
    cancelled_order: str | None = None
    """Regular expression of order ids that cancel an earlier order, as in ^C."""

    def __post_init__(self) -> None:
        """Refuse columns named twice."""
        names = [getattr(self.columns, each.name) for each in fields(self.columns)]
        twice = [name for name, count in Counter(filter(None, names)).items() if count > 1]
        if twice:
            raise ValueError(
                f"events.columns: {', '.join(twice)} named more than once; each column has one "
                "meaning"
            )


@dataclass(frozen=True, kw_only=True)
class ItemsConfig:
    """The item table (catalogue)."""

    table: TableSource
    """Where it is."""
    columns: ItemColumns
    """What its columns are called."""
    categories_from_titles: int = 0
    """Categories made by clustering titles, for a table without a category column; 0 for none."""

    def __post_init__(self) -> None:
        """Refuse categories from titles where there are no titles, or categories already."""
        check_least("items.categories_from_titles", self.categories_from_titles, 0)
        if self.categories_from_titles and (
            self.columns.title is None or self.columns.category is not None
        ):
            raise ValueError(
                "items.categories_from_titles: expected items.columns.title and no "
                f"items.columns.category, got title {self.columns.title!r} and category "
                f"{self.columns.category!r}; set it to 0 or name the title column alone"
            )


@dataclass(frozen=True, kw_only=True)
class CustomersConfig:
    """The customer table."""

    table: TableSource
    """Where it is."""
    columns: CustomerColumns
    """What its columns are called."""


@dataclass(frozen=True, kw_only=True)
class LogRecipe:
    """A user's own tables mapped onto events, customers and items."""

    name: str
    """Name of the log in reports: a letter, then letters, digits and _."""
    events: EventsConfig
    """The event table."""
    items: ItemsConfig | None = None
    """The item table, where there is one."""
    customers: CustomersConfig | None = None
    """The customer table, where there is one."""
    cleaning: Cleaning = field(default_factory=Cleaning)
    """What is done with rows that are wrong."""
    session_gap_minutes: float = 30.0
    """A visitor's events further apart than this belong to different sessions."""

    def __post_init__(self) -> None:
        """Refuse a name that is none and a gap that is none."""
        check_model_name(self.name)
        check_least("session_gap_minutes", self.session_gap_minutes, 0.001)
        asks = self.customers is not None and self.customers.columns.consent is not None
        if self.cleaning.no_consent != "keep" and not asks:
            raise ValueError(
                f"cleaning.no_consent: {self.cleaning.no_consent} needs customers.columns.consent, "
                "got none; name the column that says who agreed, or keep the rows"
            )

    def relative_to(self, folder: Path) -> LogRecipe:
        """The same recipe, with files looked for in `folder` first, then where we are."""

        items, customers = self.items, self.customers
        return replace(
            self,
            events=replace(self.events, table=self.events.table.relative_to(folder)),
            items=items and replace(items, table=items.table.relative_to(folder)),
            customers=customers and replace(customers, table=customers.table.relative_to(folder)),
        )
