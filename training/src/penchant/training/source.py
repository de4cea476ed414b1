"""Where raw rows come from: a file or a database table, read through Ibis."""

import hashlib
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from penchant.clients.csv_file import read_delimiter
from penchant.training.recipe import TableSource
from penchant.training.recipe_checks import DATABASE_FILE_SCHEMES, nearest

_PARQUET_SUFFIXES: Final = (".parquet", ".pq")
_CSV_SUFFIXES: Final = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_TRUTH_TEXTS: Final = {"true", "True", "TRUE", "false", "False", "FALSE"}
_MOST_NAMES_SHOWN: Final = 40


@dataclass(frozen=True, kw_only=True)
class Source:
    """An opened table: its columns are known, its rows are not read yet."""

    place: str
    """Where it is, for people: never with a password."""
    expression: ir.Table
    """The rows, as an Ibis expression."""
    ordered: bool
    """Whether the rows come in the same order each time without sorting."""
    as_text: Callable[[Collection[str]], ir.Table] | None = None
    """Of a CSV: its rows, with the named columns as the text that is written there."""

    @property
    def columns(self) -> dict[str, str]:
        """Every column of the table with Ibis' name for its type."""
        return {name: str(kind) for name, kind in self.expression.schema().items()}

    @property
    def is_csv(self) -> bool:
        """Whether the types of values are guessed from text."""
        return self.as_text is not None

    def read(self, columns: Sequence[str], *, text: Collection[str] = ()) -> pa.Table:
        """Read the named columns, rows in an order that is the same each time.

        Args:
            columns: Which.
            text: Those of them whose type is not to be guessed where the file has none.

        Raises:
            ValueError: There is no row, or the rows cannot be read.
        """
        with _explained("table", self.place, "check that the file is whole and of that format"):
            rows = self.expression if self.as_text is None else self.as_text(text)
            table = rows.select(*columns).to_pyarrow().combine_chunks()
        if not table.num_rows:
            raise ValueError(f"table: expected rows in {self.place}, got an empty table")
        if self.is_csv:
            table = _with_truth_values(table, besides=text)
        return table if self.ordered else table.sort_by([(name, "ascending") for name in columns])

    def check_columns(self, named: dict[str, Sequence[str]]) -> None:
        """Refuse a recipe that names columns the table lacks.

        Args:
            named: Place in the recipe, as in columns.numeric, to the column names there.

        Raises:
            ValueError: Naming each of them, the nearest existing name, and what exists.
        """
        problems = [
            f"{place}: no column '{name}'{nearest(name, self.columns)}"
            for place, names in named.items()
            for name in names
            if name not in self.columns
        ]
        if problems:
            known = list(self.columns)
            shown = ", ".join(known[:_MOST_NAMES_SHOWN])
            more = f" and {len(known) - _MOST_NAMES_SHOWN} more" * (len(known) > _MOST_NAMES_SHOWN)
            raise ValueError(
                "\n".join(problems) + f"\nthe columns of {self.place} are: {shown}{more}"
            )


def open_source(source: TableSource, connection: Any = None) -> Source:
    """Open a file or a database table; nothing is written, not even an empty database.

    Args:
        source: Where it is.
        connection: Ibis' DuckDB connection in which files and DuckDB databases are opened, so that
            tables of several sources can be joined; one of its own when None. Tables of other
            databases are opened where they are.

    Raises:
        ValueError: It does not exist, or is nothing that Ibis reads.
    """
    if source.path:
        return _open_file(Path(source.path), connection)
    return _open_database(source, connection)


def _open_file(path: Path, connection: Any) -> Source:
    if not path.is_file():
        raise ValueError(
            f"table.path: no file {path}; give the path of a CSV or Parquet file, absolute or "
            "relative to the recipe's folder or to the current one"
        )
    name = path.name.lower()
    if not name.endswith((*_PARQUET_SUFFIXES, *_CSV_SUFFIXES)):
        raise ValueError(
            f"table.path: expected a file that ends in .parquet, .csv, .csv.gz, .tsv or .tsv.gz, "
            f"got {path}"
        )
    if not path.stat().st_size:
        raise ValueError(f"table.path: expected rows in {path}, got an empty file; export it again")
    with _explained("table.path", str(path), "check that the file is whole and of that format"):
        if name.endswith(_PARQUET_SUFFIXES):
            rows = (connection or ibis.duckdb.connect()).read_parquet(path)
            return Source(place=str(path), expression=rows, ordered=True)
        as_text = partial(_read_csv, path, connection)
        return Source(place=str(path), expression=as_text(()), ordered=True, as_text=as_text)


def _read_csv(path: Path, connection: Any, text: Collection[str]) -> ir.Table:
    """The rows of a CSV; its form is told, not guessed, so that scoring reads it alike."""
    rows: ir.Table = (connection or ibis.duckdb.connect()).read_csv(
        path,
        types=dict.fromkeys(text, "VARCHAR") or None,
        # Types are told from all rows: a guess from the first ones would fail on a later row, and
        # the message would not be ours. Left to itself DuckDB takes yes and no for truth values,
        # which callers who send "yes" would never match.
        sample_size=-1,
        auto_type_candidates=["BIGINT", "DOUBLE", "VARCHAR"],
        delim=read_delimiter(path),
        quote='"',
        escape='"',
        comment="",
        skip=0,
    )
    return rows


def _open_database(source: TableSource, connection: Any) -> Source:
    url, name = str(source.url), str(source.name)
    parts = urlsplit(url)
    place = f"{name} in {url}"
    options: dict[str, Any] = {}
    if parts.scheme in DATABASE_FILE_SCHEMES:
        path = Path(url.partition("://")[2].partition("?")[0])
        if not path.is_file():
            raise ValueError(f"table.url: no database file {path}; check the path in {url}")
        options = {"read_only": True} if parts.scheme == "duckdb" else {}
    remedy = (
        "check the address, the credentials and the table's name, and that the driver is there: "
        f"pip install 'ibis-framework[{parts.scheme}]'"
    )
    with _explained("table.url", place, remedy):
        if options and connection is not None:
            rows = connection.table(name, database=_attach(path, connection))
        else:
            rows = ibis.connect(os.path.expandvars(url), **options).table(name)
    return Source(place=place, expression=rows, ordered=bool(options) or parts.scheme == "sqlite")


def _attach(path: Path, connection: Any) -> tuple[str, str]:
    """Attach a DuckDB database file, read only and once; its catalogue and default schema."""
    catalogue = f"file_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    place = str(path).replace("'", "''")
    connection.raw_sql(f"ATTACH IF NOT EXISTS '{place}' AS {catalogue} (READ_ONLY)")
    return catalogue, "main"


def _with_truth_values(table: pa.Table, *, besides: Collection[str]) -> pa.Table:
    """The table with text that is only true and false as truth values, as pandas reads it."""
    for place, field in enumerate(table.schema):
        if field.name in besides or not pa.types.is_string(field.type):
            continue
        distinct = set(pc.unique(table[place]).to_pylist()) - {None}
        if distinct and distinct <= _TRUTH_TEXTS:
            table = table.set_column(place, field.name, table[place].cast(pa.bool_()))
    return table


@contextmanager
def quiet_ibis() -> Iterator[None]:
    """Leave out warnings of how Ibis calls DuckDB and pandas, which no caller of ours can help."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextmanager
def _explained(field: str, place: str, remedy: str) -> Iterator[None]:
    """Turn whatever a database driver raises into a ValueError that says where and what to do."""
    try:
        with quiet_ibis():
            yield
    except Exception as error:  # each driver has its own tree, with nothing else in common
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise ValueError(f"{field}: cannot read {place}: {reason}; {remedy}") from error
