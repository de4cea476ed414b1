"""perf_analyzer: found, explained when missing, run against a real Triton."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.perf.conftest import PrivateServer

from penchant.perf.perf_analyzer import (
    Load,
    PerfAnalyzer,
    find_perf_analyzer,
    install_perf_analyzer,
    median_load,
)

LOAD = Load(
    callers=1,
    batch_size=1,
    rows_per_s=1000.0,
    p50_us=900.0,
    p99_us=1500.0,
    client_us=10.0,
    network_us=300.0,
    queue_us=20.0,
    input_us=20.0,
    infer_us=400.0,
    output_us=100.0,
)


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_missing_program_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ValueError, match="penchant install perf-analyzer"):
        find_perf_analyzer(tmp_path / "nowhere")


def test_program_that_does_not_start_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _script(tmp_path / "perf_analyzer", "echo \"version 'GLIBC_2.38' not found\" >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ValueError, match=r"GLIBC_2\.38"):
        find_perf_analyzer(tmp_path / "nowhere")


def test_installed_program_stands_in_for_a_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _script(tmp_path / "bin" / "perf_analyzer", "exit 1")
    _script(tmp_path / "installed" / "perf_analyzer", "echo Perf Analyzer Version 9.9.9")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    found = find_perf_analyzer(tmp_path / "installed")

    assert found.program == tmp_path / "installed" / "perf_analyzer"
    assert found.version == "9.9.9"


def test_installing_again_keeps_what_is_there(
    perf_analyzer: PerfAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    assert perf_analyzer.version in install_perf_analyzer()


def test_installing_without_triton_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENCHANT_TRITONSERVER_FOLDER", str(tmp_path / "triton"))

    with pytest.raises(ValueError, match="penchant install tritonserver"):
        install_perf_analyzer(folder=tmp_path / "perf_analyzer")

    assert not (tmp_path / "perf_analyzer").exists()


@pytest.mark.parametrize(("callers", "batch_size"), [(1, 1), (4, 64)])
def test_load_adds_up(
    perf_analyzer: PerfAnalyzer, private_server: PrivateServer, callers: int, batch_size: int
) -> None:
    load = perf_analyzer.run(
        "tiny",
        address=private_server.supervisor.address,
        input_data=private_server.input_data,
        callers=callers,
        batch_size=batch_size,
        window_ms=300,
    )

    assert (load.callers, load.batch_size) == (callers, batch_size)
    assert 0 < load.p50_us <= load.p99_us
    assert load.infer_us > 0
    # Little's law: callers = requests a second x time of a request, within what windows cut off.
    parts_us = (
        load.client_us
        + load.network_us
        + load.queue_us
        + load.input_us
        + load.infer_us
        + load.output_us
    )
    in_flight = load.rows_per_s / batch_size * parts_us / 1e6
    assert in_flight == pytest.approx(callers, rel=0.35)


def test_failure_repeats_what_perf_analyzer_said(
    perf_analyzer: PerfAnalyzer, private_server: PrivateServer
) -> None:
    with pytest.raises(ValueError, match="no_such_model"):
        perf_analyzer.run(
            "no_such_model",
            address=private_server.supervisor.address,
            input_data=private_server.input_data,
            callers=1,
            window_ms=100,
        )


def test_median_is_taken_field_by_field() -> None:
    loads = [
        LOAD,
        replace(LOAD, p50_us=500.0, rows_per_s=3000.0),
        replace(LOAD, p50_us=700.0, rows_per_s=2000.0),
    ]

    assert median_load(loads) == replace(LOAD, p50_us=700.0, rows_per_s=2000.0)
