"""What sections found: a JSON object a line, so that what came before a time limit stays."""

from __future__ import annotations

import json

from penchant.perf.gpu_check.sections import Row
from penchant.perf.gpu_check.settings import Settings


def read_rows(settings: Settings, section: str) -> list[Row]:
    """Rows of a section, without one that was cut off while it was written."""
    path = settings.rows(section)
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found
