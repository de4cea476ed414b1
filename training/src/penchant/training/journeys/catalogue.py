"""The items that a journey model knows, and the codes that stand for them.

Item codes: 0 no item (and padding), 1 an unknown item, 2 and up the catalogue in its order.
Category codes: 0 no category, 1 an unknown one, 2 and up `categories` in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

NO_CODE: Final = 0
UNKNOWN_CODE: Final = 1
FIRST_CODE: Final = 2
"""Code of the first item, and of the first category."""

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalogue:
    """Items with their category and title, in the order of their codes."""

    item_id: npt.NDArray[Any]
    """(M,) distinct ids: int64, or text as objects."""
    category: Codes
    """(M,) category code of each item."""
    categories: tuple[str, ...] = ()
    """Names of the categories with codes 2 and up."""
    title: tuple[str, ...] = ()
    """(M,) titles, or empty where items have none."""

    @property
    def has_integer_ids(self) -> bool:
        """Whether ids are integers (INT64 on the wire) rather than text."""
        return self.item_id.dtype.kind == "i"

    @property
    def num_codes(self) -> int:
        """N: items and the two codes before them."""
        return len(self.item_id) + FIRST_CODE

    @property
    def num_category_codes(self) -> int:
        """Categories and the two codes before them."""
        return len(self.categories) + FIRST_CODE

    @cached_property
    def category_of_code(self) -> Codes:
        """(N,) category code by item code; 0 for the first two."""
        return np.concatenate([np.zeros(FIRST_CODE, np.int32), self.category.astype(np.int32)])

    @cached_property
    def _places(self) -> dict[Any, int]:
        return {item: at for at, item in enumerate(self.item_id.tolist(), FIRST_CODE)}

    def encode(self, item_id: npt.NDArray[Any]) -> Codes:
        """Codes of ids of any shape; None, "" and -1 are no item."""
        places = self._places
        codes = [
            NO_CODE if item in (None, "", -1) else places.get(item, UNKNOWN_CODE)
            for item in item_id.ravel().tolist()
        ]
        return np.array(codes, np.int32).reshape(item_id.shape)
