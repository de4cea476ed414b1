"""Golden rows for perf_analyzer keep every value as it is on the wire."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from tests.journey_packages import NUMBERS, TEXT, TinyJourney, raw_visitors
from tritonclient.utils import deserialize_bytes_tensor

from penchant.clients.contract import Contract, MultiValued
from penchant.perf.input_data import write_input_data

CONTRACT = Contract(
    model="tiny",
    goals=("purchase",),
    numeric=("age", "basket"),
    categorical=("channel",),
    multi_valued=(MultiValued(name="interests", max_values=2),),
)
INPUTS = {
    "numeric": np.array([[1.5, np.nan], [np.inf, -0.0], [1e-40, 3.0]], np.float32),
    "categorical": np.array([["متجر"], [""], ["kočka 🇨🇿"]]),
    "multi_interests": np.array([["a", ""], ["", ""], ["x" * 300, "ب"]], dtype=object),
}


def test_every_row_is_a_step_with_its_bytes_on_the_wire(tmp_path: Path) -> None:
    write_input_data(tmp_path / "rows.json", CONTRACT, INPUTS)

    steps = json.loads((tmp_path / "rows.json").read_text())["data"]
    assert len(steps) == 3
    for row, step in enumerate(steps):
        raw = {name: base64.b64decode(entry["content"]["b64"]) for name, entry in step.items()}
        np.testing.assert_array_equal(
            np.frombuffer(raw["numeric"], "<f4").view(np.int32),
            INPUTS["numeric"][row].view(np.int32),
        )
        for name in ("categorical", "multi_interests"):
            texts = [text.decode() for text in deserialize_bytes_tensor(raw[name])]
            assert texts == INPUTS[name][row].tolist()


@pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])
def test_integers_keep_their_width(tmp_path: Path, tiny: TinyJourney) -> None:
    inputs = raw_visitors(tiny, 4)

    write_input_data(tmp_path / "rows.json", tiny.contract, inputs)

    steps = json.loads((tmp_path / "rows.json").read_text())["data"]
    for row, step in enumerate(steps):
        raw = {name: base64.b64decode(entry["content"]["b64"]) for name, entry in step.items()}
        assert list(raw) == [spec.name for spec in tiny.contract.inputs]
        for name, dtype in (("action", "<i4"), ("target_action", "<i4"), ("age_s", "<f4")):
            np.testing.assert_array_equal(np.frombuffer(raw[name], dtype), inputs[name][row])
        items = inputs["item"][row].tolist()
        if tiny.contract.item_dtype == "INT64":
            assert np.frombuffer(raw["item"], "<i8").tolist() == items
        else:
            assert [text.decode() for text in deserialize_bytes_tensor(raw["item"])] == items
