"""A measurement is stated as distances from floor and ceiling."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tests.perf.test_perf_analyzer import LOAD

from penchant.perf.ceiling import InProcess
from penchant.perf.machine import Machine, this_machine
from penchant.perf.report import Comparison, PerfReport

COMPARISON = Comparison(
    name="1 caller, 1 row",
    floor=replace(LOAD, p50_us=500.0, rows_per_s=2000.0),
    model=replace(LOAD, p50_us=1500.0, rows_per_s=600.0),
    ceiling=InProcess(batch_size=1, p50_us=400.0, p99_us=450.0, rows_per_s=2400.0),
)
MACHINE = Machine(
    cpu="Some CPU",
    cores=2,
    load_average=0.1,
    system="Linux",
    python="3.11",
    penchant="0.1.0",
    onnxruntime="1.30",
)
REPORT = PerfReport(
    model="propensity",
    package_version=4,
    outputs=("propensity",),
    quick=False,
    measured_at="2026-01-01T00:00:00+00:00",
    triton="2.51.0",
    perf_analyzer="2.51.0",
    machine=MACHINE,
    protocol="closed loop",
    comparisons=(COMPARISON,),
)


def test_distances() -> None:
    assert COMPARISON.over_floor == pytest.approx(3.0)
    assert COMPARISON.overhead_ms == pytest.approx(0.6)
    assert COMPARISON.share_of_ceiling == pytest.approx(0.25)


def test_saved_report_holds_numbers_ratios_and_place(tmp_path: Path) -> None:
    page = REPORT.save(tmp_path / "reports")

    saved = json.loads(page.with_suffix(".json").read_text())
    assert saved["comparisons"][0]["overhead_ms"] == pytest.approx(0.6)
    assert saved["comparisons"][0]["model"]["p50_us"] == 1500.0
    assert saved["machine"]["cpu"] == "Some CPU"
    text = page.read_text()
    for part in ("propensity version 4", "3.0 x floor", "+0.60 ms", "25% of ceiling", "Some CPU"):
        assert part in text
    assert "quick" not in text
    assert "busy" not in text


@pytest.mark.parametrize(
    ("report", "mark"),
    [
        (replace(REPORT, quick=True), "not to be quoted"),
        (replace(REPORT, machine=replace(MACHINE, load_average=1.9)), "the machine was busy"),
    ],
)
def test_numbers_that_need_care_are_marked(report: PerfReport, mark: str) -> None:
    assert mark not in REPORT.to_markdown()
    assert mark in report.to_markdown()


def test_terminal_tables_fit_eighty_columns() -> None:
    console = Console(file=io.StringIO(), width=80)
    for table in REPORT.tables():
        console.print(table)

    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "…" not in text
    assert "1,500" not in text
    assert "1.50" in text


def test_this_machine_is_described() -> None:
    machine = this_machine()

    assert machine.cores >= 1
    assert machine.cpu
    assert "Linux" in machine.system
