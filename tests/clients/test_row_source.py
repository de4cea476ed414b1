"""One CSV read for training and for scoring: the same tensors, whatever its cells say."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant.clients.contract import Contract, MultiValued
from penchant.clients.errors import InvalidRows
from penchant.clients.row_source import RowSource
from penchant.clients.rows import to_tensors
from penchant.training.recipe import Columns, Goal, MultiValuedColumn, Recipe, TableSource
from penchant.training.table import read_table

CONTRACT = Contract(
    model="shop",
    goals=("purchase",),
    numeric=("age",),
    categorical=("code", "member"),
    multi_valued=(MultiValued(name="tags", max_values=2, separator="|"),),
)
RECIPE_COLUMNS = Columns(
    numeric=("age",),
    categorical=("code", "member"),
    multi_valued=(MultiValuedColumn(name="tags", max_values=2),),
)
HEADER = ["id", "age", "code", "member", "tags", "bought"]


def _write(path: Path, rows: list[list[str]], *, delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL).writerows([HEADER, *rows])


def _trained(path: Path) -> dict[str, Any]:
    goals = (Goal(name="purchase", column="bought"),)
    table = TableSource(path=str(path))
    read = read_table(Recipe(name="shop", table=table, columns=RECIPE_COLUMNS, goals=goals))
    return read.raw_inputs(np.arange(read.num_rows))


def _scored(path: Path, *, num_rows: int = 1_000_000) -> dict[str, Any]:
    source = RowSource.open(path)
    pieces = source.pieces(CONTRACT, keep=("id",), num_rows=num_rows, skip_rows=0)
    tensors = [to_tensors(source.rows(piece, CONTRACT), CONTRACT) for piece in pieces]
    return {name: np.concatenate([each[name] for each in tensors]) for name in tensors[0]}


def _check_alike(path: Path) -> None:
    trained, scored = _trained(path), _scored(path, num_rows=3)
    assert trained.keys() == scored.keys()
    for name, expected in trained.items():
        np.testing.assert_array_equal(scored[name], expected, err_msg=name)


def _rows(cells: list[str]) -> list[list[str]]:
    return [
        [str(at), str(at / 4), cell, "TRUE" if at % 2 else "False", cell, str(at % 2)]
        for at, cell in enumerate([*cells, "x"])
    ]


TEXTS = st.one_of(
    st.sampled_from(["", " ", "NA", "null", "nan", "TRUE", "yes", "007", "10:00", "1e3", "2|2.0"]),
    st.sampled_from(["2024-05-01 10:00", "2024-05-01", "#x", '"', "a,b", "a;b|c", "x\ny", "\\N"]),
    st.integers().map(str),
    st.floats(allow_nan=False).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8), st.sampled_from([",", ";", "\t"]))
def test_training_and_scoring_read_the_same_tensors(cells: list[str], delimiter: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        _write(path, _rows(cells), delimiter=delimiter)
        _check_alike(path)


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        (["10:00", "9:30"], ["10:00", "9:30"]),
        (["007", "8"], ["007", "8"]),
        (["2024-05-01 10:00", ""], ["2024-05-01 10:00", ""]),
        (["1", "2.0", "A12"], ["1", "2", "A12"]),
        (["true", "FALSE", "maybe"], ["true", "false", "maybe"]),
    ],
)
def test_codes_stay_as_they_are_written(tmp_path: Path, cells: list[str], texts: list[str]) -> None:
    path = tmp_path / "rows.csv"
    _write(path, _rows(cells))
    assert _scored(path)["categorical"][: len(cells), 0].tolist() == texts
    assert _scored(path)["categorical"][:2, 1].tolist() == ["false", "true"]
    _check_alike(path)


def test_a_code_far_down_is_no_surprise(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    _write(path, _rows(["7"] * 300_000 + ["A12"]))
    assert path.stat().st_size > 1 << 22, "as large as a block"
    categorical = _scored(path)["categorical"]
    assert categorical[[0, 299_999, 300_000], 0].tolist() == ["7", "7", "A12"]


def test_numbers_truth_values_and_blanks_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    for ages in (["1", "", "2.5e-3", "-0"], ["TRUE", "False", "", "true"], ["", "", "", ""]):
        _write(path, [[str(n), a, "x", "y", "", str(n % 2)] for n, a in enumerate(ages)])
        _check_alike(path)


def test_what_is_no_number_is_named_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    _write(path, [["0", "1", "x", "y", "", "0"], ["1", "Old", "x", "y", "", "1"]])
    with pytest.raises(InvalidRows, match="'age', row 1: expected a number, got 'Old'"):
        _scored(path)
    with pytest.raises(ValueError, match="'Old' in row 2 is not a number"):
        _trained(path)
