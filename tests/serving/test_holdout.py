"""Held-out rows: what a package carries for later versions to be compared on."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.journey_packages import NUMBERS, TEXT, TinyJourney, raw_visitors
from tests.packages import CONTRACT, raw_rows

from penchant.serving.holdout import read_holdout, write_holdout

LABEL = np.array([[0, 1], [1, np.nan], [0, 0]], np.float32)


def test_rows_come_back_with_visitors_numbered_and_no_pickle(tmp_path: Path) -> None:
    path, inputs = tmp_path / "holdout.npz", raw_rows(3)
    write_holdout(path, inputs, LABEL, np.array([90_000, 7, 90_000]))

    rows = read_holdout(path, CONTRACT)

    assert rows is not None
    assert len(rows) == 3
    np.testing.assert_array_equal(rows.label, LABEL)
    assert rows.visitor.tolist() == [1, 0, 1]
    for name, value in inputs.items():
        np.testing.assert_array_equal(rows.inputs[name], value)
    assert rows.take(np.array([2])).visitor.tolist() == [1]
    with zipfile.ZipFile(path) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}


@pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])
def test_of_a_journey_the_label_is_an_item(tiny: TinyJourney, tmp_path: Path) -> None:
    path = tmp_path / "holdout.npz"
    write_holdout(path, raw_visitors(tiny, 3), tiny.item_id[:3])

    rows = read_holdout(path, tiny.contract)

    assert rows is not None
    assert rows.label.tolist() == tiny.item_id[:3].tolist()
    assert rows.visitor.tolist() == [0, 1, 2]


def test_a_package_may_carry_none(tmp_path: Path) -> None:
    assert read_holdout(tmp_path / "holdout.npz", CONTRACT) is None


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (LABEL[:, :1], r"expected 'label' of kind 'f' as \(N, \(2,\)\)"),
        (np.zeros((3, 2), np.int64), r"expected 'label' of kind 'f'"),
        (LABEL[:2], "expected as many rows in every tensor"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    label: npt.NDArray[Any], message: str, tmp_path: Path
) -> None:
    write_holdout(tmp_path / "holdout.npz", raw_rows(3), label)

    with pytest.raises(ValueError, match=message):
        read_holdout(tmp_path / "holdout.npz", CONTRACT)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "holdout.npz"
    write_holdout(path, raw_rows(3), LABEL)
    path.write_bytes(path.read_bytes()[:-30])

    with pytest.raises(ValueError, match="expected held-out rows as plain arrays"):
        read_holdout(path, CONTRACT)
