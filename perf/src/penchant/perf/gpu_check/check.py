"""Runs the sections one after another, each in a process of its own, and writes the report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from penchant.perf.gpu_check.goals import find_goals
from penchant.perf.gpu_check.packages import how_to_bring, missing_packages
from penchant.perf.gpu_check.report import Report, SectionReport, State
from penchant.perf.gpu_check.rows import read_rows
from penchant.perf.gpu_check.sections import HERE, SECTIONS, Section
from penchant.perf.gpu_check.settings import Settings, dry_settings, gpu_settings
from penchant.serving.engines.device import this_device

MOST_S: Final = 560.0
"""Longest time of all sections together on a GPU."""
DRY_FACTOR: Final = 6.0
"""How many times as long sections may take where there is no GPU and maybe one busy core."""


@dataclass(frozen=True)
class Place:
    """Where the check runs."""

    card: str
    """The GPU; empty in a dry run."""
    because: str
    """Why it is a dry run; empty where it is none."""


def check(results: Path, *, dry_run: bool = False) -> Report:
    """Measure this machine and write the report.

    Args:
        results: Folder of the report.
        dry_run: Run on the CPU at tiny sizes, whatever is here.
    """
    _say_what_is_missing()
    place = find_place(dry_run=dry_run)
    is_dry = bool(place.because)
    if is_dry:
        _say(f"dry run on the CPU at tiny sizes: {place.because}")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="penchant-gpu-check-") as temporary:
        folder = Path(temporary)
        settings = dry_settings(folder) if is_dry else gpu_settings(folder)
        sections = []
        for section in SECTIONS:
            left_s = MOST_S - (time.perf_counter() - started)
            limit_s = DRY_FACTOR * section.limit_s if is_dry else min(section.limit_s, left_s)
            sections.append(run_section(section, settings, limit_s=limit_s))
    found = {section.name: section.rows for section in sections}
    report = Report(
        card=place.card,
        day=datetime.now(UTC).date().isoformat(),
        is_dry=is_dry,
        because=place.because,
        seconds=time.perf_counter() - started,
        goals=find_goals(found, is_dry=is_dry),
        sections=sections,
    )
    for goal in report.goals:
        _say(f"{goal.outcome}: {goal.what}")
    _say(f"report: {report.save(results)}")
    return report


def run_section(section: Section, settings: Settings, *, limit_s: float) -> SectionReport:
    """One section; what it found before it failed or ran out of time is kept."""
    _say(f"{section.title} …")
    started = time.perf_counter()
    state, reason = _in_a_process(section, settings, limit_s)
    seconds = time.perf_counter() - started
    _say(f"  {state}, {seconds:.0f} s {reason}".rstrip())
    return SectionReport(
        name=section.name,
        title=section.title,
        state=state,
        reason=reason,
        seconds=seconds,
        rows=read_rows(settings, section.name),
    )


def _in_a_process(section: Section, settings: Settings, limit_s: float) -> tuple[State, str]:
    if limit_s <= 0:
        return "not run", f"the sections before took the {MOST_S:g} s that there are"
    command = [sys.executable, "-W", "ignore", "-m", f"{HERE}.run_section"]
    log = settings.folder / f"{section.name}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, section.name, settings.to_json()],
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return "out of time", f"ended after {limit_s:g} s"
        finally:
            _end(process)
    if code == 0:
        return "done", ""
    last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
    return "failed", f"code {code}: {last[:500]}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a section with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def find_place(*, dry_run: bool) -> Place:
    """The GPU that is measured, or why the run is a dry one."""
    device = this_device()
    if dry_run:
        return Place("", "asked for")
    if device is None:
        return Place("", "no GPU that CUDA finds (see `nvidia-smi`)")
    try:
        import torch
    except ImportError:
        return Place("", "torch is missing")
    if not torch.cuda.is_available():
        return Place("", f"torch {torch.__version__} is not built for CUDA, or finds no GPU")
    return Place(device.name, "")


def _say_what_is_missing() -> None:
    needed, useful = missing_packages()
    if needed:
        names = ", ".join(package.name for package in needed)
        _say(f"missing Python packages, without which sections fail: {names}")
        _say(how_to_bring(needed))
    for package in useful:
        _say(f"{package.name} is not installed: what it would say is left out")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
