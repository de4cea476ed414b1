"""The check as a whole: a dry run finds something in every section and writes both reports."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from penchant.perf.gpu_check import check
from penchant.perf.gpu_check.check import run_section
from penchant.perf.gpu_check.sections import SECTIONS, Section
from penchant.perf.gpu_check.settings import dry_settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script leaves after a dry run."""
    folder = tmp_path_factory.mktemp("results")
    command = [str(ROOT / "perf" / "gpu_check.sh"), "--dry-run", "--results", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dry run on the CPU" in done.stdout
    return folder


@pytest.fixture(scope="module")
def report(results: Path) -> dict[str, Any]:
    (path,) = results.glob("dry-run-*.json")
    body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return body


@pytest.mark.timeout(900)
def test_every_section_of_a_dry_run_comes_to_its_end(report: dict[str, Any]) -> None:
    states = {
        section["name"]: (section["state"], section["reason"]) for section in report["sections"]
    }
    assert list(states) == [section.name for section in SECTIONS]
    assert set(states.values()) == {("done", "")}
    assert all(section["rows"] for section in report["sections"])


@pytest.mark.timeout(900)
def test_what_only_a_gpu_says_is_not_run(report: dict[str, Any]) -> None:
    assert report["is_dry"]
    assert report["because"] == "asked for"
    assert len(report["goals"]) == 8
    assert {goal["outcome"] for goal in report["goals"]} == {"not run"}


@pytest.mark.timeout(900)
def test_all_runtimes_agree_on_golden_and_odd_rows(report: dict[str, Any]) -> None:
    (parity,) = (each for each in report["sections"] if each["name"] == "parity")
    compared = [row for row in parity["rows"] if "agrees" in row]
    assert {row["model"] for row in compared} == {"propensity", "journey"}
    assert all(row["agrees"] for row in compared)
    (speed,) = (each for each in report["sections"] if each["name"] == "speed")
    timed = {(row["net"], row["batch"]) for row in speed["rows"] if "p50_us" in row}
    assert timed == {(net, size) for net in ("propensity", "journey, 500 items") for size in (1, 8)}


@pytest.mark.timeout(900)
def test_the_page_shows_goals_and_a_table_a_section(results: Path, report: dict[str, Any]) -> None:
    (path,) = results.glob("dry-run-*.md")
    page = path.read_text(encoding="utf-8")
    assert page.startswith("# Dry run on the CPU, ")
    for goal in report["goals"]:
        assert goal["what"] in page
    for section in SECTIONS:
        assert f"## {section.title}\n" in page
    assert "| net | by | precision | batch |" in page


def test_a_section_that_fails_or_hangs_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dry_settings(tmp_path)
    nothing_written = Section(name="runtimes", title="", limit_s=60)
    failed = run_section(nothing_written, settings, limit_s=60)
    assert failed.state == "failed"
    assert "propensity" in failed.reason, "the last line of what it said"
    hanging = run_section(nothing_written, settings, limit_s=0.01)
    assert (hanging.state, hanging.rows) == ("out of time", [])
    late = run_section(nothing_written, settings, limit_s=-1)
    assert late.state == "not run"


def test_without_a_gpu_it_is_a_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "this_device", lambda: None)
    assert check.find_place(dry_run=False).because.startswith("no GPU that CUDA finds")
