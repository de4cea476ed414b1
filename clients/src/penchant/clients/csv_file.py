"""How a CSV is read, in training and in scoring alike."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

DELIMITERS: Final = (",", ";", "\t", "|")
"""What may stand between two cells; a text that holds it is in double quotes."""


def read_delimiter(path: Path) -> str:
    """The delimiter that is most frequent in the first line, which names the columns.

    It is told from the names alone: cells may hold any of them, as in ``shoes|coats``.

    Args:
        path: CSV, packed if its name ends in ``.gz``.

    Raises:
        OSError: if it cannot be read.
    """
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        header = file.readline().decode("utf-8", errors="replace")
    return max(DELIMITERS, key=header.count)
