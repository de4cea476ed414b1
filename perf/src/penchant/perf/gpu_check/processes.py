"""Work of the training component, in processes of its own: perf imports nothing of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any


def run_training(module: str, arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run a module of training; yield what it prints as JSON, a line at a time, as it comes.

    Args:
        module: As in ``python -m``.
        arguments: Its options.

    Raises:
        ValueError: If it fails; the message holds the end of what it said.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("{"):
                    yield json.loads(line)
        if process.returncode:
            said.seek(0)
            raise ValueError(
                f"{module}: ended with code {process.returncode}: {said.read().strip()[-500:]}"
            )
