"""The ceiling: the published graph, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.perf.conftest import PrivateServer

from penchant.clients.contract import SCORE_OUTPUTS
from penchant.perf.ceiling import measure_ceiling


def test_larger_batches_bring_more_rows(private_server: PrivateServer) -> None:
    folder = private_server.served.folder

    one, many = measure_ceiling(
        folder / "model.onnx",
        folder / "golden.npz",
        outputs=SCORE_OUTPUTS,
        batch_sizes=[1, 64],
        threads=1,
        duration_s=0.2,
    )

    assert (one.batch_size, many.batch_size) == (1, 64)
    for measured in (one, many):
        assert 0 < measured.p50_us <= measured.p99_us
        # One caller alone cannot be faster than the better of the two ways to use the cores.
        assert measured.rows_per_s > 0.5 * measured.batch_size * 1e6 / measured.p99_us
    # A batch of 64 costs less than 64 batches of one.
    assert many.rows_per_s > 2 * one.rows_per_s


def test_graph_that_cannot_run_is_named(tmp_path: Path, private_server: PrivateServer) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"no graph")

    with pytest.raises(ValueError, match=r"model\.onnx: could not be run in process"):
        measure_ceiling(
            broken,
            private_server.served.folder / "golden.npz",
            outputs=SCORE_OUTPUTS,
            batch_sizes=[1],
            threads=1,
            duration_s=0.1,
        )
