"""Reading tables: what arrives as arrays, and which words a bad table gets."""

from __future__ import annotations

import datetime
import gzip
import re
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from tests.tables import shop_recipe, shop_rows

from penchant.clients.contract import canonical_texts
from penchant.training.recipe import (
    Columns,
    Goal,
    MultiValuedColumn,
    Recipe,
    Split,
    TableSource,
    read_recipe,
    shipped_recipe,
)
from penchant.training.source import open_source
from penchant.training.table import read_table

GOALS = (Goal(name="purchase", column="bought"),)


NUMERIC = Columns(numeric=("x",))
CATEGORICAL = Columns(categorical=("x",))


def one_column(folder: Path, values: Any, columns: Columns = NUMERIC) -> Recipe:
    """A recipe with a single feature column `x`."""
    rows = {"x": values, "bought": [i % 2 for i in range(len(values))]}
    return shop_recipe(folder, rows, columns=columns, goals=GOALS)


def test_online_shoppers_arrives_whole() -> None:
    table = read_table(read_recipe(shipped_recipe("online_shoppers")))
    assert table.num_rows == 12_330
    assert table.label.sum() == 1_908
    raw = table.raw_inputs(np.array([0, 12_329]))
    assert raw["numeric"].dtype == np.float32
    np.testing.assert_allclose(raw["numeric"][0], [0, 0, 0, 0, 1, 0, 0.2, 0.2, 0, 0])
    first = ["Feb", "1", "1", "1", "1", "Returning_Visitor", "false"]
    assert raw["categorical"][0].tolist() == first


def test_telco_reads_blank_charges_as_missing_and_yes_as_churn() -> None:
    table = read_table(read_recipe(shipped_recipe("telco_churn")))
    assert table.num_rows == 7_043
    assert table.label.sum() == 1_869
    charges = table.recipe.columns.numeric.index("TotalCharges")
    assert np.isnan(table.numeric[:, charges]).sum() == 11


def test_categories_become_text_as_in_the_clients(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "truth": [True, False, None, True],
        "whole": [1, 2, None, 1],
        "float": [1.0, 2.5, None, float("nan")],
        "text": ["ł", "", None, " "],
        "date": [datetime.date(2026, 1, 31), None, datetime.date(2026, 1, 31), None],
        "exact": [Decimal("1.50"), None, Decimal("2.00"), None],
    }
    rows = columns | {"bought": [0, 1, 0, 1]}
    recipe = shop_recipe(tmp_path, rows, columns=Columns(categorical=tuple(columns)), goals=GOALS)
    raw = read_table(recipe).raw_inputs(np.arange(4))["categorical"]
    for place, values in enumerate(columns.values()):
        expected = canonical_texts(np.array([*values, None], dtype=np.object_))[:-1]
        assert raw[:, place].tolist() == expected.tolist()


def test_groups_without_columns_have_no_tensor(tmp_path: Path) -> None:
    table = read_table(one_column(tmp_path, [1.0, 2.0, 3.0, 4.0]))
    assert set(table.raw_inputs(np.arange(2))) == {"numeric"}
    table = read_table(one_column(tmp_path, ["a", "b", "a", "b"], CATEGORICAL))
    assert set(table.raw_inputs(np.arange(2))) == {"categorical"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([" 1 ", "", None, "-2.5e3"], [1, np.nan, np.nan, -2500]),
        ([True, False, None, True], [1, 0, np.nan, 1]),
        ([Decimal("1.5"), None, Decimal("2"), Decimal("0")], [1.5, np.nan, 2, 0]),
        ([2**62, 1, None, 0], [2.0**62, 1, np.nan, 0]),
        ([1e300, -1e300, float("nan"), 1e-45], [np.inf, -np.inf, np.nan, np.float32(1e-45)]),
    ],
)
def test_numbers_come_from_any_type_that_holds_them(
    tmp_path: Path, values: list[Any], expected: list[float]
) -> None:
    table = read_table(one_column(tmp_path, values))
    np.testing.assert_array_equal(table.numeric[:, 0], np.array(expected, dtype=np.float32))


def test_spaces_in_lists_are_kept_as_callers_send_them(tmp_path: Path) -> None:
    rows = {"x": [[" a"], ["a "]], "bought": [0, 1]}
    columns = Columns(multi_valued=(MultiValuedColumn(name="x", max_values=1),))
    table = read_table(shop_recipe(tmp_path, rows, columns=columns, goals=GOALS))
    assert table.raw_inputs(np.arange(2))["multi_x"].tolist() == [[" a"], ["a "]]


@pytest.mark.parametrize("as_lists", [True, False])
def test_multi_valued_columns_are_padded_and_cut(tmp_path: Path, as_lists: bool) -> None:
    values = [["a", "b"], [], None, ["c", "", "a", "b", "d"]]
    column = values if as_lists else ["a | b", "", None, "c||a|b|d"]
    rows = {"x": column, "bought": [0, 1, 0, 1]}
    columns = Columns(multi_valued=(MultiValuedColumn(name="x", max_values=3),))
    raw = read_table(shop_recipe(tmp_path, rows, columns=columns, goals=GOALS))
    assert raw.raw_inputs(np.arange(4))["multi_x"].tolist() == [
        ["a", "b", ""],
        ["", "", ""],
        ["", "", ""],
        ["c", "a", "b"],
    ]


def test_labels_missing_for_a_goal_stay_missing(tmp_path: Path) -> None:
    rows = {"x": [1.0, 2.0, 3.0], "a": [True, None, False], "b": ["yes", "no", None]}
    goals = (Goal(name="a", column="a"), Goal(name="b", column="b", positive="yes"))
    recipe = shop_recipe(tmp_path, rows, columns=Columns(numeric=("x",)), goals=goals)
    np.testing.assert_array_equal(read_table(recipe).label, [[1, 1], [np.nan, 0], [0, np.nan]])


@pytest.mark.parametrize("suffix", ["csv", "parquet", "duckdb", "sqlite"])
def test_every_kind_of_source_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    rows = pa.table(shop_rows(200))
    recipe = shop_recipe(tmp_path, shop_rows(200))
    expected = read_table(recipe)
    path = tmp_path / f"shop.{suffix}"
    source = TableSource(path=str(path))
    if suffix == "csv":
        pyarrow.csv.write_csv(rows, path)
    elif suffix == "duckdb":
        with duckdb.connect(path) as connection:
            connection.register("rows", rows)
            connection.execute("CREATE TABLE visits AS SELECT * FROM rows")
        source = TableSource(url=f"duckdb://{path}", name="visits")
    elif suffix == "sqlite":
        _write_sqlite(path, rows)
        source = TableSource(url=f"sqlite://{path}", name="visits")
    table = read_table(shop_recipe(tmp_path, shop_rows(200), table=source))
    every = np.arange(table.num_rows)
    for name, values in expected.raw_inputs(every).items():
        np.testing.assert_array_equal(table.raw_inputs(every)[name], values)
    np.testing.assert_array_equal(table.label, expected.label)


def _write_sqlite(path: Path, rows: pa.Table) -> None:
    kinds = {"bool": "BOOLEAN", "int64": "INTEGER", "double": "REAL"}
    columns = ", ".join(f'"{f.name}" {kinds.get(str(f.type), "TEXT")}' for f in rows.schema)
    marks = ", ".join("?" * rows.num_columns)
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE visits ({columns})")
        values = zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True)
        connection.executemany(f"INSERT INTO visits VALUES ({marks})", values)
    connection.close()


def test_yes_and_no_of_a_csv_stay_text_and_true_and_false_do_not(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("a,b,c,bought\nYes,TRUE,2026-01-31,1\nNo,FALSE,2026-02-01,0\n")
    recipe = shop_recipe(
        tmp_path,
        table=TableSource(path=str(path)),
        columns=Columns(categorical=("a", "b", "c")),
        goals=GOALS,
    )
    raw = read_table(recipe).raw_inputs(np.arange(2))["categorical"]
    assert raw.tolist() == [["Yes", "true", "2026-01-31"], ["No", "false", "2026-02-01"]]


@pytest.mark.parametrize(
    ("name", "delimiter"), [("shop.csv", ";"), ("shop.tsv", "\t"), ("shop.csv.gz", ",")]
)
def test_the_header_tells_the_delimiter_whatever_the_cells_hold(
    tmp_path: Path, name: str, delimiter: str
) -> None:
    lines = [["code", "day", "bought"], ["007|8", "20", "1"], ["#1|2|3", "9", "0"]]
    content = "".join(delimiter.join(line) + "\n" for line in lines).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    recipe = shop_recipe(
        tmp_path,
        table=TableSource(path=str(path)),
        columns=Columns(categorical=("code", "day")),
        goals=GOALS,
        split=Split(by="time", column="day"),
    )
    table = read_table(recipe)
    raw = table.raw_inputs(np.arange(2))["categorical"]
    assert raw.tolist() == [["007|8", "20"], ["#1|2|3", "9"]]
    assert table.key is not None
    assert table.key.tolist() == [1, 0], "numbers, though the column is also a category"


def test_the_fingerprint_follows_what_is_read(tmp_path: Path) -> None:
    rows = shop_rows(100)
    first = read_table(shop_recipe(tmp_path, rows)).fingerprint
    assert read_table(shop_recipe(tmp_path, rows)).fingerprint == first
    assert read_table(shop_recipe(tmp_path, rows | {"note": ["y"] * 100})).fingerprint == first
    changed = rows | {"pages": rows["pages"] + (np.arange(100) == 99)}
    assert read_table(shop_recipe(tmp_path, changed)).fingerprint != first
    renamed = [("no" if text == "yes" else "yes") for text in rows["left"]]
    assert read_table(shop_recipe(tmp_path, rows | {"left": renamed})).fingerprint != first


def test_a_column_that_no_one_names_is_not_read(tmp_path: Path) -> None:
    table = read_table(shop_recipe(tmp_path))
    assert "note" not in table.arrow.column_names
    assert "note" in table.source.columns


def _change(**changes: Any) -> Callable[[Path], Recipe]:
    return lambda folder: shop_recipe(folder, **changes)


def _with_rows(**columns: Any) -> Callable[[Path], Recipe]:
    return lambda folder: shop_recipe(folder, shop_rows(60) | columns)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            _change(columns=Columns(numeric=("second", "Pages", "zzz"))),
            "columns.numeric: no column 'second'; did you mean seconds?\ncolumns.numeric: no "
            "column 'Pages'; did you mean pages?\ncolumns.numeric: no column 'zzz'\nthe columns of",
        ),
        (_change(goals=(Goal(name="a", column="bougth"),)), "goals: no column 'bougth'; did you"),
        (_change(split=Split(by="time", column="dya")), "split.column: no column 'dya'; did you"),
        (
            _change(columns=Columns(numeric=("pages", "device"))),
            "columns.numeric: 'device' is text, and '",
        ),
        (
            _with_rows(pages=["7"] * 41 + ["seven"] + ["8"] * 18),
            "'pages' is text, and 'seven' in row 42 is not a number",
        ),
        (
            _with_rows(pages=[datetime.date(2026, 1, 1)] * 60),
            "columns.numeric: 'pages' has the type date32[day], expected numbers",
        ),
        (_with_rows(device=[["a"]] * 60), "columns.categorical: 'device' has the type list<"),
        (_with_rows(interests=[1.5] * 60), "columns.multi_valued: 'interests' has the type double"),
        (
            _with_rows(bought=[True] * 60),
            "column 'bought' of goal 'purchase' is constant: it holds",
        ),
        (_with_rows(bought=[None] * 60), "is constant: it holds nothing but no value"),
        (_with_rows(bought=[0, 1, 2] * 20), "holds '0', '1', '2', expected 0 and 1 or true and"),
        (_with_rows(bought=["Y", "N"] * 30), "holds 'Y', 'N', expected 0 and 1"),
        (
            _with_rows(left=["Yes", "No"] * 30),
            "never holds the positive value 'yes'; did you mean Yes?; it holds 'Yes', 'No'",
        ),
    ],
)
def test_a_table_that_does_not_fit_the_recipe_is_explained(
    tmp_path: Path, make: Callable[[Path], Recipe], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_table(make(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", None, "table.path: no file"),
        ("rows.xlsx", b"x", "expected a file that ends in .parquet"),
        ("broken.parquet", b"PAR1 but not really PAR1", "table.path: cannot read"),
        ("header.csv", b"seconds,bought\n", "expected rows in"),
        ("empty.csv", b"", "got an empty file; export it again"),
    ],
)
def test_a_file_that_holds_no_table_is_explained(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    recipe = shop_recipe(
        tmp_path,
        table=TableSource(path=str(path)),
        columns=Columns(numeric=("seconds",)),
        goals=GOALS,
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        read_table(recipe)


def test_a_database_that_does_not_exist_is_not_created(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    source = TableSource(url=f"duckdb://{path}", name="visits")
    with pytest.raises(ValueError, match="no database file"):
        open_source(source)
    assert not path.exists()


def test_a_table_that_the_database_lacks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    duckdb.connect(path).close()
    with pytest.raises(ValueError, match=r"cannot read visits in duckdb://"):
        open_source(TableSource(url=f"duckdb://{path}", name="visits"))
