"""Example rows of an event log: features before each cut-off, labels after it, in one file.

The file is an ordinary table: `penchant train propensity` makes it for a recipe with `examples`,
`penchant build examples` writes it for anything else, and `penchant score` reads it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from penchant.training.events.clock import check_zone
from penchant.training.events.example_maker import ExampleMaker, example_maker
from penchant.training.events.examples_config import CUTOFF_COLUMN, DAY_S
from penchant.training.events.history_features import CUTOFF, VISITOR
from penchant.training.recipe import Recipe, TableSource
from penchant.training.source import Source, open_source

_PIECE_ROWS: Final = 100_000
_PARTS: Final = ("train", "validation", "calibration", "test")


def cutoff_moments(maker: ExampleMaker) -> list[int]:
    """The recipe's cut-offs, oldest first, in seconds since 1970 UTC.

    Raises:
        ValueError: A date cannot be read, or the horizons of two cut-offs overlap.
    """
    cutoffs, horizon_s = maker.config.cutoffs, maker.config.horizon_s
    if cutoffs.dates:
        zone = maker.log.recipe.events.timezone
        field = "examples.cutoffs.dates"
        moments = sorted(moment_s(date, zone, field=field) for date in cutoffs.dates)
    else:
        step_s = horizon_s if cutoffs.every_days is None else round(cutoffs.every_days * DAY_S)
        newest = maker.end_s - horizon_s
        moments = [newest - step_s * number for number in reversed(range(cutoffs.count))]
        moments = [moment for moment in moments if moment > maker.first_s]
    for before, after in pairwise(moments):
        if after - before < horizon_s:
            raise ValueError(
                f"examples.cutoffs: {_shown(before)} and {_shown(after)} are "
                f"{(after - before) / DAY_S:g} days apart, less than the longest horizon of "
                f"{horizon_s / DAY_S:g} days, so that what is learnt at one tells what is tested "
                "at the other; take cut-offs further apart, or goals with shorter within_days"
            )
    return moments


def moment_s(text: str, zone: str, *, field: str) -> int:
    """Seconds since 1970 UTC of a date (its midnight) or a time in ISO form; `zone` if it has none.

    Raises:
        ValueError: It is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"{field}: expected a date or time as in 2011-12-09 or 2011-12-09T12:30:00, "
            f"got {text!r}"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=check_zone(zone))
    return int(moment.timestamp())


def write_examples(maker: ExampleMaker, cutoffs: Sequence[int], path: Path) -> int:
    """Write the rows of all cut-offs, oldest first, each by visitor; one cut-off at a time.

    The columns are `visitor_id`, `cutoff` (UTC), the features, then a label a goal. A database
    holds the groups of one cut-off only, so that memory does not grow with their number.

    Returns:
        The number of rows.

    Raises:
        ValueError: There is none.
    """
    num_rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        for cutoff_s in cutoffs:
            for table in _in_pieces(maker.rows(cutoff_s)):
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
                num_rows += len(table)
    finally:
        if writer is not None:
            writer.close()
    if not num_rows:
        shown = ", ".join(map(_shown, cutoffs)) or "none"
        raise ValueError(
            f"examples: no visitor to look at; cut-offs: {shown}; the log reaches from "
            f"{_shown(maker.first_s)} to {_shown(maker.end_s)}, so that its newest cut-off with a "
            f"label is {_shown(maker.end_s - maker.config.horizon_s)}; take cut-offs between, or "
            "goals with shorter within_days, and look at having_done and active_within_days"
        )
    return num_rows


@contextmanager
def opened_examples(recipe: Recipe) -> Iterator[tuple[Recipe, Source]]:
    """Make the labelled examples of a recipe in a temporary file, for as long as it is read.

    Yields:
        The recipe with the columns that the examples have, and the rows.

    Raises:
        ValueError: The examples cannot be made, or are too few moments to be divided by time.
    """
    assert recipe.examples is not None
    maker = example_maker(recipe.examples)
    moments = [moment for moment in cutoff_moments(maker) if maker.is_labelled(moment)]
    _check_enough(recipe, moments)
    if recipe.columns.features:
        raise ValueError(
            "columns: expected nothing but ignored beside examples, whose columns follow from the "
            f"log, got {', '.join(recipe.columns.features)}; leave them out"
        )
    recipe = replace(
        recipe, columns=replace(maker.columns, ignored=recipe.columns.ignored).without_ignored()
    )
    with tempfile.TemporaryDirectory(prefix="penchant-examples-") as folder:
        path = Path(folder) / "examples.parquet"
        write_examples(maker, moments, path)
        yield recipe, replace(open_source(TableSource(path=str(path))), place=recipe.place)


def _check_enough(recipe: Recipe, moments: Sequence[int]) -> None:
    """Refuse fewer cut-offs than a split by time has parts."""
    split = recipe.split
    parts = [part for part in _PARTS if part == "train" or getattr(split, part)]
    if split.by == "time" and len(moments) < len(parts):
        raise ValueError(
            f"examples.cutoffs: expected at least {len(parts)} with a label, because the split is "
            f"by time into {', '.join(parts)}, got {len(moments)}"
            f"{': ' if moments else ''}{', '.join(map(_shown, moments))}; take more cut-offs, "
            "goals with shorter within_days, split.calibration 0, or split.by group with "
            f"split.column {VISITOR}"
        )


def _in_pieces(rows: ir.Table) -> Iterator[pa.Table]:
    """The rows in pieces, by way of a file that the database writes as it goes."""
    with tempfile.TemporaryDirectory(prefix="penchant-cutoff-") as folder:
        path = Path(folder) / "rows.parquet"
        rows.to_parquet(path)
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_PIECE_ROWS):
                # Sums of integers are wider in DuckDB than the expression says.
                table = pa.Table.from_batches([batch]).cast(rows.schema().to_pyarrow())
                yield _with_time(table)


def _with_time(rows: pa.Table) -> pa.Table:
    """The rows with their cut-off as a time (UTC), not as seconds."""
    place = rows.schema.get_field_index(CUTOFF)
    times = rows[CUTOFF].cast(pa.timestamp("s"))
    return rows.set_column(place, CUTOFF_COLUMN, times.cast(pa.timestamp("ms")))


def _shown(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
