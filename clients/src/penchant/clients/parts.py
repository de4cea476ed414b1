"""A folder of finished parts beside an output file, so that a long run survives any interruption.

A part is there whole or not at all: it is written under another name, flushed to the disk and
renamed. The output itself appears the same way, once every part is there. The folder is renamed
before it is removed, so that no half of it can be taken for an unfinished run.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

GROUP_ROWS: Final = 1 << 16
"""Rows of a row group in the output."""


class Parts:
    """The folder ``<output>.parts``; one process at a time holds it."""

    def __init__(self, output: Path, *, of: Mapping[str, Any]) -> None:
        """Take up the parts of an earlier run, or begin.

        Args:
            output: file to make in the end, Parquet or, by its suffix, CSV.
            of: what the parts are made of and how, JSON values; parts of anything else are refused.

        Raises:
            ValueError: if the folder's parts are of something else, or another process is at work.
        """
        self.output = output
        self.folder = output.with_name(output.name + ".parts")
        self._done = output.with_name(output.name + ".parts.done")
        self._of = dict(of)
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise ValueError(
                f"output: another process is writing {self.output}; wait for it, or name another"
            ) from error
        try:
            self._remove_done()
            self._check_origin()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    def num_done(self) -> int:
        """Finished parts: those from the first on without a gap."""
        count = 0
        while self._path(count).exists():
            count += 1
        return count

    def num_rows_done(self) -> int:
        """Rows in the finished parts."""
        return sum(pq.read_metadata(self._path(at)).num_rows for at in range(self.num_done()))

    def write(self, index: int, table: Any) -> None:
        """Add a part.

        Raises:
            OSError: if it cannot be written (a full disk, say); the parts before it stay.
        """
        with self._written(self._path(index)) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def assemble(self) -> None:
        """Make the output of all parts, and remove them.

        Raises:
            OSError: if it cannot be written; the parts stay.
        """
        with self._written(self.output) as temporary:
            self._join(temporary)
        self._remove_done()
        self.folder.rename(self._done)
        self._remove_done()

    def _remove_done(self) -> None:
        # What cannot be removed is in nobody's way, and the next run tries again.
        shutil.rmtree(self._done, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"part-{index:08d}.parquet"

    def _check_origin(self) -> None:
        path = self.folder / "origin.json"
        wanted = json.loads(json.dumps(self._of))
        if not any(self.folder.glob("part-*.parquet")):
            with self._written(path) as temporary:
                temporary.write_text(json.dumps(wanted, indent=2, ensure_ascii=False))
            return
        remedy = "delete that folder to begin anew"
        if not path.exists():
            raise ValueError(
                f"output: {self.folder} holds parts without an origin.json that says what they are "
                f"of; {remedy}"
            )
        found = json.loads(path.read_text())
        changed = [key for key in wanted if found.get(key) != wanted[key]]
        if changed:
            key = changed[0]
            raise ValueError(
                f"output: {self.folder} holds parts of an unfinished run whose {key} was "
                f"{_shown(found.get(key))} and is now {_shown(wanted[key])}; run it as it was "
                f"begun to resume, or {remedy}"
            )

    def _join(self, path: Path) -> None:
        schema = pq.read_schema(self._path(0))
        is_csv = self.output.suffix.lower() == ".csv"
        with pa_csv.CSVWriter(path, schema) if is_csv else pq.ParquetWriter(path, schema) as writer:
            for table in self._groups():
                writer.write_table(table)

    def _groups(self) -> Iterator[Any]:
        held: list[Any] = []
        for at in range(self.num_done()):
            held.append(pq.read_table(self._path(at), memory_map=False))
            if sum(table.num_rows for table in held) >= GROUP_ROWS:
                yield pa.concat_tables(held)
                held = []
        if held:
            yield pa.concat_tables(held)

    @contextmanager
    def _written(self, path: Path) -> Iterator[Path]:
        """A temporary file that becomes ``path`` if nothing goes wrong."""
        temporary = self.folder / f"{path.name}.tmp"
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _flush_folder(path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f"{path}: could not be written ({error.strerror or error}); what is done is kept "
                f"in {self.folder}: make room, then run the same command to go on",
            ) from error


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
