"""The table that ``penchant recommend`` writes, when the model changes during the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.journey_packages import TEXT

from penchant.clients.clock import hour_name
from penchant.clients.recommendations import Recommendations
from penchant.clients.recommended_table import RecommendedTable

TABLE = RecommendedTable(contract=TEXT.contract, visitor="visitor_id", is_flat=False)
ANSWER = Recommendations(
    model="tiny_journey",
    channels=TEXT.contract.channels,
    unknown=np.zeros(2, np.int32),
    version=np.array([1, 2]),
    item=np.array([["a", "b"], ["c", ""]], object),
    score=np.array([[0.6, 0.4], [1, 0]], np.float32),
    count=np.array([2, 1], np.int32),
    intent=np.array([["boots", "coats"]] * 2, object),
    intent_score=np.array([[0.7, 0.3]] * 2, np.float32),
    channel_score=np.array([[0.2, 0.8], [0.9, 0.1]], np.float32),
    hour_score=np.tile(np.arange(168, dtype=np.float32) % 7, (2, 1)),
    purchase=np.array([0.1, 0.2], np.float32),
)


def test_an_answer_is_a_row_a_visitor() -> None:
    table = TABLE.table(pa.array([7, 8]), ANSWER)
    assert table["items"].to_pylist() == [["a", "b"], ["c"]]
    assert table["channel"].to_pylist() == ["متجر", "web"]
    assert table["version"].to_pylist() == [1, 2]


def test_what_the_model_does_not_answer_has_no_column() -> None:
    contract = replace(TEXT.contract, has_hours=False, has_purchase=False)
    table = replace(TABLE, contract=contract).table(
        pa.array([7, 8]), replace(ANSWER, hour_score=None, purchase=None)
    )
    assert not {"hour", "hour_score", "purchase"} & set(table.column_names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": ("web",)}, r"channels: .* has \('web',\), expected \('web', 'متجر'\)"),
        ({"item": np.array([[1, 2], [3, -1]])}, "item_dtype: .* has 'INT64', expected 'BYTES'"),
        ({"intent": None, "intent_score": None}, "num_intents: .* has 0, expected 2"),
        ({"intent": np.array([["boots"]] * 2, object)}, "num_intents: .* has 1, expected 2"),
        ({"hour_score": None}, "has_hours: .* has False, expected True"),
        ({"purchase": None}, "has_purchase: .* has False, expected True"),
    ],
)
def test_a_version_with_other_columns_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TABLE.table(pa.array([7, 8]), replace(ANSWER, **change))


def test_the_best_hours_of_one_are_those_of_all() -> None:
    best = [[hour_name(at) for at in row] for row in ANSWER.best_hours().tolist()]
    assert best == [[name for name, _ in one.hours] for one in ANSWER]
    assert best[0] == [hour_name(6), hour_name(13), hour_name(20)]
