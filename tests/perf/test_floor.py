"""The floor answers as the model does, with nothing inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from tests.packages import CONTRACT
from tests.perf.conftest import PrivateServer

from penchant.clients.contract import SCORE_OUTPUTS
from penchant.perf.floor import keep_outputs
from penchant.serving.repository import Repository


def _ask(server: PrivateServer, model: str, num_rows: int) -> triton.InferResult:
    golden = server.served.golden().rows(0, num_rows)
    inputs = []
    for spec in CONTRACT.inputs:
        value = golden.inputs[spec.name]
        value = value.astype(np.object_ if spec.dtype == "BYTES" else np.float32)
        tensor = triton.InferInput(spec.name, list(value.shape), spec.dtype)
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    with triton.InferenceServerClient(server.supervisor.address) as client:
        return client.infer(model, inputs, client_timeout=10)


def test_floor_has_the_models_batching_and_tensors(private_server: PrivateServer) -> None:
    repository = private_server.supervisor.repository
    model, floor = (repository.config(name) for name in ("tiny", private_server.floor))

    assert floor.name == "tiny_floor"
    assert floor.dynamic_batching == model.dynamic_batching
    assert floor.instance_group == model.instance_group
    assert floor.input == model.input
    assert floor.output == model.output
    assert not floor.model_warmup
    # A busy machine must not end a measurement.
    assert not model.dynamic_batching.default_queue_policy.default_timeout_microseconds


def test_floor_answers_zeros_of_the_models_shapes(private_server: PrivateServer) -> None:
    for num_rows in (1, 7):
        model = _ask(private_server, "tiny", num_rows)
        floor = _ask(private_server, private_server.floor, num_rows)
        for name in SCORE_OUTPUTS:
            scores, zeros = model.as_numpy(name), floor.as_numpy(name)
            assert zeros.shape == scores.shape
            assert zeros.dtype == scores.dtype
            assert not zeros.any()
        assert model.as_numpy("propensity").all()


def test_private_copy_offers_only_the_outputs_that_are_measured(
    private_server: PrivateServer,
) -> None:
    names = {output.name for output in _ask(private_server, "tiny", 1).get_response().outputs}

    assert names == set(SCORE_OUTPUTS)


def test_published_model_keeps_its_outputs(private_server: PrivateServer) -> None:
    published = Repository(private_server.served.folder.parents[1])

    assert len(published.config("tiny").output) == len(CONTRACT.outputs)


def test_keep_outputs_keeps_order_and_the_rest(
    private_server: PrivateServer, tmp_path: Path
) -> None:
    source = Repository(private_server.served.folder.parents[1])
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.pbtxt").write_bytes(source.read_config("tiny") or b"")

    keep_outputs(Repository(tmp_path), "tiny", ("unknown", "propensity"))

    config = Repository(tmp_path).config("tiny")
    assert [output.name for output in config.output] == ["propensity", "unknown"]
    assert config.input == source.config("tiny").input
