"""A journey model's package, its graph, its config and its place in the repository."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tests.journey_packages import (
    CATEGORIES,
    NUMBERS,
    TEXT,
    TinyJourney,
    raw_visitors,
    recommend,
    write_tiny_journey,
)
from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.utils import deserialize_bytes_tensor

from penchant.clients.journey_contract import JourneyContract
from penchant.clients.wire_contract import read_contract
from penchant.serving.fuse import fuse
from penchant.serving.golden import GoldenRows, read_golden, write_golden
from penchant.serving.journey_decode import write_journey_decode
from penchant.serving.model_config import warmup_tensors
from penchant.serving.package import ModelPackage
from penchant.serving.parity import check_answers
from penchant.serving.preflight import try_package
from penchant.serving.repository import Repository
from penchant.serving.session import GraphSession
from penchant.serving.targets.cpu import CpuTarget

BOTH = pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelPackage]:
    folder = tmp_path_factory.mktemp("journeys")
    return {
        tiny.contract.model: write_tiny_journey(folder / tiny.contract.model, tiny)
        for tiny in (TEXT, NUMBERS)
    }


@BOTH
def test_opened_package_is_the_sealed_one(
    packages: dict[str, ModelPackage], tiny: TinyJourney
) -> None:
    sealed = packages[tiny.contract.model]

    opened = ModelPackage.open(sealed.folder)

    assert opened.contract == tiny.contract
    assert opened.manifest == sealed.manifest
    assert opened.manifest.kind == "journey"
    assert opened.golden().num_rows == 40


def test_a_package_of_an_unknown_kind_is_refused_by_name(
    packages: dict[str, ModelPackage], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(packages["tiny_journey"].folder, tmp_path / "package"))
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"journey"', '"uplift"'))

    with pytest.raises(ValueError, match=r"contract\.kind: .*'uplift'"):
        ModelPackage.open(folder)


@BOTH
@pytest.mark.parametrize("num_rows", [1, 7, 64])
def test_fused_graph_gives_the_model_s_answers(
    packages: dict[str, ModelPackage], tiny: TinyJourney, num_rows: int
) -> None:
    graph = fuse(packages[tiny.contract.model], version=12)
    rows = raw_visitors(tiny, num_rows, seed=3)

    got = GraphSession(graph).run(rows)

    check_answers(GoldenRows(rows, recommend(tiny, rows)), got)
    assert set(got) == {spec.name for spec in tiny.contract.outputs}
    assert got["version"].tolist() == [[12]] * num_rows
    assert [value.name for value in graph.graph.output] == [s.name for s in tiny.contract.outputs]
    assert graph.graph.name == "journey"


def test_a_wrong_item_stops_a_package(packages: dict[str, ModelPackage], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packages["tiny_journey"].folder, tmp_path / "package"))
    inputs = raw_visitors(TEXT, 9)
    outputs = recommend(TEXT, inputs)
    write_golden(folder / "golden.npz", inputs, outputs)
    package = ModelPackage(folder, packages["tiny_journey"].manifest)
    try_package(package, 3)

    row = int(np.argmax(outputs["count"][:, 0]))
    outputs["next_item"][row, :2] = outputs["next_item"][row, 1::-1].copy()
    write_golden(folder / "golden.npz", inputs, outputs)

    with pytest.raises(ValueError, match=r"next_item: expected.* in place 1 of row"):
        try_package(package, 3)


def test_integers_of_another_width_are_no_golden_rows(tmp_path: Path) -> None:
    inputs = raw_visitors(TEXT, 3)
    inputs["action"] = inputs["action"].astype(np.int64)
    write_golden(tmp_path / "golden.npz", inputs, recommend(TEXT, raw_visitors(TEXT, 3)))

    with pytest.raises(ValueError, match="'in_action' as INT32"):
        read_golden(tmp_path / "golden.npz", TEXT.contract)


@BOTH
def test_the_config_has_the_contract_s_tensors(tiny: TinyJourney) -> None:
    text = CpuTarget().config(tiny.contract, 9, package_version=4)

    config = text_format.Parse(text, pb.ModelConfig())

    types = {"FP32": pb.TYPE_FP32, "INT32": pb.TYPE_INT32, "INT64": pb.TYPE_INT64}
    for tensors, specs in (
        (config.input, tiny.contract.inputs),
        (config.output, tiny.contract.outputs),
    ):
        assert [(t.name, t.data_type, tuple(t.dims)) for t in tensors] == [
            (spec.name, types.get(spec.dtype, pb.TYPE_STRING), spec.shape) for spec in specs
        ]
    assert read_contract(config.parameters["contract"].string_value) == tiny.contract
    assert config.backend == "python"
    assert config.max_batch_size == 64


@BOTH
def test_warm_up_holds_the_first_golden_visitor(
    packages: dict[str, ModelPackage], tiny: TinyJourney
) -> None:
    golden = packages[tiny.contract.model].golden()

    contents = warmup_tensors(tiny.contract.inputs, golden.inputs)

    dtypes = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}
    assert list(contents) == [spec.name for spec in tiny.contract.inputs]
    for spec in tiny.contract.inputs:
        if spec.dtype == "BYTES":
            texts = [item.decode() for item in deserialize_bytes_tensor(contents[spec.name])]
            assert texts == golden.inputs[spec.name][0].tolist()
        else:
            found = np.frombuffer(contents[spec.name], dtypes[spec.dtype])
            np.testing.assert_array_equal(found, golden.inputs[spec.name][0])


@BOTH
def test_published_package_can_be_read_back(
    packages: dict[str, ModelPackage], tiny: TinyJourney, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "model_repository")
    package = packages[tiny.contract.model]

    assert repository.publish(package, version=5) == 1

    served = repository.served(tiny.contract.model)
    assert served.contract == tiny.contract
    assert served.golden().num_rows == package.golden().num_rows
    # No second copy of every item's vector for what its other heads cost.
    assert sorted(path.name for path in served.folder.glob("*.onnx")) == ["model.onnx"]
    assert served.graph(("next_item", "score")) == served.folder / "model.onnx"
    got = GraphSession(served.graph(("next_item",))).run(raw_visitors(tiny, 2), ["version"])
    assert got["version"].tolist() == [[5], [5]]


def _decoded(path: Path, top_code: list[int]) -> list[list[str]]:
    contract = replace(TEXT.contract, num_items=len(top_code))
    write_journey_decode(path, contract, item_id=TEXT.item_id, categories=CATEGORIES)
    model = onnx.load(str(path))
    inputs = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [1, *(dim.dim_value for dim in tensor.shape.dim[1:])]
        inputs[value.name] = np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    inputs["net_top_code"][0] = top_code
    answers = GraphSession(model).run(inputs)
    assert answers["version"].tolist() == [[0]]
    names: list[list[str]] = answers["next_item"].tolist()
    return names


def test_codes_that_stand_for_nothing_are_named_so(tmp_path: Path) -> None:
    num_codes = len(TEXT.item_id) + 2
    codes = [2, num_codes - 1, 0, 1, num_codes, -1, 2**31 - 1, -(2**31)]

    names = _decoded(tmp_path / "decode.onnx", codes)

    assert names == [[TEXT.item_id[0], TEXT.item_id[-1], *[""] * 6]]


@pytest.mark.parametrize(
    ("contract", "item_id", "categories", "named"),
    [
        (TEXT.contract, NUMBERS.item_id, CATEGORIES, "item_id: expected ids as BYTES"),
        (NUMBERS.contract, TEXT.item_id, (), "item_id: expected ids as INT64"),
        (TEXT.contract, TEXT.item_id[[0, 1, 0]], CATEGORIES, "item_id: expected distinct"),
        (TEXT.contract, TEXT.item_id[:0], CATEGORIES, "item_id: expected distinct"),
        (TEXT.contract, TEXT.item_id, (), "categories: expected the names"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    tmp_path: Path,
    contract: JourneyContract,
    item_id: np.ndarray,
    categories: tuple[str, ...],
    named: str,
) -> None:
    with pytest.raises(ValueError, match=named):
        write_journey_decode(
            tmp_path / "decode.onnx", contract, item_id=item_id, categories=categories
        )


def test_the_manifest_is_one_json_with_the_lists_in_it(
    packages: dict[str, ModelPackage],
) -> None:
    body = json.loads((packages["tiny_journey"].folder / "manifest.json").read_text())

    assert body["contract"]["actions"] == list(TEXT.contract.actions)
    assert body["kind"] == "journey"
