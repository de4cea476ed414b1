"""The ceiling: the published graph, in a process of its own."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from tests.perf.conftest import PrivateServer

from penchant.clients.contract import SCORE_OUTPUTS
from penchant.perf.ceiling import measure_ceiling


def test_larger_batches_bring_more_rows(private_server: PrivateServer) -> None:
    folder = private_server.served.folder

    looks = [
        measure_ceiling(
            folder / "model.onnx",
            folder / "golden.npz",
            outputs=SCORE_OUTPUTS,
            batch_sizes=[1, 64],
            threads=1,
            duration_s=0.2,
        )
        for _ in range(3)
    ]

    for one, many in looks:
        assert (one.batch_size, many.batch_size) == (1, 64)
        assert 0 < one.p50_us <= one.p99_us
        assert 0 < many.p50_us <= many.p99_us
    # One caller alone cannot be faster than the better of the two ways to use the cores; what a
    # busy machine does to one short look, it does not do to the median of three.
    for index in (0, 1):
        shares = [
            look[index].rows_per_s * look[index].p99_us / look[index].batch_size for look in looks
        ]
        assert statistics.median(shares) > 0.5e6
    # A batch of 64 costs less than 64 batches of one.
    assert statistics.median(many.rows_per_s / one.rows_per_s for one, many in looks) > 2


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
