"""The process of one section: reads its settings, writes its rows as they are found."""

from __future__ import annotations

import json
import sys

from penchant.perf.gpu_check.sections import SECTIONS
from penchant.perf.gpu_check.settings import Settings


def main(name: str, text: str) -> None:
    """Do one section.

    Args:
        name: Which.
        text: The settings as JSON.
    """
    settings = Settings.from_json(text)
    (section,) = (each for each in SECTIONS if each.name == name)
    with settings.rows(name).open("w", encoding="utf-8") as file:
        for row in section.rows(settings):
            file.write(json.dumps(row) + "\n")
            file.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
