"""encode.onnx of a journey model: every right type and shape is answered, and answered right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant.clients.journey_contract import JourneyContract
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.journey_encoder import MOST_AGE_S, compile_journey_encoder

CONTRACT = JourneyContract(
    model="journey",
    actions=("view", "purchase"),
    channels=("web", "e-mail", "متجر"),
    default_action="purchase",
    length=4,
    max_exclude=2,
    max_allow=2,
)
TITLES = ("boty", "معطف", "کفش", "płaszcz 🧥", "coat")
CATALOGUE = Catalogue(
    item_id=np.array(TITLES, object),
    category=np.array([2, 3, 2, 3, 0], np.int32),
    categories=("shoes", "płaszcze"),
)

Session: TypeAlias = onnxruntime.InferenceSession
Tensors = dict[str, npt.NDArray[Any]]


def compiled(
    folder: Path, catalogue: Catalogue = CATALOGUE, contract: JourneyContract = CONTRACT
) -> Session:
    path = folder / "encode.onnx"
    compile_journey_encoder(catalogue, contract, path)
    return Session(path, providers=["CPUExecutionProvider"])


def raw(num_rows: int = 1, **given: Any) -> Tensors:
    """Rows of padding, but for what is given for all of them."""
    values: dict[str, Any] = {
        "item": ["", "", "", ""],
        "action": [0, 0, 0, 0],
        "channel": [0, 0, 0, 0],
        "age_s": [0, 0, 0, 0],
        "hour": [-1],
        "target_action": [0],
        "exclude": ["", ""],
        "allow": ["", ""],
    } | given
    types = {"item": object, "exclude": object, "allow": object, "age_s": np.float32}
    types |= {"hour": np.float32}
    return {
        name: np.tile(np.array(value, types.get(name, np.int32)), (num_rows, 1))
        for name, value in values.items()
    }


def encode(session: Session, inputs: Tensors) -> Tensors:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The encoder of all tests that need no other."""
    return compiled(tmp_path_factory.mktemp("encoder"))


def test_a_journey_becomes_codes(session: Session) -> None:
    found = encode(
        session,
        raw(
            num_rows=3,
            item=["", "کفش", "płaszcz 🧥", "coat"],
            action=[0, 1, 2, 1],
            channel=[0, 1, 3, 0],
            age_s=[0, 86_400, 60.5, 1],
            hour=[167.5],
            target_action=[1],
            exclude=["معطف", ""],
            allow=["płaszcze", "no such"],
        ),
    )
    expected = {
        "item_code": [0, 4, 5, 6],
        "action_code": [0, 1, 2, 1],
        "channel_code": [0, 1, 3, 0],
        "age": [0, 86_400, 60.5, 1],
        "now_hour": [167.5],
        "target_code": [1],
        "exclude_code": [3, 0],
        "allow_code": [3, 1],
        "unknown": [0],
    }
    assert {name: value.tolist() for name, value in found.items()} == {
        name: [value] * 3 for name, value in expected.items()
    }
    assert {name for name, value in found.items() if value.dtype == np.float32} == {
        "age",
        "now_hour",
    }


def test_an_empty_journey_is_padding(session: Session) -> None:
    found = encode(session, raw())
    assert found["target_code"].tolist() == [[2]], "the default action"
    assert found["now_hour"].tolist() == [[-1]]
    for name in ("item_code", "action_code", "channel_code", "age", "exclude_code", "allow_code"):
        assert not found[name].any(), name


@pytest.mark.parametrize("action", [0, -1, 3, 2**31 - 1, -(2**31)])
def test_an_event_without_an_action_is_padding_wherever_it_lies(
    session: Session, action: int
) -> None:
    found = encode(
        session,
        raw(item=["coat", "coat", "?", "coat"], action=[1, action, action, 2], age_s=[9, 9, 9, 9])
        | {"channel": np.ones((1, 4), np.int32)},
    )
    for name, value in {"item_code": 6, "channel_code": 1, "age": 9}.items():
        assert found[name].tolist() == [[value, 0, 0, value]]
    assert found["action_code"].tolist() == [[1, 0, 0, 2]]
    assert found["unknown"].tolist() == [[0]], "an item of no event is not unknown"


def test_unknown_items_are_counted_and_events_without_item_are_not(session: Session) -> None:
    found = encode(session, raw(item=["Coat", "", "coat ", "coat"], action=[1, 1, 1, 1]))
    assert found["item_code"].tolist() == [[1, 0, 1, 6]]
    assert found["unknown"].tolist() == [[2]]


@pytest.mark.parametrize(
    ("age", "expected"),
    [(np.nan, 0), (-5, 0), (np.inf, 0), (-np.inf, 0), (3e38, MOST_AGE_S), (1e-40, 1e-40)],
)
def test_ages_are_numbers(session: Session, age: float, expected: float) -> None:
    found = encode(session, raw(action=[1, 1, 1, 1], age_s=[age, 1, 2, 3]))
    np.testing.assert_allclose(found["age"][0], [expected, 1, 2, 3], rtol=1e-4)


@pytest.mark.parametrize("hour", [np.nan, -0.5, 168, np.inf, -np.inf])
def test_an_hour_that_no_week_has_is_unknown(session: Session, hour: float) -> None:
    assert encode(session, raw(hour=[hour]))["now_hour"].tolist() == [[-1]]


@pytest.mark.parametrize("code", [-1, 3, 4, 2**31 - 1, -(2**31)])
def test_codes_that_no_list_has_are_none(session: Session, code: int) -> None:
    found = encode(session, raw(target_action=[code], action=[1] * 4, channel=[code, 1, 2, 3]))
    assert found["target_code"].tolist() == [[2]]
    assert found["channel_code"].tolist() == [[3 if code == 3 else 0, 1, 2, 3]]


def test_integer_ids_are_looked_up_as_integers(tmp_path: Path) -> None:
    catalogue = Catalogue(
        item_id=np.array([0, 7, 2**62, -9], np.int64), category=np.zeros(4, np.int32)
    )
    contract = replace(CONTRACT, item_dtype="INT64", num_intents=0, channels=())
    session = compiled(tmp_path, catalogue, contract)
    inputs = raw(action=[1, 1, 1, 1])
    inputs["item"] = np.array([[0, 2**62, -1, 5]], np.int64)
    inputs["exclude"] = np.array([[-9, -1]], np.int64)
    del inputs["allow"], inputs["channel"]
    found = encode(session, inputs)
    assert found["item_code"].tolist() == [[2, 4, 0, 1]]
    assert found["exclude_code"].tolist() == [[5, 0]]
    assert not {"allow_code", "channel_code"} & set(found)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nothing_of_the_right_type_fails_or_leaves_the_range(session: Session, data: Any) -> None:
    rows = data.draw(st.integers(1, 3))
    code = st.integers(-(2**31), 2**31 - 1)
    word = st.one_of(st.sampled_from(TITLES), st.text(max_size=8))
    number = st.floats(width=32)

    def draw(values: Any, width: int, kind: Any) -> npt.NDArray[Any]:
        lists = st.lists(values, min_size=width, max_size=width)
        return np.array([data.draw(lists) for _ in range(rows)], kind).reshape(rows, width)

    inputs = {
        "item": draw(word, 4, object),
        "action": draw(code, 4, np.int32),
        "channel": draw(code, 4, np.int32),
        "age_s": draw(number, 4, np.float32),
        "hour": draw(number, 1, np.float32),
        "target_action": draw(code, 1, np.int32),
        "exclude": draw(word, 2, object),
        "allow": draw(word, 2, object),
    }
    found = encode(session, inputs)
    ends = {
        "item_code": (0, 6),
        "action_code": (0, 2),
        "channel_code": (0, 3),
        "age": (0, MOST_AGE_S),
        "now_hour": (-1, 168),
        "target_code": (1, 2),
        "exclude_code": (0, 6),
        "allow_code": (0, 3),
        "unknown": (0, 4),
    }
    assert set(found) == set(ends)
    for name, (low, high) in ends.items():
        assert len(found[name]) == rows
        assert ((low <= found[name]) & (found[name] <= high)).all(), name
    alone = encode(session, {name: value[:1] for name, value in inputs.items()})
    for name, value in alone.items():
        np.testing.assert_array_equal(value, found[name][:1], err_msg=name)


def test_a_large_catalogue_is_looked_up_to_its_last_item(tmp_path: Path) -> None:
    many = 60_000
    catalogue = Catalogue(
        item_id=np.array([f"i{i}" for i in range(many)], object), category=np.zeros(many, np.int32)
    )
    session = compiled(tmp_path, catalogue, replace(CONTRACT, num_intents=0))
    inputs = raw(item=["i0", "i59999", "i60000", "i31"], action=[1] * 4)
    del inputs["allow"]
    assert encode(session, inputs)["item_code"].tolist() == [[2, 60_001, 1, 33]]
