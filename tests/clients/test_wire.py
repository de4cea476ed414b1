from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.clients.lab import CONTRACT
from tritonclient.utils import serialize_byte_tensor

from penchant.clients.contract import canonical_texts
from penchant.clients.wire import Batches, encode_texts

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
def test_texts_are_encoded_as_tritonclient_does(rows: list[tuple[str, str]]) -> None:
    array = np.array(rows, dtype=np.object_).reshape(len(rows), 2)
    assert b"".join(encode_texts(array)) == serialize_byte_tensor(array).item()


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert encode_texts(np.array(["a\ud800"], dtype=np.object_)) == [b"\x02\x00\x00\x00a?"]


def test_categories_become_one_text_each_whatever_their_type() -> None:
    values = [True, 1, 1.0, 1.5, "1", b"\xc5\x82", None, float("nan"), np.float32(2), np.True_]
    texts = canonical_texts(np.fromiter(values, dtype=np.object_))
    assert texts.tolist() == ["true", "1", "1", "1.5", "1", "ł", "", "", "2", "true"]


def test_requests_split_at_the_most_rows_the_model_takes() -> None:
    tensors = {
        "numeric": np.arange(130 * 4, dtype=np.float32).reshape(130, 4),
        "categorical": np.full((130, 2), "é", dtype=np.object_),
        "multi_tags": np.full((130, 3), "", dtype=np.object_),
    }
    batches = Batches(tensors, CONTRACT, reasons=False)
    requests = [batches.request(at, queue_timeout_us=5) for at in range(len(batches))]
    assert [list(request.inputs[0].shape) for request in requests] == [[64, 4], [64, 4], [2, 4]]
    numeric = b"".join(request.raw_input_contents[0] for request in requests)
    assert numeric == tensors["numeric"].tobytes()
    assert requests[2].raw_input_contents[1] == b"\x02\x00\x00\x00\xc3\xa9" * 4
    assert [output.name for output in requests[0].outputs] == ["propensity", "unknown", "version"]
    assert requests[0].parameters["timeout"].int64_param == 5
