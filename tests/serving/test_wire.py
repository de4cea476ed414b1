"""The wire contract, driven against the real server with whatever callers may send.

Requests are built as messages, so that they can be wrong in ways that a client library prevents.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from tests.conftest import TINY_VERSION, RunningTriton
from tests.packages import CONTRACT, raw_rows, score
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor

from penchant.clients.contract import Contract

ALL_OUTPUTS = tuple(spec.name for spec in CONTRACT.outputs)
DTYPES = {"FP32": "<f4", "INT32": "<i4", "INT64": "<i8"}
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}
TIMEOUT_S = 30.0

Tensors = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def stub(triton: RunningTriton) -> Iterator[Any]:
    with grpc.insecure_channel(triton.address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def to_request(
    tensors: Tensors, outputs: tuple[str, ...] = ALL_OUTPUTS, *, model: str = "tiny"
) -> Any:
    """The message for raw rows; text may be ``str`` or bytes."""
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, value in tensors.items():
        if value.dtype.kind in "US" or value.dtype == object:
            datatype, raw = "BYTES", b"".join(_element(item) for item in value.ravel().tolist())
        else:
            datatype = DATATYPES[value.dtype.str]
            raw = value.tobytes()
        request.inputs.add(name=name, datatype=datatype, shape=value.shape)
        request.raw_input_contents.append(raw)
    for name in outputs:
        request.outputs.add(name=name)
    return request


def answers(response: Any) -> Tensors:
    """Outputs by name; text as ``str``."""
    return {
        output.name: _array(output.datatype, raw).reshape(output.shape)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def _array(datatype: str, raw: bytes) -> npt.NDArray[Any]:
    if datatype == "BYTES":
        return np.array([item.decode() for item in deserialize_bytes_tensor(raw)])
    return np.frombuffer(raw, DTYPES[datatype])


def raw_answers(response: Any) -> dict[str, bytes]:
    """Outputs by name, bit by bit."""
    names = [output.name for output in response.outputs]
    return dict(zip(names, response.raw_output_contents, strict=True))


def _element(item: str | bytes) -> bytes:
    content = item.encode() if isinstance(item, str) else item
    return struct.pack("<I", len(content)) + content


def _as_texts(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    texts = np.empty(value.shape, object)
    texts.ravel()[:] = [item.decode("utf-8", "replace") for item in value.ravel().tolist()]
    return texts


def _objects(items: list[bytes], width: int) -> npt.NDArray[Any]:
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(-1, width)


@st.composite
def raw_requests(draw: st.DrawFn) -> Tensors:
    num_rows = draw(st.integers(1, 5))
    words = [w.encode() for w in ("", "email", "متجر", "pl", "ایران", "🇨🇿", "boty", "أحذية")]
    text = st.one_of(
        st.sampled_from(words),
        st.text(max_size=12).map(lambda t: t.encode()),
        st.binary(max_size=12),
    )
    floats = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)
    return {
        "numeric": draw(npst.arrays(np.float32, (num_rows, 2), elements=floats)),
        "categorical": _objects(
            draw(st.lists(text, min_size=2 * num_rows, max_size=2 * num_rows)), 2
        ),
        "multi_interests": _objects(
            draw(st.lists(text, min_size=3 * num_rows, max_size=3 * num_rows)), 3
        ),
    }


LONG_TEXTS: Tensors = {
    "numeric": np.array([[np.finfo(np.float32).max, -np.inf]], np.float32),
    "categorical": _objects(["ж".encode() * 5_000, b"\0" * 10_000], 2),
    "multi_interests": _objects([b"pl\0", b"\xed\xa0\x80", b"boty"], 3),
}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tensors=raw_requests())
@example(tensors=LONG_TEXTS)
def test_any_numbers_and_any_bytes_get_an_answer(stub: Any, tensors: Tensors) -> None:
    got = answers(stub.ModelInfer(to_request(tensors), timeout=TIMEOUT_S))

    texts = {name: _as_texts(tensors[name]) for name in ("categorical", "multi_interests")}
    expected = score({"numeric": tensors["numeric"], **texts})
    np.testing.assert_array_equal(got["unknown"], expected["unknown"])
    np.testing.assert_allclose(got["propensity"], expected["propensity"], atol=1e-5)
    np.testing.assert_allclose(got["reason"], expected["reason"], atol=1e-4)
    assert set(got["version"].ravel().tolist()) == {TINY_VERSION}


def _without(name: str) -> Callable[[Any], None]:
    def change(request: Any) -> None:
        at = [tensor.name for tensor in request.inputs].index(name)
        del request.inputs[at]
        del request.raw_input_contents[at]

    return change


def _extra(request: Any) -> None:
    request.inputs.add(name="unheard", datatype="FP32", shape=[1, 1])
    request.raw_input_contents.append(b"\0\0\0\0")


def _twice(request: Any) -> None:
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def _renamed(request: Any) -> None:
    request.inputs[0].name = "Numeric"


def _retyped(request: Any) -> None:
    request.inputs[0].datatype = "INT32"


def _reshaped(*shape: int) -> Callable[[Any], None]:
    def change(request: Any) -> None:
        request.inputs[0].shape[:] = shape

    return change


def _cut(request: Any) -> None:
    request.raw_input_contents[0] = request.raw_input_contents[0][:-1]


def _lengthened(request: Any) -> None:
    request.raw_input_contents[0] += b"\0\0\0\0"


def _lying_text(request: Any) -> None:
    request.raw_input_contents[1] = struct.pack("<I", 1_000_000) + b"pl"


def _unknown_output(request: Any) -> None:
    request.outputs.add(name="unheard")


def _rows(num_rows: int) -> Callable[[Any], None]:
    def change(request: Any) -> None:
        request.CopyFrom(to_request(raw_rows(num_rows)))

    return change


BAD_REQUESTS: dict[str, Callable[[Any], None]] = {
    "no numeric": _without("numeric"),
    "no text": _without("categorical"),
    "extra input": _extra,
    "input twice": _twice,
    "wrong name": _renamed,
    "wrong type": _retyped,
    "too few columns": _reshaped(2, 1),
    "too many axes": _reshaped(1, 1, 2),
    "no batch axis": _reshaped(2),
    "negative axis": _reshaped(-1, 2),
    "huge axis": _reshaped(2**40, 2**40),
    "rows that disagree": _reshaped(2, 2),
    "bytes missing": _cut,
    "bytes left over": _lengthened,
    "text with a wrong length": _lying_text,
    "output that is none": _unknown_output,
    "no rows": _rows(0),
    "too many rows": _rows(CONTRACT.max_batch_size + 1),
}


def assert_refused_alone(stub: Any, name: str) -> None:
    """A bad request is refused, and good ones beside it are answered as if it were not there."""
    good = to_request(raw_rows(3, seed=2))
    alone = raw_answers(stub.ModelInfer(good, timeout=TIMEOUT_S))
    bad = to_request(raw_rows(1))
    BAD_REQUESTS[name](bad)

    calls = [stub.ModelInfer.future(r, timeout=TIMEOUT_S) for r in (good, bad, good, bad, good)]

    for call in (calls[1], calls[3]):
        assert call.code() == grpc.StatusCode.INVALID_ARGUMENT, call.details()
    for call in (calls[0], calls[2], calls[4]):
        assert raw_answers(call.result()) == alone


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_refused_and_its_neighbours_are_not_touched(stub: Any, name: str) -> None:
    assert_refused_alone(stub, name)


@settings(max_examples=60, deadline=None)
@given(
    num_rows=st.lists(st.integers(1, CONTRACT.max_batch_size), min_size=2, max_size=6),
    outputs=st.lists(
        st.lists(st.sampled_from(ALL_OUTPUTS), min_size=1, unique=True).map(tuple),
        min_size=6,
        max_size=6,
    ),
    bad=st.lists(st.sampled_from(sorted(BAD_REQUESTS)), max_size=3),
)
def test_concurrent_callers_get_their_own_rows_and_outputs(
    stub: Any, num_rows: list[int], outputs: list[tuple[str, ...]], bad: list[str]
) -> None:
    rows = [raw_rows(number, seed=at) for at, number in enumerate(num_rows)]
    calls = []
    for at, tensors in enumerate(rows):
        calls.append(stub.ModelInfer.future(to_request(tensors, outputs[at]), timeout=TIMEOUT_S))
        if at < len(bad):
            request = to_request(raw_rows(1))
            BAD_REQUESTS[bad[at]](request)
            stub.ModelInfer.future(request, timeout=TIMEOUT_S)

    for tensors, wanted, call in zip(rows, outputs, calls, strict=False):
        got = answers(call.result())
        assert set(got) == set(wanted)
        for name, expected in score(tensors).items():
            if name in wanted:
                np.testing.assert_allclose(got[name], expected, atol=1e-5)
        if "version" in wanted:
            assert got["version"].shape == (len(tensors["numeric"]), 1)


def test_the_contract_can_be_read_from_the_server(stub: Any) -> None:
    config = stub.ModelConfig(service_pb2.ModelConfigRequest(name="tiny")).config

    assert Contract.from_json(config.parameters["contract"].string_value) == CONTRACT


def _register_shared_memory(stub: Any, metadata: tuple[tuple[str, str], ...]) -> Any:
    request = service_pb2.SystemSharedMemoryRegisterRequest(name="x", key="/x", byte_size=1)
    return stub.SystemSharedMemoryRegister(request, metadata=metadata)


CONTROL_CALLS: dict[str, Callable[[Any, tuple[tuple[str, str], ...]], Any]] = {
    "load": lambda stub, metadata: stub.RepositoryModelLoad(
        service_pb2.RepositoryModelLoadRequest(model_name="absent"), metadata=metadata
    ),
    "unload": lambda stub, metadata: stub.RepositoryModelUnload(
        service_pb2.RepositoryModelUnloadRequest(model_name="absent"), metadata=metadata
    ),
    "shared memory": _register_shared_memory,
    "trace": lambda stub, metadata: stub.TraceSetting(
        service_pb2.TraceSettingRequest(), metadata=metadata
    ),
    "logging": lambda stub, metadata: stub.LogSettings(
        service_pb2.LogSettingsRequest(), metadata=metadata
    ),
    "statistics": lambda stub, metadata: stub.ModelStatistics(
        service_pb2.ModelStatisticsRequest(), metadata=metadata
    ),
}


@pytest.mark.parametrize("name", CONTROL_CALLS)
@pytest.mark.parametrize("secret", [None, "guess"])
def test_control_needs_the_secret(
    stub: Any, triton: RunningTriton, name: str, secret: str | None
) -> None:
    (header,) = triton.server.headers
    metadata = ((header, secret),) if secret else ()

    with pytest.raises(grpc.RpcError) as caught:
        CONTROL_CALLS[name](stub, metadata)

    assert "This protocol is restricted" in str(caught.value)
