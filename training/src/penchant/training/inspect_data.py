"""The verb `penchant inspect data`: show what a recipe would read, before anything is trained."""

from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from penchant.training.events.inspect_log import render_log_profile
from penchant.training.events.log_profile import profile_log
from penchant.training.events.log_recipe import LogRecipe
from penchant.training.profile import ColumnProfile, TableProfile, profile_table
from penchant.training.recipe import Recipe

_LONGEST_EXAMPLE: Final = 16


def inspect_data(recipe: Recipe | LogRecipe) -> None:
    """Show what a recipe would read: a table's columns, or an event log's rows and their faults.

    Of a table: types, missing values, leakage suspects, class balance and parts. Of an event log
    (a recipe with the key events): span, actions, visitors, gaps, what each cleaning rule finds.

    Args:
        recipe: What to read.

    Raises:
        ValueError: The table cannot be read as the recipe says.
    """
    if isinstance(recipe, LogRecipe):
        Console().print(render_log_profile(profile_log(recipe)))
    else:
        Console().print(render_profile(profile_table(recipe)))


def render_profile(profile: TableProfile) -> RenderableType:
    """The profile as text and tables for a terminal."""
    lines: list[RenderableType] = [
        Text(profile.place, overflow="fold"),
        Text(f"{profile.num_rows:,} rows"),
        Text(f"{profile.num_duplicates:,} rows repeat an earlier one in all columns read"),
        _columns(profile),
        _goals(profile),
    ]
    suspects = [column.name for column in profile.columns if column.is_suspect]
    if suspects:
        lines.append(
            Text(
                f"Leakage suspects: {', '.join(suspects)}. Alone they all but tell a goal; if they "
                "are known only afterwards, add them to columns.ignored.",
                style="bold red",
            )
        )
    if profile.split_problem:
        lines.append(Text(profile.split_problem, style="bold red"))
    else:
        parts = ", ".join(f"{name} {rows:,}" for name, rows in profile.parts.items())
        lines.append(Text(f"Parts: {parts} rows"))
    if profile.ignored:
        lines.append(Text(f"Ignored: {', '.join(profile.ignored)}"))
    if profile.not_named:
        names = ", ".join(f"{name} ({kind})" for name, kind in profile.not_named.items())
        lines.append(Text(f"Not named in the recipe, so not read: {names}"))
    lines.append(Text(f"Fingerprint: {profile.fingerprint}", style="dim"))
    return Group(*lines)


def _columns(profile: TableProfile) -> Grid:
    grid = Grid(title="Columns", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    notes = [_note(column, profile.num_rows) for column in profile.columns]
    # In a narrow terminal examples and types give way, numbers never do.
    grid.add_column("column", no_wrap=True)
    grid.add_column("role", no_wrap=True)
    grid.add_column("type")
    for title in ("missing", "distinct"):
        grid.add_column(title, justify="right", no_wrap=True)
    grid.add_column("example")
    for goal in profile.goals:
        grid.add_column(f"AUC for\n{goal.name}", justify="right", no_wrap=True)
    if any(notes):
        grid.add_column("note")
    for column, note in zip(profile.columns, notes, strict=True):
        example = column.example[:_LONGEST_EXAMPLE]
        grid.add_row(
            *(Text(text) for text in (column.name, column.role, column.kind)),
            f"{column.missing:.1%}",
            f"{column.distinct:,}",
            Text(example + "…" * (example != column.example)),
            *(f"{auc:.3f}" for auc in column.auc),
            *([note] if any(notes) else []),
            style="red" if column.is_suspect else None,
        )
    return grid


def _note(column: ColumnProfile, num_rows: int) -> str:
    if column.is_suspect:
        return "leakage suspect"
    if column.distinct == 0:
        return "empty"
    if column.distinct == 1 and not column.missing:
        return "constant"
    if column.role == "categorical" and column.distinct > num_rows / 2:
        return "nearly unique: an id?"
    return ""


def _goals(profile: TableProfile) -> Grid:
    grid = Grid("goal", "column", title="Goals", title_justify="left", box=SIMPLE_HEAD)
    for title in ("reached", "not reached", "not observed", "share reached"):
        grid.add_column(title, justify="right")
    for goal in profile.goals:
        counts = (goal.positive, goal.negative, goal.missing)
        share = goal.positive / (goal.positive + goal.negative)
        grid.add_row(
            Text(goal.name),
            Text(goal.column),
            *(f"{count:,}" for count in counts),
            f"{share:.1%}",
        )
    return grid
