"""``penchant build examples``: what was known of each visitor at a moment, and what followed."""

from __future__ import annotations

import os
from pathlib import Path

from penchant.training.events.example_maker import example_maker
from penchant.training.events.examples import cutoff_moments, moment_s, write_examples
from penchant.training.recipe import Recipe


def build_examples(recipe: Recipe, *, output: Path, at: str | None = None) -> str:
    """Write the example rows of a recipe: features before a cut-off, labels where they are known.

    Args:
        recipe: With `examples`: which log, goals and features.
        output: The Parquet file to write; its columns are those that the trained model is asked
            with, after visitor_id and cutoff (UTC).
        at: One moment instead of the recipe's cut-offs, as in 2011-12-09 (midnight in the log's
            zone) or 2011-12-09T12:30:00; to score the visitors of that moment.

    Returns:
        What was written, in a line.

    Raises:
        ValueError: The recipe has no examples, or they cannot be made.
    """
    if recipe.examples is None:
        raise ValueError(
            f"examples: the recipe {recipe.name} has a table, expected examples (a log, goals and "
            "cut-offs); give a recipe with examples"
        )
    if output.suffix != ".parquet":
        raise ValueError(f"output: expected a file that ends in .parquet, got {output}")
    maker = example_maker(recipe.examples)
    zone = maker.log.recipe.events.timezone
    moments = cutoff_moments(maker) if at is None else [moment_s(at, zone, field="at")]
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        num_rows = write_examples(maker, moments, unfinished)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
    labelled = sum(map(maker.is_labelled, moments))
    return (
        f"{num_rows:,} rows of {len(moments)} cut-offs, {labelled} of them with labels, "
        f"written to {output}"
    )
