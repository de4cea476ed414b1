"""The tables of a log, opened in one DuckDB connection so that they can be joined."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from penchant.training.events.log_recipe import CustomerColumns, LogRecipe
from penchant.training.recipe import TableSource
from penchant.training.source import Source, open_source, quiet_ibis

MEMORY_LIMIT: Final = "3GB"
"""Most memory of DuckDB; what needs more goes to disk for the while."""


@dataclass(frozen=True, kw_only=True)
class LogTables:
    """The user's own tables, with the columns that the recipe names."""

    events: ir.Table
    """Event table, as it is."""
    items: ir.Table | None = None
    """Item table, where the recipe has one."""
    customers: ir.Table | None = None
    """Customer table, where the recipe has one."""
    places: dict[str, str] = field(default_factory=dict)
    """Table to where it is, for people."""
    ordered: bool = False
    """Whether the event table's rows have an order of their own, as in a file."""


def open_tables(recipe: LogRecipe, *, memory_limit: str = MEMORY_LIMIT) -> LogTables:
    """Open all tables of a log in one DuckDB connection.

    Parquet files and DuckDB databases are read where they are, each time anew; a CSV and the
    tables of other databases are copied once.

    Raises:
        ValueError: A table cannot be opened, lacks a column, or keys have different types.
    """
    connection = ibis.duckdb.connect(
        memory_limit=memory_limit,
        temp_directory=str(Path(tempfile.gettempdir()) / f"penchant-duckdb-{os.getpid()}"),
    )
    named = {"events": (recipe.events.table, column_names(recipe.events.columns))}
    for table in ("items", "customers"):
        config = getattr(recipe, table)
        if config is not None:
            named[table] = (config.table, column_names(config.columns))
    sources = {
        table: _open(table, where, columns, connection) for table, (where, columns) in named.items()
    }
    texts = _keys_to_read_as_text(recipe, sources)
    tables = {
        table: _rows(table, source, named[table][1], texts.get(table, ()), connection)
        for table, source in sources.items()
    }
    return LogTables(
        events=tables["events"],
        items=tables.get("items"),
        customers=tables.get("customers"),
        places={table: source.place for table, source in sources.items()},
        ordered=sources["events"].ordered,
    )


def column_names(columns: Any) -> list[str]:
    """The user's columns that are named, each once."""
    names = [getattr(columns, each.name) for each in fields(columns)]
    if isinstance(columns, CustomerColumns):
        names = [columns.visitor_id, columns.consent, *columns.numeric, *columns.categorical]
    return list(dict.fromkeys(name for name in names if name is not None))


def _open(table: str, where: TableSource, columns: Sequence[str], connection: Any) -> Source:
    try:
        source = open_source(where, connection)
    except ValueError as error:
        raise ValueError(f"{table}.{error}") from error
    source.check_columns({f"{table}.columns": columns})
    return source


def _keys_to_read_as_text(recipe: LogRecipe, sources: dict[str, Source]) -> dict[str, list[str]]:
    """Key columns of a CSV that were guessed to be integers and are not.

    In the table they point to they are text, or one of them begins with a zero.
    """
    texts: dict[str, list[str]] = {}
    columns = recipe.events.columns
    for table, key in (("items", "item_id"), ("customers", "visitor_id")):
        config, name = getattr(recipe, table), getattr(columns, key)
        if name is None:
            continue
        own = {"events": name}
        if config is not None:
            own[table] = getattr(config.columns, key)
        is_text = {each: _is_text(sources[each], own[each]) for each in own}
        for each in own:
            if any(is_text.values()) and sources[each].columns[own[each]] != "string":
                texts.setdefault(each, []).append(own[each])
    return texts


def _is_text(source: Source, name: str) -> bool:
    """Whether a key is text, or integers of a CSV that a number would not write the same."""
    if source.columns[name] == "string" or source.as_text is None:
        return source.columns[name] == "string"
    with quiet_ibis():
        written = source.as_text([name])
        return bool(written[name].re_search(r"^[+-]?0\d").any().to_pyarrow().as_py())


def _rows(
    table: str, source: Source, columns: Sequence[str], text: Sequence[str], connection: Any
) -> ir.Table:
    with quiet_ibis():
        rows = source.as_text(text) if source.as_text and text else source.expression
        rows = rows.select(*columns)
        if rows.get_backend() is not connection:
            return _copied(table, rows.to_pyarrow_batches(), connection)
        if source.is_csv:
            return connection.create_table(f"penchant_{table}", rows, temp=True)
        return rows


def _copied(table: str, batches: pa.RecordBatchReader, connection: Any) -> ir.Table:
    """The rows of another database in a temporary table, batch by batch."""
    # Ibis would hold all of them in memory first.
    connection.con.register("penchant_batches", batches)
    connection.raw_sql(f"CREATE TEMP TABLE penchant_{table} AS SELECT * FROM penchant_batches")
    connection.con.unregister("penchant_batches")
    return connection.table(f"penchant_{table}")
