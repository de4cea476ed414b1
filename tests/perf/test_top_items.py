"""The three ways to choose the best of a catalogue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from penchant.clients.command import main
from penchant.perf.top_items import FUSED, NUMPY, SORTED, Choice, ways_to_choose

CHOICE = Choice(way=FUSED, batch_size=1, p50_us=10.0, p99_us=20.0, rows_per_s=100.0)


def test_all_ways_choose_the_same_items() -> None:
    ways = ways_to_choose(num_items=3000, size=16, k=40)
    visitor = np.random.default_rng(3).normal(0, 1, (5, 16)).astype(np.float32)

    chosen = {name: choose(visitor) for name, choose in ways.items()}

    assert chosen[FUSED].shape == (5, 40)
    np.testing.assert_array_equal(chosen[FUSED], chosen[SORTED])
    np.testing.assert_array_equal(chosen[FUSED], chosen[NUMPY])


@pytest.mark.parametrize(
    "faster",
    [
        replace(CHOICE, p50_us=9.0),
        replace(CHOICE, p99_us=19.0),
        replace(CHOICE, rows_per_s=101.0),
    ],
)
def test_one_measure_is_enough_to_be_slower(faster: Choice) -> None:
    assert CHOICE.is_slower_than(faster)
    assert not CHOICE.is_slower_than(CHOICE)


def test_the_command_says_what_it_measured(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["perf", "top-items", "--num_items", "3000", "--k", "10", "--duration_s", "0.02"]

    code = main(argv)

    out = capsys.readouterr().out
    assert out.count("top-k in the graph") == 3
    assert "3,000 items of 64 numbers, the best 10" in out
    assert (code == 0) == ("by every measure" in out)


def test_an_answer_larger_than_the_catalogue_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["perf", "top-items", "--num_items", "5", "--k", "6"]) == 2

    assert "k: expected from 1" in capsys.readouterr().err
