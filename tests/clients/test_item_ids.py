"""Item ids of a caller: as they are in the data, or refused with their place."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journey_packages import NUMBERS, TEXT, TinyJourney

from penchant.clients import Histories, History, InvalidRows
from penchant.clients.gather import gather
from penchant.clients.item_ids import item_ids, read_ids
from penchant.clients.journey_tensors import Wish, to_tensors
from penchant.clients.values import objects
from penchant.training.journeys.catalogue import Catalogue


def tensors(tiny: TinyJourney, histories: Any, **wish: Any) -> dict[str, Any]:
    return to_tensors(gather(histories), tiny.contract, Wish(now=1.7e9, **wish))


def item_of(tiny: TinyJourney, item: Any) -> Any:
    return tensors(tiny, [[{"item": item, "action": "view"}]])["item"][0, -1]


@pytest.mark.parametrize("item", ["7", "007", " 7 ", "حذاء-2", np.str_("a")])
def test_text_goes_as_it_stands(item: str) -> None:
    assert item_of(TEXT, item) == str(item)
    assert tensors(TEXT, [[]], exclude=[item])["exclude"][0, 0] == str(item)


def test_a_uuid_is_its_text_as_in_training() -> None:
    assert item_of(TEXT, UUID(int=5)) == "00000000-0000-0000-0000-000000000005"


@pytest.mark.parametrize("item", [7, np.int8(7), np.uint64(7), 7.0, np.float32(7), Decimal("7.0")])
def test_whole_numbers_are_integers(item: Any) -> None:
    assert item_of(NUMBERS, item) == 7
    assert tensors(NUMBERS, [[]], exclude=[item])["exclude"][0, 0] == 7


@pytest.mark.parametrize("item", [None, float("nan"), "", pd.NA, pd.NaT, np.float32("nan")])
@pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])
def test_what_is_missing_is_no_item(tiny: TinyJourney, item: Any) -> None:
    assert item_of(tiny, item) == tiny.nothing


ODD = [
    *(["a"], ("a",), {"id": "a"}, {"a"}, np.array(["a"]), True, np.True_, 7.5, b"a"),
    *(1j, object, np.datetime64("2024"), Decimal("7.5"), float("inf"), Decimal("inf")),
]
OF_THE_OTHER_KIND = [(TEXT, each) for each in (*ODD, 7, 7.0, np.int64(7), Decimal(7))]
OF_THE_OTHER_KIND += [(NUMBERS, each) for each in (*ODD, "7", "85123A", 2**63, Decimal("1e400"))]


@pytest.mark.parametrize(("tiny", "item"), OF_THE_OTHER_KIND, ids=repr)
def test_ids_of_another_kind_are_refused_where_they_stand(tiny: TinyJourney, item: Any) -> None:
    kind = "text" if tiny is TEXT else "integers"
    expected = (
        rf"history 1, event 0, item: the model's items are {kind}, got .* \(.*\); give ids as"
    )
    with pytest.raises(InvalidRows, match=expected):
        tensors(tiny, [[], [{"item": item, "action": "view"}]])
    good = tiny.item_id.tolist()[1]
    with pytest.raises(InvalidRows, match=r"history 1, exclude(\[1\]: the model's|: expected ids)"):
        tensors(tiny, [[], History([], exclude=[good, item])])
    with pytest.raises(InvalidRows, match=r"^exclude(\[1\]: the model's|: expected ids)"):
        tensors(tiny, [[]], exclude=[good, item])


@pytest.mark.parametrize(
    ("tiny", "nothing"),
    [(TEXT, None), (TEXT, ""), (NUMBERS, None), (NUMBERS, np.nan), (NUMBERS, -1)],
)
def test_nothing_cannot_be_left_out(tiny: TinyJourney, nothing: Any) -> None:
    good = tiny.item_id.tolist()[1]
    with pytest.raises(InvalidRows, match=r"history 0, exclude\[1\]: expected one of the items"):
        tensors(tiny, [History([], exclude=[good, nothing])])
    with pytest.raises(InvalidRows, match=r"exclude\[0\]: expected one of the items, got .* none;"):
        tensors(tiny, [[]], exclude=[nothing])


@pytest.mark.parametrize("name", [None, "", {"a": 1}, True, b"boots", np.nan])
def test_nothing_cannot_be_kept_to(name: Any) -> None:
    with pytest.raises(InvalidRows, match=r"allow\[1\]: expected"):
        tensors(TEXT, [[]], allow=["boots", name])


@pytest.mark.parametrize(
    "column",
    [
        np.array(["a", "b"]),
        pd.Series(["a", "b"], dtype="string"),
        pd.Series(["a", "b"], dtype="category"),
        pa.array(["a", "b"], pa.string_view()),
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.chunked_array([["a"], ["b"]]),
    ],
    ids=lambda column: str(getattr(column, "type", None) or column.dtype),
)
def test_columns_of_text(column: Any) -> None:
    histories = Histories(offsets=[0, 2], item=column, action=["view"] * 2)
    assert tensors(TEXT, histories, exclude=column)["item"][0, -2:].tolist() == ["a", "b"]
    assert tensors(TEXT, histories, exclude=column)["exclude"][0, :2].tolist() == ["a", "b"]
    with pytest.raises(
        InvalidRows, match="history 0, event 0, item: the model's items are integers"
    ):
        tensors(NUMBERS, histories)


@pytest.mark.parametrize(
    "column",
    [
        np.array([7, 8]),
        np.array([7, 8], np.uint8),
        pd.Series([7, 8], dtype="Int64"),
        pa.array([7, 8]),
    ],
    ids=lambda column: type(column).__name__,
)
def test_columns_of_integers(column: Any) -> None:
    histories = Histories(offsets=[0, 2], item=column, action=["view"] * 2)
    assert tensors(NUMBERS, histories, exclude=column)["item"][0, -2:].tolist() == [7, 8]
    with pytest.raises(InvalidRows, match="history 0, event 0, item: the model's items are text"):
        tensors(TEXT, histories)


IDS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(), st.none())


@pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])
@given(items=st.lists(IDS, min_size=1, max_size=3))
def test_training_and_clients_take_and_refuse_the_same(tiny: TinyJourney, items: list[Any]) -> None:
    """A column that training's catalogue encodes is one that a client sends, as the same items."""
    catalogue = Catalogue(item_id=tiny.item_id, category=np.zeros(len(tiny.item_id), np.int32))
    try:
        codes = catalogue.encode_arrow(pa.array(items))
    except (ValueError, TypeError, pa.ArrowInvalid):  # of the other kind, or of both kinds
        is_other = str if tiny is NUMBERS else int
        wrong = [item for item in items if isinstance(item, is_other) and item != ""]
        if wrong:
            with pytest.raises(InvalidRows):
                item_ids(objects(items), tiny.contract, "{}".format)
        return
    sent = item_ids(objects(items), tiny.contract, "{}".format)
    assert catalogue.encode(sent).tolist() == codes.tolist()


def test_what_is_written_in_a_file_of_text() -> None:
    cells = ["7", None, "7.0", "-3", "0"]
    assert read_ids(cells, TEXT.contract, "{}".format) == cells
    assert read_ids(cells, NUMBERS.contract, "{}".format) == [7, None, 7, -3, 0]
    for cell in ("007", "7.5", "seven", "1e3", str(2**63), "\u0667"):
        with pytest.raises(InvalidRows, match="cell 1: the model's items are integers, got"):
            read_ids(["7", cell], NUMBERS.contract, "cell {}".format)
