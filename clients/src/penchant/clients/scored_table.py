"""What ``penchant score`` writes: a table with a row for each row of the input.

Shapes: B rows, F features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from penchant.clients.contract import Contract
from penchant.clients.scores import Scores


@dataclass(frozen=True, kw_only=True)
class ScoredTable:
    """The columns of a scored file."""

    contract: Contract
    """Of the model that scores."""
    keep: tuple[str, ...]
    """Columns of the input that are copied."""
    num_reasons: int
    """Reasons for each score."""

    def check(self, schema: Any, output: Path) -> None:
        """Refuse to keep a column that scoring makes, or that the output cannot hold.

        Args:
            schema: ``pyarrow.Schema`` of the input.
            output: file to write.

        Raises:
            ValueError: naming the column.
        """
        made = {"row", "unknown", "version"}
        for goal in self.contract.goals:
            made.add(f"propensity_{goal}")
            made.update(f"reason_{goal}_{at + 1}" for at in range(self.num_reasons))
        for name in self.keep:
            if name in made:
                raise ValueError(
                    f"keep: column {name!r} is also made by scoring; name the columns to keep "
                    "without it, or rename it in the input"
                )
            kind = schema.field(name).type
            if output.suffix.lower() == ".csv" and not _fits_csv(kind):
                raise ValueError(
                    f"keep: column {name!r} has the type {kind}, which CSV cannot hold; write a "
                    ".parquet file, or name the columns to keep without it"
                )

    def table(self, piece: Any, scores: Scores, first_row: int) -> Any:
        """The output's rows for one piece of the input, a ``pyarrow.Table`` of B rows.

        Args:
            piece: B rows of the input.
            scores: of these rows.
            first_row: number of the first of them in the input.

        Raises:
            ValueError: if the scores are of another contract.
        """
        if (scores.goals, scores.features) != (self.contract.goals, self.contract.features):
            raise ValueError(
                f"model {scores.model!r}: a version with other columns or goals went live during "
                "the run; delete the .parts folder to begin anew with it"
            )
        columns = {"row": pa.array(np.arange(first_row, first_row + len(scores)))}
        columns.update({name: piece.column(name) for name in self.keep})
        for at, goal in enumerate(scores.goals):
            columns[f"propensity_{goal}"] = pa.array(scores.propensity[:, at])
            columns.update(self._reasons(scores, at, goal))
        columns["unknown"] = pa.array(scores.unknown)
        columns["version"] = pa.array(scores.version)
        return pa.table(columns)

    def _reasons(self, scores: Scores, at: int, goal: str) -> Iterator[tuple[str, Any]]:
        if scores.reason is None:
            return
        effects = scores.reason[:, at]  # (B, F)
        top = min(self.num_reasons, effects.shape[1])
        order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :top]
        values = np.take_along_axis(effects, order, axis=1)
        for rank in range(top):
            pairs = zip(order[:, rank].tolist(), values[:, rank].tolist(), strict=True)
            texts = [f"{scores.features[feature]} {effect:+.2f}" for feature, effect in pairs]
            yield f"reason_{goal}_{rank + 1}", pa.array(texts, pa.string())


def _fits_csv(kind: Any) -> bool:
    try:
        pa_csv.write_csv(pa.schema([("column", kind)]).empty_table(), BytesIO())
    except pa.ArrowInvalid:
        return False
    return True
