"""What TensorRT says while it works, kept apart from the terminal."""

from __future__ import annotations

import re
from typing import Any, Final

from penchant.serving.engines.library import EngineLibrary

_BY_DESIGN: Final = re.compile("^Unused Input: |is unused or used only at compile-time")
"""Every net of a kind takes what encode.onnx gives, whether it looks at it or not."""


class BuildLog:
    """Errors and warnings, each once, in the order in which they came."""

    def __init__(self, library: EngineLibrary) -> None:
        """Nothing is said yet.

        Args:
            library: whose messages are kept.
        """
        self.errors: list[str] = []
        self.warnings: list[str] = []
        severity = library.module.ILogger.Severity
        kept = {
            severity.INTERNAL_ERROR: self.errors,
            severity.ERROR: self.errors,
            severity.WARNING: self.warnings,
        }

        class Keeper(library.module.ILogger):  # type: ignore[misc, name-defined]
            """The library calls this from its own threads."""

            def log(self, severity: Any, message: str) -> None:
                said = kept.get(severity)
                if said is None or message in said or _BY_DESIGN.search(message):
                    return
                said.append(message)

        self.logger: Any = Keeper()
        """What TensorRT takes as its ILogger; it has to outlive all that was made with it."""
