from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.clients import Contract, InvalidRows
from penchant.clients.column_names import nearest
from penchant.clients.contract import MultiValued
from penchant.clients.rows import Rows, to_tensors

CONTRACT = Contract(
    model="p",
    goals=("purchase",),
    numeric=("age", "visits"),
    categorical=("city", "member"),
    multi_valued=(MultiValued(name="tags", max_values=3),),
)
ROWS: list[dict[str, Any]] = [
    {"age": 1.5, "visits": True, "city": "Łódź", "member": True, "tags": ["a", "b"]},
    {"age": None, "visits": Decimal("2.5"), "city": 3.0, "member": None, "tags": None},
]
TABLE = pa.table(
    {
        "age": pa.array([1.5, None]),
        "visits": pa.array([1, 2.5]),
        "city": pa.array(["Łódź", "3"]).dictionary_encode(),
        "member": [True, None],
        "tags": [["a", "b"], None],
        "unrelated": [1, 2],
    }
)


def _columns() -> dict[str, list[Any]]:
    return {name: [row[name] for row in ROWS] for name in ROWS[0]}


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        tuple(ROWS),
        [ROWS[0], {name: value for name, value in ROWS[1].items() if value is not None}],
        _columns(),
        {name: np.array(values, dtype=object) for name, values in _columns().items()},
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS).convert_dtypes(),
        pd.DataFrame(ROWS).astype({"city": "category"}),
        TABLE,
        TABLE.to_batches()[0],
        TABLE.to_pandas(),
        TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_every_kind_of_rows_gives_the_same_tensors(rows: Rows) -> None:
    if isinstance(rows, dict) and isinstance(rows["tags"], np.ndarray):
        rows["tags"] = _columns()["tags"]
    tensors = to_tensors(rows, CONTRACT)
    assert list(tensors) == ["numeric", "categorical", "multi_tags"]
    assert tensors["numeric"].dtype == np.float32
    np.testing.assert_array_equal(tensors["numeric"], [[1.5, 1.0], [np.nan, 2.5]])
    assert tensors["categorical"].tolist() == [["Łódź", "true"], ["3", ""]]
    assert tensors["multi_tags"].tolist() == [["a", "b", ""], ["", "", ""]]


def test_lists_and_texts_are_cut_as_in_training() -> None:
    rows = [{"tags": tags} for tags in ("a | b||c|d", list("abcd"), "", "a,b", ("a", "", "b"))]
    expected = [["a", "b", "c"], ["a", "b", "c"], ["", "", ""], ["a,b", "", ""], ["a", "b", ""]]
    assert to_tensors(rows, CONTRACT)["multi_tags"].tolist() == expected
    columns = {name: [row.get(name) for row in rows] for name in CONTRACT.features}
    assert to_tensors(columns, CONTRACT)["multi_tags"].tolist() == expected
    comma = replace(CONTRACT, multi_valued=(MultiValued(name="tags", max_values=2, separator=","),))
    assert to_tensors([{"tags": "a,b|c"}], comma)["multi_tags"].tolist() == [["a", "b|c"]]


def test_groups_without_columns_have_no_tensor() -> None:
    contract = Contract(model="p", goals=("g",), numeric=("age",))
    assert list(to_tensors([{"age": 1}], contract)) == ["numeric"]


@pytest.mark.parametrize(
    "column",
    [pa.array([2**60 + 1, None]), pd.array([2**60 + 1, None], dtype="Int64"), [2**60 + 1, None]],
    ids=["arrow", "pandas", "list"],
)
def test_large_integers_beside_missing_ones_keep_their_digits(column: Any) -> None:
    contract = Contract(model="p", goals=("g",), categorical=("id",))
    if isinstance(column, pa.Array):
        rows: Any = pa.table({"id": column})
    else:
        rows = pd.DataFrame({"id": column}) if not isinstance(column, list) else {"id": column}
    assert to_tensors(rows, contract)["categorical"].ravel().tolist() == [str(2**60 + 1), ""]


def test_numbers_at_the_edges() -> None:
    values = [float("inf"), -1e300, 10**400, 1e-45, np.float16(0.5), np.int8(-3), np.bool_(True)]
    rows = [{"age": value, "city": "x"} for value in values]
    numeric = to_tensors(rows, CONTRACT)["numeric"][:, 0]
    np.testing.assert_array_equal(
        numeric, np.array([np.inf, -np.inf, np.inf, 1e-45, 0.5, -3, 1], np.float32)
    )


@pytest.mark.parametrize("word", ["nan", "inf", "1_000", "1,000", "0x1f", "٣"])
def test_words_and_other_ways_to_write_numbers_are_no_numbers(word: str) -> None:
    with pytest.raises(InvalidRows, match="'age', row 0: expected a number"):
        to_tensors([{"age": word, "city": "x"}], CONTRACT)


def test_text_that_is_a_number_is_read_as_training_reads_it() -> None:
    rows = [{"age": text, "city": "x"} for text in ("7", " -1.5e2 ", ".5", "")]
    numeric = to_tensors(rows, CONTRACT)["numeric"][:, 0]
    np.testing.assert_array_equal(numeric, np.array([7, -150, 0.5, np.nan], np.float32))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ({name: [] for name in ROWS[0]}, "at least one row"),
        ([{"agee": 1, "city": "x"}], "no column 'agee'.*did you mean 'age'"),
        ([ROWS[0], {"Member": 1, "age": 2}], "row 1: .*did you mean 'member'"),
        ([{"colour": "red"}], "none of the model's columns"),
        ([ROWS[0], 5], "row 1: expected a dict, got int"),
        ({"age": [1]}, r"column 'visits' \(and 3 more"),
        (pd.DataFrame(ROWS).rename(columns={"city": "City"}), "'city'.*did you mean 'City'"),
        ({**_columns(), "visits": [1]}, "'visits': has 1 values, but column 'age' has 2"),
        ([ROWS[0], {**ROWS[0], "age": "7,5"}], "column 'age', row 1: expected a number, got '7,5'"),
        (pd.DataFrame(ROWS).assign(visits=["1", "x"]), "'visits', row 1: expected a number"),
        (pd.DataFrame(ROWS).assign(age=pd.Timestamp(0)), "'age', row 0: expected a number"),
        ([{**ROWS[0], "tags": 5}], "'tags', row 0: expected a list of values, or a text with '|'"),
        ({"age": 1, "visits": 2, "city": "a", "member": 1, "tags": []}, r"pass one row as \[row\]"),
        (pd.concat([pd.DataFrame(ROWS)] * 2, axis=1), "'age': is in the data frame more than once"),
        ({**_columns(), "age": np.zeros((2, 2))}, r"'age': expected one value a row.*\(2, 2\)"),
        (5, "got int"),
        ("text", "got str"),
    ],
)
def test_bad_rows_are_refused_by_name(rows: Any, message: str) -> None:
    with pytest.raises(InvalidRows, match=message):
        to_tensors(rows, CONTRACT)


def test_extra_keys_pass_unless_they_look_like_a_lacking_column() -> None:
    to_tensors([{**ROWS[0], "visitor_id": 7, "agee": 2}], CONTRACT)
    assert nearest("page_values", ["PageValues", "PageViews"]) == "PageValues"
    assert nearest("feature_12", ["feature_1"]) is None
    assert nearest("Region", ["Month"]) is None


@given(st.lists(st.none() | st.floats(width=32) | st.integers() | st.booleans(), min_size=1))
def test_dicts_and_columns_agree(values: list[Any]) -> None:
    contract = replace(CONTRACT, numeric=("age",), categorical=("city",), multi_valued=())
    from_dicts = to_tensors([{"age": value, "city": value} for value in values], contract)
    from_columns = to_tensors({"age": values, "city": values}, contract)
    np.testing.assert_array_equal(from_dicts["numeric"], from_columns["numeric"])
    assert from_dicts["categorical"].tolist() == from_columns["categorical"].tolist()
