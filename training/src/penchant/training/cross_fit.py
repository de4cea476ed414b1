"""Who learns from which rows: cross-fitting, so that no row is spent on stopping or calibration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penchant.training.split import Parts, Rows, deal, seen_rows
from penchant.training.table import Table


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldedRows:
    """Rows and the trunks that they are held out from."""

    rows: Rows
    """Row numbers (B,)."""
    fold: NDArray[np.int32]
    """The trunk that never learns from the row (B,); -1 = held out from none in particular."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Roles:
    """The rows that a fit learns from, stops by and calibrates on; one object if the same."""

    train: FoldedRows
    validation: FoldedRows
    calibration: FoldedRows


def assign_roles(table: Table, parts: Parts, *, trunks: int) -> Roles:
    """Decide which trunk learns from which row.

    With several trunks, trunk t learns from all rows outside the test part but those of fold t,
    and speaks for those of fold t where the fit stops and calibrates. One trunk has no other to
    speak for it, and where a split by time does not say whose rows these are, two of one visitor
    could be in two folds: there, the parts keep their roles.
    """
    if trunks == 1 or (table.recipe.split.by == "time" and table.visitor is None):
        return Roles(
            train=_without_fold(parts.train),
            validation=_without_fold(parts.validation),
            calibration=_without_fold(parts.calibration),
        )
    rows = seen_rows(parts)
    seen = FoldedRows(rows=rows, fold=deal(table, rows, trunks))
    return Roles(train=seen, validation=seen, calibration=seen)


def _without_fold(rows: Rows) -> FoldedRows:
    return FoldedRows(rows=rows, fold=np.full(len(rows), -1, dtype=np.int32))
