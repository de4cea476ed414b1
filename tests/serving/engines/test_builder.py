"""Building: what a plan says of itself, and what is refused before or while it is built."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from tests.serving.engines.gpus import GPU

from penchant.serving.engines.builder import build_engine
from penchant.serving.engines.library import EngineLibrary
from penchant.serving.package import ModelPackage

TENSORRT_11_3 = "11.3.0"


def net_with(operator: str, path: Path) -> Path:
    """A net of one node, with the notes that torch.export leaves."""
    node = helper.make_node(operator, ["x"], ["y"], name="node_0")
    for key, value in (
        ("pkg.torch.onnx.name_scopes", "['', 'served', 'served.net.fancy', 'call']"),
        ("pkg.torch.onnx.class_hierarchy", "['_Positional', 'Served', 'shop.Fancy', 'aten.call']"),
    ):
        node.metadata_props.add(key=key, value=value)
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 4]) for n in "xy"]
    graph = helper.make_graph([node], "net", tensors[:1], tensors[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def test_a_plan_says_what_it_is(tiny: ModelPackage, library: EngineLibrary) -> None:
    plan = build_engine(tiny.net, contract=tiny.contract, precision="fp16", package_version=7)
    record = plan.record
    assert (record.model, record.package_version) == ("tiny_journey", 7)
    assert (record.library, record.library_version) == (library.name, library.version)
    assert record.compute_capability == record.driver == record.device == ""
    assert not record.has_gpu
    assert record.precision == "fp16"
    assert [profile.max_rows for profile in record.profiles] == [8, 64]
    assert record.graph_batches == (1, 2, 4, 8, 16, 32, 64)
    assert record.net_sha256 == tiny.manifest.files["net.onnx"]
    assert record.sha256 == sha256(plan.content).hexdigest()
    assert record.size_bytes == len(plan.content)
    assert record.build_s > 0
    assert plan.notes == ()


@pytest.mark.parametrize("operator", ["Det", "Unique", "NobodysOperator"])
def test_an_operator_that_tensorrt_lacks_is_named_with_its_module(
    operator: str, tiny: ModelPackage, tmp_path: Path
) -> None:
    net = net_with(operator, tmp_path / "net.onnx")
    named = rf"'{operator}' of node 'node_0', made by served\.net\.fancy \(shop\.Fancy\)"
    with pytest.raises(ValueError, match=named) as refused:
        build_engine(net, contract=tiny.contract)
    assert "write that module with other operators" in str(refused.value)


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 100])
def test_a_net_that_is_none_is_refused(
    content: bytes | None, tiny: ModelPackage, tmp_path: Path
) -> None:
    net = tmp_path / "net.onnx"
    if content is not None:
        net.write_bytes(content)
    with pytest.raises(ValueError, match=r"net: expected the net\.onnx of a package, got"):
        build_engine(net, contract=tiny.contract)


def test_tensorrt_itself_wants_a_gpu(tiny: ModelPackage, library: EngineLibrary) -> None:
    real = replace(library, name="tensorrt", version="11.1.0")
    with pytest.raises(ValueError, match=r"expected a GPU to build on, got none.*pip install"):
        build_engine(tiny.net, contract=tiny.contract, library=real)


def test_too_little_gpu_memory_says_how_much_is_needed(
    tiny: ModelPackage, library: EngineLibrary
) -> None:
    small = replace(GPU, free_bytes=200 << 20)
    expected = r"expected up to 1\.00 GiB .* for batches of 64 rows, got 0\.20 GiB of 80\.00 GiB"
    with pytest.raises(ValueError, match=expected):
        build_engine(tiny.net, contract=tiny.contract, device=small, library=library)


def test_an_engine_to_refit_wants_a_gpu(tiny: ModelPackage) -> None:
    with pytest.raises(ValueError, match="refittable: expected a GPU, got none"):
        build_engine(tiny.net, contract=tiny.contract, refittable=True)


def test_the_release_that_drops_biases_builds_no_engine_to_refit(
    tiny: ModelPackage, library: EngineLibrary
) -> None:
    wrong = replace(library, name="tensorrt", version=TENSORRT_11_3)
    with pytest.raises(ValueError, match=r"other than 11\.3\.0, whose refittable engines drop"):
        build_engine(tiny.net, contract=tiny.contract, refittable=True, library=wrong, device=GPU)
