"""A few values for each visitor, in slots of a fixed number.

Letters: B visitors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penchant.clients.clock import Place
from penchant.clients.errors import InvalidRows
from penchant.clients.values import objects, shown


@dataclass(frozen=True)
class Slots:
    """A tensor of a few values for each visitor: hers and those of all."""

    name: str
    """Name of the tensor."""
    what: str
    """What its values are, for messages."""
    most: int
    """Values of a visitor."""
    nothing: npt.NDArray[Any]
    """Padding, an array of no axis."""
    convert: Callable[[npt.NDArray[Any], Place], npt.NDArray[Any]]
    """Makes values for the wire, given where they stand."""

    def filled(
        self, own: Sequence[Iterable[Any]] | None, common: Iterable[Any], num_rows: int
    ) -> npt.NDArray[Any]:
        """(B, ``most``); one row for all, repeated in place, where none has values of her own.

        Raises:
            InvalidRows: more distinct values than there are slots, or one that is missing.
        """
        shared = self._converted(list(common), self.name)
        if own is None:
            return np.broadcast_to(self._row(shared, self.name), (num_rows, self.most))
        places = [f"history {row}, {self.name}" for row in range(num_rows)]
        return np.stack(
            [
                self._row([*shared, *self._converted(list(values), place)], place)
                for values, place in zip(own, places, strict=True)
            ]
        )

    def _converted(self, values: list[Any], place: str) -> list[Any]:
        if not values:
            return []
        found: list[Any] = self.convert(objects(values), f"{place}[{{}}]".format).tolist()
        nothing = self.nothing.item()
        if nothing in found:
            at = found.index(nothing)
            raise InvalidRows(
                f"{place}[{at}]: expected one of the {self.what}, got {shown(values[at])}, which "
                "is none; leave it out of the list"
            )
        return found

    def _row(self, values: list[Any], place: str) -> npt.NDArray[Any]:
        distinct = list(dict.fromkeys(values))
        if len(distinct) > self.most:
            raise InvalidRows(
                f"{place}: the model takes at most {self.most} {self.what} a visitor, got "
                f"{len(distinct)}; leave some out, or drop items from its answer"
            )
        row = np.full(self.most, self.nothing)
        row[: len(distinct)] = distinct
        return row
