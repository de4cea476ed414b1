"""What a contract refuses, how it travels, and the text of a CSV's categories."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.clients.contract import Contract, MultiValued, canonical_text, csv_text

CONTRACT = Contract(
    model="shop_1",
    goals=("purchase", "leave"),
    numeric=("age",),
    categorical=("city",),
    multi_valued=(MultiValued(name="tags", max_values=3, separator=";"),),
)


def _changed(**changes: Any) -> str:
    return json.dumps(json.loads(CONTRACT.to_json()) | changes)


def test_json_gives_the_contract_back() -> None:
    assert Contract.from_json(CONTRACT.to_json()) == CONTRACT
    assert Contract.from_json(_changed(of_a_later_version=[1])) == CONTRACT


def test_a_contract_from_before_separators_has_the_usual_one() -> None:
    old = _changed(multi_valued=[{"name": "tags", "max_values": 3}])
    assert Contract.from_json(old).multi_valued == (MultiValued(name="tags", max_values=3),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "sh op"}, r"contract\.model: .*got 'sh op'"),
        ({"model": "shop\n"}, r"contract\.model: "),
        ({"model": "x" * 65}, r"contract\.model: "),
        ({"model": None}, r"contract\.model: "),
        ({"goals": "purchase"}, "goals: expected a list, got 'purchase'"),
        ({"goals": []}, r"contract\.goals: .*got \(\)"),
        ({"goals": ["a", "a"]}, r"contract\.goals: "),
        ({"goals": ["a", ""]}, r"contract\.goals: "),
        ({"goals": ["a", 5]}, r"contract\.goals: "),
        ({"numeric": "age"}, "numeric: expected a list"),
        ({"numeric": ["city"]}, r"contract\.features: .*one group"),
        ({"numeric": [], "categorical": [], "multi_valued": []}, r"contract\.features: "),
        ({"max_batch_size": 0}, r"contract\.max_batch_size: .*got 0"),
        ({"max_batch_size": "8"}, "publish the model again"),
        ({"latency_budget_ms": float("nan")}, r"contract\.latency_budget_ms: .*got nan"),
        ({"multi_valued": [{"name": "a/b", "max_values": 1}]}, "got 'a/b'"),
        ({"multi_valued": [{"name": "..", "max_values": 1}]}, r"got '\.\.'"),
        ({"multi_valued": [{"name": "a\n", "max_values": 1}]}, "control characters"),
        ({"multi_valued": [{"name": "a", "max_values": 0}]}, "max_values of 'a', got 0"),
        ({"multi_valued": [{"name": "a", "max_values": 1, "separator": ""}]}, "separator of 'a'"),
        ({"multi_valued": [{"name": "a"}]}, "publish the model again"),
    ],
)
def test_what_no_model_can_have_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Contract.from_json(_changed(**changes))


def test_a_text_is_no_tuple_of_columns() -> None:
    with pytest.raises(ValueError, match=r"contract\.categorical: expected a tuple"):
        Contract(model="m", goals=("g",), categorical="abc")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        *((None, ""), ("", ""), ("TRUE", "true"), ("False", "false"), ("1", "1")),
        *(
            ("1.0", "1"),
            ("-3.00", "-3"),
            ("-0.0", "0"),
            ("0.0", "0"),
            ("9" * 5000 + ".0", "9" * 5000),
        ),
        *(
            (text, text)
            for text in ("007", "007.0", "10:00", "1e3", "1.50", ".0", "2024-05-01 10:00")
        ),
        *((text, text) for text in (" 1.0", "yes", "NA", "null", "nan", "1.", "+1.0", "\u0661.0")),
    ],
)
def test_text_of_a_cell(cell: str | None, text: str) -> None:
    assert csv_text(cell) == text


@given(st.booleans() | st.integers() | st.integers(-(2**53), 2**53).map(float) | st.none())
def test_a_cell_gets_the_text_of_the_value_that_was_written(value: Any) -> None:
    written = "" if value is None else str(value)
    if "e" not in written or isinstance(value, bool):
        assert csv_text(written) == canonical_text(value)
