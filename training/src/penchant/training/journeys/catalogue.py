"""The items that a journey model knows, and the codes that stand for them.

Item codes: 0 no item (and padding), 1 an unknown item, 2 and up the catalogue in its order.
Category codes: 0 no category, 1 an unknown one, 2 and up `categories` in their order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

NO_CODE: Final = 0
UNKNOWN_CODE: Final = 1
FIRST_CODE: Final = 2
"""Code of the first item, and of the first category."""
CATALOGUE: Final = "catalogue.parquet"

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
    def _order(self) -> npt.NDArray[np.int64]:
        return np.argsort(self.item_id, kind="stable")

    @cached_property
    def _texts(self) -> pa.Array:
        return pa.array(self.item_id, pa.string())

    def encode(self, item_id: npt.NDArray[Any]) -> Codes:
        """Codes of ids of any shape; None, "" and -1 are no item.

        Raises:
            ValueError: The ids are text and the catalogue's are integers, or the other way round.
        """
        flat = item_id.ravel()
        if flat.dtype.kind not in "iu":
            flat = pa.array(flat.tolist() if flat.dtype.kind == "U" else flat, from_pandas=True)
        else:
            flat = pa.array(flat)
        return self.encode_arrow(flat).reshape(item_id.shape)

    def encode_arrow(self, item_id: pa.Array) -> Codes:
        """The same for an Arrow array of ids (B,), whose nulls are no item.

        Raises:
            ValueError: As :meth:`encode`.
        """
        kind = item_id.type
        if pa.types.is_null(kind):
            return np.zeros(len(item_id), np.int32)
        if pa.types.is_integer(kind) != self.has_integer_ids:
            expected = "integers" if self.has_integer_ids else "text"
            raise ValueError(
                f"item_id: expected {expected} as in the catalogue, got {kind}; cast the column"
            )
        if self.has_integer_ids:
            return self._encode_integers(pc.fill_null(item_id, -1).to_numpy(zero_copy_only=False))
        place = pc.index_in(item_id, value_set=self._texts.cast(kind))
        code = pc.fill_null(place, -1).to_numpy(zero_copy_only=False) + FIRST_CODE
        none = pc.fill_null(pc.equal(item_id, ""), True).to_numpy(zero_copy_only=False)
        return np.where(none, NO_CODE, code).astype(np.int32)

    def _encode_integers(self, item_id: npt.NDArray[np.int64]) -> Codes:
        if not len(self.item_id):
            return np.where(item_id == -1, NO_CODE, UNKNOWN_CODE).astype(np.int32)
        ordered = self.item_id[self._order]
        at = np.minimum(np.searchsorted(ordered, item_id), len(ordered) - 1)
        code = np.where(ordered[at] == item_id, self._order[at] + FIRST_CODE, UNKNOWN_CODE)
        return np.where(item_id == -1, NO_CODE, code).astype(np.int32)

    def save(self, folder: Path) -> None:
        """Write the catalogue as one Parquet file; the folder is made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        kind = pa.int64() if self.has_integer_ids else pa.string()
        columns = {"item_id": pa.array(self.item_id, kind), "category": pa.array(self.category)}
        if self.title:
            columns["title"] = pa.array(self.title, pa.string())
        names = {"categories": json.dumps(self.categories, ensure_ascii=False)}
        pq.write_table(pa.table(columns).replace_schema_metadata(names), folder / CATALOGUE)

    @classmethod
    def open(cls, folder: Path) -> Catalogue:
        """Read what :meth:`save` wrote."""
        table = pq.read_table(folder / CATALOGUE)
        return cls(
            item_id=table["item_id"].to_numpy(),
            category=table["category"].to_numpy(),
            categories=tuple(json.loads(table.schema.metadata[b"categories"])),
            title=tuple(table["title"].to_pylist()) if "title" in table.column_names else (),
        )
