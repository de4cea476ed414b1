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
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from penchant.clients.contract import Contract

_DIGEST_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 22


@dataclass(frozen=True)
class RowSource:
    """A file of rows."""

    path: Path
    columns: tuple[str, ...]
    """All columns of the file."""
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
            with _readable(path), pa_csv.open_csv(path) as reader:
                return cls(path, tuple(reader.schema.names), None)
        with _readable(path), pq.ParquetFile(path) as file:
            return cls(path, tuple(file.schema_arrow.names), file.metadata.num_rows)

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
            contract: names the columns to read, and which are numbers.
            keep: further columns to read.
            num_rows: of a piece.
            skip_rows: leave that many rows out at the start.
        """
        columns = [*dict.fromkeys((*contract.features, *keep))]
        with _readable(self.path):
            if _is_csv(self.path):
                batches = self._csv_batches(contract, columns)
            else:
                batches, skip_rows = self._parquet_batches(columns, num_rows, skip_rows)
            yield from _cut(batches, num_rows, skip_rows)

    def _csv_batches(self, contract: Contract, columns: list[str]) -> Iterator[Any]:
        if contract.multi_valued:
            name = contract.multi_valued[0].name
            raise ValueError(
                f"column {name!r}: takes a list of values a row, which CSV cannot hold; use Parquet"
            )
        # Categories are typed as a table reader would type them (TRUE is a truth value, 1 a
        # number); columns that are only passed through stay the text they are.
        types = {
            **{name: pa.string() for name in columns if name not in contract.features},
            **{name: pa.float64() for name in contract.numeric},
        }
        options = pa_csv.ConvertOptions(column_types=types, include_columns=columns)
        reading = pa_csv.ReadOptions(block_size=_READ_BYTES)
        with pa_csv.open_csv(self.path, read_options=reading, convert_options=options) as reader:
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
