"""A ``.npy`` file that grows piece by piece, for columns whose length is not known beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class GrowingColumn:
    """One column (E,) on disk; it can be opened with ``numpy.load`` once it is closed."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        """Begin an empty file, in place of an earlier one."""
        self.dtype, self.length = dtype, 0
        self._file = path.open("wb")
        self._write_header()

    def append(self, values: npt.NDArray[Any]) -> None:
        """Add values (B,) at the end."""
        self._file.write(np.ascontiguousarray(values, self.dtype).data)
        self.length += len(values)

    def close(self) -> None:
        """Write the length into the header, for which NumPy's format leaves room."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, header)
