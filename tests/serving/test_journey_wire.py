"""Journey models behind the real server, asked whatever callers may send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tests.journey_packages import (
    CATEGORIES,
    NUM_ITEMS,
    NUMBERS,
    TEXT,
    TinyJourney,
    raw_visitors,
    recommend,
    write_tiny_journey,
)
from tests.serving.test_wire import Tensors, answers, raw_answers, to_request
from tritonclient.grpc import service_pb2_grpc

from penchant.serving.canary import Canary
from penchant.serving.fuse import fuse
from penchant.serving.golden import GoldenRows
from penchant.serving.package import ModelPackage
from penchant.serving.parity import check_answers
from penchant.serving.repository import Repository
from penchant.serving.session import GraphSession
from penchant.serving.supervisor import Supervisor, running_server

VERSION = 9
TIMEOUT_S = 30.0
BOTH = pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelPackage]:
    folder = tmp_path_factory.mktemp("journeys")
    return {
        tiny.contract.model: write_tiny_journey(folder / tiny.contract.model, tiny)
        for tiny in (TEXT, NUMBERS)
    }


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, packages: dict[str, ModelPackage]
) -> Iterator[Supervisor]:
    home = tmp_path_factory.mktemp("served")
    repository = Repository(home / "model_repository")
    for package in packages.values():
        repository.publish(package, version=VERSION)
    with running_server(repository.folder, home=home) as server:
        yield server


@pytest.fixture(scope="module")
def stub(server: Supervisor) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def _request(tiny: TinyJourney, tensors: Tensors, outputs: tuple[str, ...] | None = None) -> Any:
    names = tuple(spec.name for spec in tiny.contract.outputs)
    return to_request(tensors, outputs or names, model=tiny.contract.model)


def _check(tiny: TinyJourney, tensors: Tensors, got: Tensors) -> None:
    check_answers(GoldenRows(tensors, recommend(tiny, tensors)), got)
    assert set(got["version"].ravel().tolist()) == {VERSION}


@BOTH
def test_callers_with_few_and_many_visitors_get_their_own_answers(
    stub: Any, tiny: TinyJourney
) -> None:
    visitors = [raw_visitors(tiny, size, seed=size) for size in (1, 7, 64, 1, 7, 64)]

    calls = [stub.ModelInfer.future(_request(tiny, rows), timeout=TIMEOUT_S) for rows in visitors]

    for rows, call in zip(visitors, calls, strict=True):
        _check(tiny, rows, answers(call.result()))


@BOTH
def test_the_server_says_what_the_graph_says_in_process(
    stub: Any, packages: dict[str, ModelPackage], tiny: TinyJourney
) -> None:
    rows = raw_visitors(tiny, 20, seed=5)

    served = answers(stub.ModelInfer(_request(tiny, rows), timeout=TIMEOUT_S))

    graph = GraphSession(fuse(packages[tiny.contract.model], version=VERSION))
    for name, value in graph.run(rows).items():
        if value.dtype == object:
            assert served[name].tolist() == value.tolist()
        else:
            np.testing.assert_allclose(served[name], value, rtol=1e-6, atol=1e-7)


@BOTH
def test_only_outputs_that_are_asked_for_travel(stub: Any, tiny: TinyJourney) -> None:
    rows = raw_visitors(tiny, 3)

    got = answers(stub.ModelInfer(_request(tiny, rows, ("next_item", "version")), timeout=30))

    assert set(got) == {"next_item", "version"}
    assert got["next_item"].tolist() == recommend(tiny, rows)["next_item"].tolist()


def _set(name: str, value: object) -> Callable[[TinyJourney, Tensors], None]:
    def change(tiny: TinyJourney, rows: Tensors) -> None:
        if name in rows:
            rows[name] = np.full(rows[name].shape, value, rows[name].dtype)

    return change


def _empty_history(tiny: TinyJourney, rows: Tensors) -> None:
    rows["item"] = np.full(rows["item"].shape, tiny.nothing, rows["item"].dtype)
    rows["action"][:] = 0


def _unknown_items(tiny: TinyJourney, rows: Tensors) -> None:
    unheard = "unheard of" if tiny.nothing == "" else 2**62
    rows["item"] = np.full(rows["item"].shape, unheard)
    rows["action"][:] = 1


def _everything_excluded(tiny: TinyJourney, rows: Tensors) -> None:
    rows["exclude"] = np.tile(tiny.item_id.astype(rows["exclude"].dtype), (len(rows["item"]), 1))


def _one_left(tiny: TinyJourney, rows: Tensors) -> None:
    _everything_excluded(tiny, rows)
    _set("allow", "")(tiny, rows)
    rows["exclude"][:, 3] = tiny.nothing


ODD: dict[str, Callable[[TinyJourney, Tensors], None]] = {
    "empty history": _empty_history,
    "unknown items": _unknown_items,
    "everything excluded": _everything_excluded,
    "all but one excluded": _one_left,
    "unknown category": _set("allow", "hats"),
    "one category": _set("allow", CATEGORIES[1]),
    "no age": _set("age_s", np.nan),
    "future": _set("age_s", -1e30),
    "beginning of time": _set("age_s", np.inf),
    "unknown action": _set("action", 2**31 - 1),
    "negative action": _set("action", -(2**31)),
    "unknown channel": _set("channel", 2**31 - 1),
    "negative channel": _set("channel", -7),
    "no hour": _set("hour", np.nan),
    "eighth day": _set("hour", 168.0),
    "unknown target": _set("target_action", 2**31 - 1),
    "negative target": _set("target_action", -(2**31)),
}


@BOTH
@pytest.mark.parametrize("name", ODD)
def test_odd_values_are_answered(stub: Any, tiny: TinyJourney, name: str) -> None:
    rows = raw_visitors(tiny, 3, seed=4)
    ODD[name](tiny, rows)

    got = answers(stub.ModelInfer(_request(tiny, rows), timeout=TIMEOUT_S))

    _check(tiny, rows, got)
    for answer, left_out in zip(got["next_item"].tolist(), rows["exclude"].tolist(), strict=True):
        assert not {item for item in answer if item != tiny.nothing} & set(left_out)
    if name == "all but one excluded":
        assert got["count"].ravel().tolist() == [1] * 3
        assert got["next_item"][:, 0].tolist() == [tiny.item_id[3]] * 3
    if name == "everything excluded":
        assert not got["count"].any()
        assert not got["score"].any()


def _renamed(tiny: TinyJourney, request: Any) -> None:
    request.inputs[0].name = "items"


def _retyped(name: str, datatype: str) -> Callable[[TinyJourney, Any], None]:
    def change(tiny: TinyJourney, request: Any) -> None:
        next(each for each in request.inputs if each.name == name).datatype = datatype

    return change


def _other_ids(tiny: TinyJourney, request: Any) -> None:
    """Integers where the model has text, and text where it has integers."""
    item = next(each for each in request.inputs if each.name == "item")
    item.datatype = {"BYTES": "INT64", "INT64": "BYTES"}[tiny.contract.item_dtype]


def _longer(tiny: TinyJourney, request: Any) -> None:
    rows = raw_visitors(tiny, 1)
    rows["action"] = np.repeat(rows["action"], 2, axis=1)
    request.CopyFrom(_request(tiny, rows))


def _rows(num_rows: int) -> Callable[[TinyJourney, Any], None]:
    def change(tiny: TinyJourney, request: Any) -> None:
        request.CopyFrom(_request(tiny, raw_visitors(tiny, num_rows)))

    return change


def _ragged(tiny: TinyJourney, request: Any) -> None:
    rows = raw_visitors(tiny, 2)
    rows["hour"] = rows["hour"][:1]
    request.CopyFrom(_request(tiny, rows))


def _missing(tiny: TinyJourney, request: Any) -> None:
    del request.inputs[-1]
    del request.raw_input_contents[-1]


def _unknown_output(tiny: TinyJourney, request: Any) -> None:
    request.outputs.add(name="propensity")


BAD: dict[str, Callable[[TinyJourney, Any], None]] = {
    "wrong name": _renamed,
    "codes as FP32": _retyped("action", "FP32"),
    "codes as INT64": _retyped("target_action", "INT64"),
    "ages as integers": _retyped("age_s", "INT32"),
    "ids of the other type": _other_ids,
    "too many events": _longer,
    "rows that disagree": _ragged,
    "an input missing": _missing,
    "an output that is none": _unknown_output,
    "no rows": _rows(0),
    "too many rows": _rows(65),
}


@BOTH
@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_and_its_neighbours_are_not_touched(
    stub: Any, tiny: TinyJourney, name: str
) -> None:
    good = _request(tiny, raw_visitors(tiny, 3, seed=2))
    alone = raw_answers(stub.ModelInfer(good, timeout=TIMEOUT_S))
    bad = _request(tiny, raw_visitors(tiny, 1))
    BAD[name](tiny, bad)

    calls = [stub.ModelInfer.future(each, timeout=TIMEOUT_S) for each in (good, bad, good, bad)]

    for call in (calls[1], calls[3]):
        assert call.code() == grpc.StatusCode.INVALID_ARGUMENT, call.details()
    for call in (calls[0], calls[2]):
        assert raw_answers(call.result()) == alone


@BOTH
def test_the_canary_is_content(server: Supervisor, tiny: TinyJourney) -> None:
    canary = Canary(server.address, server.headers, server.repository)
    try:
        canary.ask(tiny.contract.model, timeout_s=10)
    finally:
        canary.close()


def test_no_item_of_the_catalogue_is_unknown(stub: Any) -> None:
    """Twice as many visitors as items, each with one event of one item."""
    rows = raw_visitors(TEXT, 2 * NUM_ITEMS, seed=6)
    _empty_history(TEXT, rows)
    rows["item"] = rows["item"].astype(object)
    rows["item"][:, -1] = np.tile(TEXT.item_id, 2)
    rows["action"][:, -1] = 3

    got = answers(stub.ModelInfer(_request(TEXT, rows), timeout=TIMEOUT_S))

    _check(TEXT, rows, got)
    assert not got["unknown"].any()
