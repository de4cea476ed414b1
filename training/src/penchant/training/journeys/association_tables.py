"""Association statistics as tables that a graph can read: for each item, the items that go with it.

The score of an item is summed over the newest events of a history, newer ones weighing more: the
weights that the events' items have for it. In the graph that is a Gather and, for each event, a
ScatterElements; NumPy here gives the same numbers.

Letters: B visitors, L events of a history, N item codes, S statistics, P of them about pairs, T
neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor, nn

from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.code_parts import CodePart

POPULAR: Final = "popular"
"""The statistic that is the same for every visitor."""
NEWEST: Final = 10
"""Events of a history that are looked at."""
DECAY: Final = 0.8
"""What an event weighs as a multiple of the one after it."""

Floats = npt.NDArray[np.float32]
Encode = Callable[[pa.Array], npt.NDArray[np.int32]]


@dataclass(frozen=True, kw_only=True, eq=False)
class AssociationTables:
    """Pairs of items as rows of codes and weights, and popularity, by statistic."""

    names: tuple[str, ...]
    """Names of the statistics: those about pairs in the order of the tables, then `popular`."""
    code: npt.NDArray[np.int32]
    """(P, N, T) codes of the items that go with each item, each once; 0 where there are no more."""
    weight: Floats
    """(P, N, T) their weights, at least 0; 0 where there are no more."""
    popularity: Floats
    """(N,) weight of each item; zeros where `popular` is not among the names."""
    newest: int = NEWEST
    """Events of a history that are looked at."""
    decay: float = DECAY
    """What an event weighs as a multiple of the one after it."""

    @property
    def num_codes(self) -> int:
        """N."""
        return len(self.popularity)

    def scores(self, item: npt.NDArray[np.int32]) -> Floats:
        """Scores (B, S, N) of histories of item codes (B, L), newest last; 0 is no item."""
        pairs, codes = len(self.code), self.num_codes
        item = item[:, -self.newest :]
        weigh = _recency(item.shape[1], self.decay)
        row = np.arange(len(item))[:, None, None, None] * pairs
        place = (row + np.arange(pairs)[:, None, None]) * codes + self.code[:, item].swapaxes(0, 1)
        weight = self.weight[:, item].swapaxes(0, 1) * weigh[:, None]
        total = np.bincount(place.ravel(), weight.ravel(), minlength=len(item) * pairs * codes)
        found = total.reshape(len(item), pairs, codes).astype(np.float32)
        if POPULAR not in self.names:
            return found
        popular = np.broadcast_to(self.popularity, (len(item), 1, codes))
        return np.concatenate([found, popular], axis=1)

    def keep(self, names: tuple[str, ...]) -> AssociationTables:
        """Only some of the statistics."""
        pairs = [at for at, name in enumerate(self.names[: len(self.code)]) if name in names]
        popular = POPULAR in names and POPULAR in self.names
        return AssociationTables(
            names=(*(self.names[at] for at in pairs), *([POPULAR] if popular else [])),
            code=self.code[pairs],
            weight=self.weight[pairs],
            popularity=self.popularity if popular else np.zeros_like(self.popularity),
            newest=self.newest,
            decay=self.decay,
        )

    def with_room(self, num_codes: int) -> AssociationTables:
        """The same with rows for items that are not known yet, about which nothing is said."""
        more = num_codes - self.num_codes
        return replace(
            self,
            code=np.pad(self.code, ((0, 0), (0, more), (0, 0))),
            weight=np.pad(self.weight, ((0, 0), (0, more), (0, 0))),
            popularity=np.pad(self.popularity, (0, more)),
        )

    def save(self, path: Path) -> None:
        """Write the tables as one ``.npz`` file."""
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in vars(self).items()}
        np.savez(path, **arrays)

    @classmethod
    def open(cls, path: Path) -> AssociationTables:
        """Read what :meth:`save` wrote."""
        with np.load(path) as file:
            return cls(
                names=tuple(file["names"].tolist()),
                code=file["code"],
                weight=file["weight"],
                popularity=file["popularity"],
                newest=int(file["newest"]),
                decay=float(file["decay"]),
            )


def _recency(length: int, decay: float) -> Floats:
    """(length,) weights of events, newest last."""
    return np.power(decay, np.arange(length - 1, -1, -1)).astype(np.float32)


def association_tables(
    pairs: Mapping[str, pa.Table],
    *,
    num_codes: int,
    encode: Encode,
    neighbours: int,
    popular: pa.Table | None = None,
    scale: float = 1.0,
) -> AssociationTables:
    """Make tables of pairs.

    Args:
        pairs: Statistic -> rows with item_id, other_id and weight, each pair once; pairs of items
            that the catalogue does not hold, and of an item with itself, are passed over.
        num_codes: N.
        encode: Codes of ids, as :meth:`~.catalogue.Catalogue.encode_arrow`.
        neighbours: Most items T that are kept for each, those of the greatest weight.
        popular: Rows with item_id and weight, or None.
        scale: Multiplies the weights of pairs.
    """
    tables = [_table(rows, num_codes, encode, neighbours) for rows in pairs.values()]
    shape = (0, num_codes, neighbours)
    popularity = np.zeros(num_codes, np.float32)
    if popular is not None:
        code = encode(popular["item_id"].combine_chunks())
        known = code >= FIRST_CODE
        popularity[code[known]] = popular["weight"].to_numpy()[known]
    return AssociationTables(
        names=(*pairs, *([POPULAR] if popular is not None else [])),
        code=np.stack([code for code, _ in tables]) if tables else np.zeros(shape, np.int32),
        weight=np.stack([weight for _, weight in tables]) * np.float32(scale)
        if tables
        else np.zeros(shape, np.float32),
        popularity=popularity,
    )


def _table(
    rows: pa.Table, num_codes: int, encode: Encode, neighbours: int
) -> tuple[npt.NDArray[np.int32], Floats]:
    """(N, T) codes and weights of one statistic."""
    item = encode(rows["item_id"].combine_chunks())
    other = encode(rows["other_id"].combine_chunks())
    weight = rows["weight"].to_numpy().astype(np.float32)
    known = (item >= FIRST_CODE) & (other >= FIRST_CODE) & (item != other) & (weight > 0)
    item, other, weight = item[known], other[known], weight[known]
    order = np.lexsort((other, -weight, item))
    item, other, weight = item[order], other[order], weight[order]
    place = np.arange(len(item)) - np.searchsorted(item, item, side="left")
    kept = place < neighbours
    codes = np.zeros((num_codes, neighbours), np.int32)
    weights = np.zeros((num_codes, neighbours), np.float32)
    codes[item[kept], place[kept]] = other[kept]
    weights[item[kept], place[kept]] = weight[kept]
    return codes, weights


def association_scores(
    item_code: Tensor,
    place: Tensor,
    weight: Tensor,
    *,
    pairs: int,
    newest: int,
    decay: float,
    part: CodePart | None = None,
) -> Tensor:
    """Scores (B, P, M) of histories, as :meth:`AssociationTables.scores` gives those of pairs.

    Args:
        item_code: INT32 (B, L), newest last; 0 no item, 1 an unknown one.
        place: INT32 (N, P * T) where in P * N scores the neighbours of each item are.
        weight: FP32 (N, P * T) their weights.
        pairs: P.
        newest: Events that are looked at.
        decay: What an event weighs as a multiple of the one after it.
        part: The M codes that are scored; all N when None.
    """
    codes, width = place.shape
    item = item_code[:, -newest:]
    events = item.shape[1]
    weigh = torch.from_numpy(_recency(events, decay)).to(weight.device)
    item = item.reshape(-1).long()
    at = place.index_select(0, item).reshape(-1, events, width).long()
    value = weight.index_select(0, item).reshape(-1, events, width) * weigh[:, None]
    columns = pairs * codes
    if part is not None:
        at, columns = _in_part(at, part, pairs=pairs, codes=codes), pairs * part.size
    # One column more takes what is outside the part; TensorRT wants no fewer columns than places.
    spare = max(int(part is not None), width - columns)
    total = torch.zeros((item_code.shape[0], columns + spare), device=weight.device)
    # Event by event, whose neighbours differ from one another, because TensorRT takes no scatter
    # that adds. Padding of a table writes what is there already.
    for event in range(events):
        spot = at[:, event]
        total = total.scatter(1, spot, total.gather(1, spot) + value[:, event])
    return total[:, :columns].reshape(-1, pairs, columns // pairs)


def _in_part(place: Tensor, part: CodePart, *, pairs: int, codes: int) -> Tensor:
    """Places (B, L, P * T) in P * M scores; other codes' is the column after these."""
    pair = torch.arange(pairs, device=place.device).repeat_interleave(place.shape[2] // pairs)
    column = part.place(place - pair * codes)
    outside = torch.full_like(column, pairs * part.size)
    return torch.where(column < part.size, column + pair * part.size, outside)


class AssociationScores(nn.Module):
    """Tables as buffers, so that they travel with the served network."""

    place: Tensor
    weight: Tensor

    def __init__(self, tables: AssociationTables) -> None:
        """Copy the tables, laid out so that one Gather and one scatter serve all statistics."""
        super().__init__()
        self.pairs, self.newest, self.decay = len(tables.code), tables.newest, tables.decay
        shift = np.arange(self.pairs, dtype=np.int32)[:, None, None] * tables.num_codes
        for name, values in (("place", tables.code + shift), ("weight", tables.weight)):
            by_item = np.moveaxis(values, 0, 1).reshape(tables.num_codes, -1)
            self.register_buffer(name, torch.tensor(by_item))

    def forward(self, item_code: Tensor, part: CodePart | None = None) -> Tensor:
        """Scores (B, P, M) of the statistics about pairs, of a part of the codes or of all."""
        return association_scores(
            item_code,
            self.place,
            self.weight,
            pairs=self.pairs,
            newest=self.newest,
            decay=self.decay,
            part=part,
        )
