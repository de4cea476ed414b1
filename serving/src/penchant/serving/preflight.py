"""Try a package in a throw-away process before anything served depends on it.

A graph that crashes ONNX Runtime ends that process and nothing else. Its memory is not limited, but
where the machine runs out of it, the kernel takes that process first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from penchant.clients.contract import VERSION
from penchant.serving.package import ModelPackage

if TYPE_CHECKING:
    from penchant.serving.session import GraphSession
    from penchant.serving.targets.chain import Chain

TIMEOUT_S: Final = 300.0
"""Longest time that a package may take to load and answer its golden rows."""
IN_STEPS: Final = "--in_steps"
BATCH_SIZES: Final = (1, 7, 64)
"""Sizes of the batches in which the golden rows are tried."""


def preflight(
    package: ModelPackage,
    *,
    version: int,
    in_steps: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Fuse, load and answer the golden rows in a process of its own.

    Args:
        package: what to try.
        version: its version in the registry.
        in_steps: whether to try it also cut into steps, for a target that serves it so.
        timeout_s: longest time that this may take.

    Raises:
        ValueError: if that process fails; the message holds its reason.
    """
    command = [sys.executable, "-m", "penchant.serving.preflight", str(package.folder)]
    command += [str(version), *([IN_STEPS] if in_steps else [])]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        reason = done.stderr.strip()[-2000:] or f"it ended with code {done.returncode}"
    except subprocess.TimeoutExpired:
        reason = f"it took longer than {timeout_s:g} s"
    else:
        if done.returncode == 0:
            return
    raise ValueError(
        f"version {version} of {package.manifest.name!r} is not published: tried in a process of "
        f"its own, {reason}; the version served so far stays, train again"
    )


def try_package(package: ModelPackage, version: int, *, in_steps: bool = False) -> None:
    """What the throw-away process does.

    Raises:
        ValueError: if an answer differs from the golden one.
    """
    from penchant.serving.fuse import served_graphs
    from penchant.serving.pieces import cut
    from penchant.serving.session import GraphSession
    from penchant.serving.targets.chain import Chain

    for graph in served_graphs(package, version).values():
        _try(GraphSession(graph), package, version)
    if in_steps:
        _try(Chain(cut(package, version)), package, version)


def _try(session: GraphSession | Chain, package: ModelPackage, version: int) -> None:
    from penchant.serving.parity import check_answers

    golden = package.golden()
    for size in BATCH_SIZES:
        for start in range(0, golden.num_rows, size):
            rows = golden.rows(start, start + size)
            answers = session.run(rows.inputs)
            check_answers(rows, answers)
            if set(answers[VERSION].ravel().tolist()) != {version}:
                raise ValueError(f"version: expected {version}, got {answers[VERSION].ravel()}")


def offer_to_end_first() -> None:
    """Have the kernel end this process before others when memory runs out."""
    with suppress(OSError):  # a machine without /proc
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    offer_to_end_first()
    try:
        try_package(
            ModelPackage.open(Path(sys.argv[1])), int(sys.argv[2]), in_steps=IN_STEPS in sys.argv
        )
    except ValueError as error:
        sys.exit(str(error))
