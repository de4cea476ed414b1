"""The rows of a Parquet or CSV file, in pieces of a fixed number of rows.

pyarrow is imported here; only the verbs that need it import this module.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from penchant.clients.contract import Contract, MultiValued, csv_text
from penchant.clients.csv_file import read_delimiter
from penchant.clients.rows import Rows

_DIGEST_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 22


@dataclass(frozen=True)
class RowSource:
    """A file of rows."""

    path: Path
    schema: Any
    """``pyarrow.Schema`` of the file; a CSV holds nothing but text."""
    num_rows: int | None
    """Number of rows, if the file says so."""

    @classmethod
    def open(cls, path: Path) -> RowSource:
        """Look at a file, by its suffix ``.parquet`` or ``.csv``.

        Raises:
            ValueError: if there is no such file, or it is neither.
        """
        if not path.is_file():
            raise ValueError(f"input: expected a Parquet or CSV file, found none at {path}")
        if _is_csv(path):
            with _readable(path), pa_csv.open_csv(path, parse_options=_parsing(path)) as reader:
                text = pa.schema([(name, pa.string()) for name in reader.schema.names])
                return cls(path, text, None)
        with _readable(path), pq.ParquetFile(path) as file:
            return cls(path, file.schema_arrow, file.metadata.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the file."""
        return tuple(self.schema.names)

    @property
    def is_csv(self) -> bool:
        """Whether it is a CSV, of which every column is text."""
        return _is_csv(self.path)

    def fingerprint(self) -> dict[str, Any]:
        """What tells whether the file is still the same: size, time, and its first and last MiB."""
        status = self.path.stat()
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            digest.update(file.read(_DIGEST_BYTES))
            file.seek(max(0, status.st_size - _DIGEST_BYTES))
            digest.update(file.read(_DIGEST_BYTES))
        return {
            "input": str(self.path.resolve()),
            "input_bytes": status.st_size,
            "input_mtime_ns": status.st_mtime_ns,
            "input_sha256_of_ends": digest.hexdigest(),
        }

    def pieces(
        self, contract: Contract, *, keep: Sequence[str], num_rows: int, skip_rows: int
    ) -> Iterator[Any]:
        """``pyarrow.Table`` after table of ``num_rows`` rows, the last one perhaps shorter.

        Args:
            contract: names the columns to read.
            keep: further columns to read.
            num_rows: of a piece.
            skip_rows: leave that many rows out at the start.
        """
        columns = [*dict.fromkeys((*contract.features, *keep))]
        yield from self.tables(columns, num_rows=num_rows, skip_rows=skip_rows)

    def tables(self, columns: Sequence[str], *, num_rows: int, skip_rows: int = 0) -> Iterator[Any]:
        """As :meth:`pieces`, of columns by name; those of a CSV are text."""
        columns = list(columns)
        with _readable(self.path):
            if _is_csv(self.path):
                batches = self._csv_batches(columns)
            else:
                batches, skip_rows = self._parquet_batches(columns, num_rows, skip_rows)
            yield from _cut(batches, num_rows, skip_rows)

    def rows(self, piece: Any, contract: Contract) -> Rows:
        """The features of a piece as a client takes them.

        A CSV's text becomes what training makes of it: numbers, and categories by
        :func:`~penchant.clients.contract.csv_text`.
        """
        if not _is_csv(self.path):
            rows: Rows = piece
            return rows
        columns = {name: _numbers(piece.column(name)) for name in contract.numeric}
        columns |= {name: csv_categories(piece.column(name)) for name in contract.categorical}
        columns |= {
            each.name: _lists(piece.column(each.name), each) for each in contract.multi_valued
        }
        return columns

    def _csv_batches(self, columns: list[str]) -> Iterator[Any]:
        # All as text: types guessed from the first rows would fail on later ones, and differ from
        # those that training was told.
        options = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()), include_columns=columns
        )
        with pa_csv.open_csv(
            self.path,
            read_options=pa_csv.ReadOptions(block_size=_READ_BYTES),
            parse_options=_parsing(self.path),
            convert_options=options,
        ) as reader:
            yield from reader

    def _parquet_batches(
        self, columns: list[str], num_rows: int, skip_rows: int
    ) -> tuple[Iterator[Any], int]:
        """Batches from the row group on that holds row ``skip_rows``, and what is left to skip."""
        with pq.ParquetFile(self.path) as file:
            lengths = [
                file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups)
            ]
        first = 0
        while first < len(lengths) and skip_rows >= lengths[first]:
            skip_rows -= lengths[first]
            first += 1
        groups = list(range(first, len(lengths)))
        return self._parquet_groups(groups, columns, num_rows), skip_rows

    def _parquet_groups(
        self, groups: list[int], columns: list[str], num_rows: int
    ) -> Iterator[Any]:
        # Unbuffered: a row group may be most of the file.
        with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=_READ_BYTES) as file:
            yield from file.iter_batches(batch_size=num_rows, row_groups=groups, columns=columns)


class _readable:  # noqa: N801  (reads as a statement)
    """Says which file it is that Arrow cannot read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, pa.ArrowInvalid | pa.ArrowKeyError):
            raise ValueError(
                f"input: {self._path} cannot be read ({error}); write it again, best as Parquet"
            ) from error


def _is_csv(path: Path) -> bool:
    if path.suffix.lower() in (".csv", ".parquet", ".pq"):
        return path.suffix.lower() == ".csv"
    raise ValueError(f"input: expected a .parquet or .csv file, got {path}")


def _parsing(path: Path) -> Any:
    return pa_csv.ParseOptions(delimiter=read_delimiter(path), newlines_in_values=True)


def _numbers(column: Any) -> Any:
    """Text as numbers, as truth values if it says so; blank text is missing."""
    text = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    text = pc.if_else(pc.equal(text, ""), None, text)
    text = pc.if_else(pc.equal(text, "true"), "1", text)
    text = pc.if_else(pc.equal(text, "false"), "0", text)
    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        # The client names the first value that is no number, and its row.
        return [_number(cell, raw) for cell, raw in zip(text, column, strict=True)]


def _number(cell: Any, raw: Any) -> float | str | None:
    try:
        number: float | None = cell.cast(pa.float64()).as_py()
        return number
    except pa.ArrowInvalid:
        return str(raw)


def csv_categories(column: Any) -> Any:
    """Cells of a CSV as categories, by :func:`~penchant.clients.contract.csv_text`."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = pa.array(map(csv_text, encoded.dictionary.to_pylist()), pa.string())
    return texts.take(encoded.indices)


def _lists(column: Any, config: MultiValued) -> Any:
    lists = pc.split_pattern(column.combine_chunks(), config.separator)
    texts = csv_categories(pc.utf8_trim_whitespace(pa.chunked_array([lists.values])))
    return pa.ListArray.from_arrays(lists.offsets, texts)


def _cut(batches: Iterator[Any], num_rows: int, skip_rows: int) -> Iterator[Any]:
    """The batches as tables of ``num_rows`` rows, without the first ``skip_rows``."""
    held: list[Any] = []
    num_held = 0
    for batch in batches:
        if skip_rows >= batch.num_rows:
            skip_rows -= batch.num_rows
            continue
        held.append(batch.slice(skip_rows))
        num_held += held[-1].num_rows
        skip_rows = 0
        while num_held >= num_rows:
            table = pa.Table.from_batches(held)
            yield table.slice(0, num_rows)
            held = table.slice(num_rows).to_batches()
            num_held -= num_rows
    held = list(itertools.filterfalse(lambda batch: batch.num_rows == 0, held))
    if held:
        yield pa.Table.from_batches(held)
