"""A package cut into the steps of an ensemble: the same numbers, and nothing that nobody wants."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tests.journey_packages import NUMBERS, TEXT, TinyJourney, raw_visitors, write_tiny_journey
from tests.packages import CONTRACT, raw_rows, score

from penchant.serving.fuse import fuse
from penchant.serving.package import ModelPackage
from penchant.serving.pieces import Piece, cut, net_files
from penchant.serving.session import GraphSession
from penchant.serving.targets.chain import Chain

VERSION = 12


@pytest.mark.parametrize("num_rows", [1, 7, 64])
def test_the_steps_together_give_the_model_s_answers(
    tiny_package: ModelPackage, num_rows: int
) -> None:
    inputs = raw_rows(num_rows)

    tensors = Chain(cut(tiny_package, VERSION)).run(inputs)

    for name, expected in score(inputs).items():
        np.testing.assert_allclose(tensors[name], expected, atol=1e-6)
    assert tensors["version"].tolist() == [[VERSION]] * num_rows


@pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])
def test_the_steps_of_a_journey_say_what_the_fused_graph_says(
    tiny: TinyJourney, tmp_path: Path
) -> None:
    package = write_tiny_journey(tmp_path / "package", tiny)
    inputs = raw_visitors(tiny, 33, seed=3)

    tensors = Chain(cut(package, VERSION)).run(inputs)

    for name, expected in GraphSession(fuse(package, VERSION)).run(inputs).items():
        assert tensors[name].tolist() == expected.tolist()


def _by_step(package: ModelPackage) -> dict[str, Piece]:
    return {piece.step: piece for piece in cut(package, VERSION)}


def test_a_score_needs_neither_the_reasons_nor_what_computes_them(
    tiny_package: ModelPackage, tmp_path: Path
) -> None:
    steps = _by_step(tiny_package)

    assert dict(steps["net"].outputs) == {"propensity": "propensity"}
    assert dict(steps["explain"].outputs) == {"reason": "reason", "base": "base"}
    assert dict(steps["decode"].inputs) == {"net_unknown": "encode/unknown"}
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    session = ort.InferenceSession(steps["net"].graph.SerializeToString(), options)
    tensors = Chain([steps["encode"]]).run(raw_rows(2))
    session.run(None, steps["net"].taken(tensors))
    events = json.loads(Path(session.end_profiling()).read_text())
    ran = {event["name"] for event in events if event.get("cat") == "Node"}
    assert any("MatMul" in name for name in ran)
    assert not any("reasons" in name for name in ran)


def test_what_decode_only_renames_goes_straight_to_the_caller(tmp_path: Path) -> None:
    steps = _by_step(write_tiny_journey(tmp_path / "package", TEXT))

    assert list(steps) == ["encode", "net", "decode"]
    assert steps["net"].outputs["hour_score"] == "hour_score"
    assert steps["net"].outputs["top_score"] == "score"
    assert set(steps["decode"].outputs) == {"next_item", "intent", "unknown", "version"}


def test_no_answer_is_a_step_s_input(tmp_path: Path, tiny_package: ModelPackage) -> None:
    """Triton would leave out steps that are needed, see ``test_rehearsal.py``."""
    for package in (tiny_package, write_tiny_journey(tmp_path / "package", TEXT)):
        pieces = cut(package, VERSION)
        given = {spec.name for spec in package.contract.outputs}
        assert given == {tensor for piece in pieces for tensor in piece.outputs.values()} & given
        assert not given & {tensor for piece in pieces for tensor in piece.inputs.values()}


def test_no_step_gets_what_it_does_not_read(tmp_path: Path, tiny_package: ModelPackage) -> None:
    for package in (tiny_package, write_tiny_journey(tmp_path / "package", NUMBERS)):
        for piece in cut(package, VERSION):
            assert set(piece.inputs) == {value.name for value in piece.graph.graph.input}
            assert set(piece.outputs) == {value.name for value in piece.graph.graph.output}
            read = {name for node in piece.graph.graph.node for name in node.input}
            assert piece.step == "encode" or set(piece.inputs) <= read


def test_specs_are_those_of_the_graph(tiny_package: ModelPackage) -> None:
    encode = _by_step(tiny_package)["encode"]

    assert {spec.name: spec for spec in encode.input_specs} == {
        spec.name: spec for spec in CONTRACT.inputs
    }
    found = {spec.name: (spec.dtype, spec.shape) for spec in encode.output_specs}
    assert found["code_interests"] == ("INT32", (3,))
    assert found["position"] == ("FP32", (2,))


def test_engines_are_built_of_the_same_bytes_every_time(
    tiny_package: ModelPackage, tmp_path: Path
) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    for folder in (first, second):
        folder.mkdir()

    files = net_files(tiny_package, first)
    again = net_files(tiny_package, second)

    assert list(files) == ["net", "explain"]
    for step, path in files.items():
        assert path.read_bytes() == again[step].read_bytes()
        onnx.checker.check_model(onnx.load(str(path)), full_check=True)


def test_a_net_that_is_not_cut_is_the_package_s_own_file(tmp_path: Path) -> None:
    package = write_tiny_journey(tmp_path / "package", TEXT)

    assert net_files(package, tmp_path) == {"net": package.net}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("encode.onnx", r"net\.onnx wants \['position'\], encode\.onnx gives"),
        ("net.onnx", r"net\.onnx wants \['elsewhere'\], encode\.onnx gives"),
        ("decode.onnx", r"decode\.onnx wants \['elsewhere'\], the net gives"),
    ],
)
def test_graphs_that_do_not_fit_are_refused(
    tiny_package: ModelPackage, tmp_path: Path, file: str, message: str
) -> None:
    folder = Path(shutil.copytree(tiny_package.folder, tmp_path / "package"))
    model = onnx.load(str(folder / file))
    if file == "encode.onnx":
        _rename(model.graph, "position", "elsewhere")
    else:
        _rename(model.graph, model.graph.input[0].name, "elsewhere")
    onnx.save(model, str(folder / file))

    with pytest.raises(ValueError, match=message):
        cut(ModelPackage(folder, tiny_package.manifest), VERSION)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for value in (*graph.input, *graph.output):
        value.name = new if value.name == old else value.name
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def test_a_contract_that_the_steps_do_not_keep_is_refused(tiny_package: ModelPackage) -> None:
    for contract in (
        replace(CONTRACT, goals=("purchase", "churn", "open")),
        replace(CONTRACT, numeric=("age_days",)),
    ):
        manifest = replace(tiny_package.manifest, contract=contract)
        with pytest.raises(ValueError, match="where the contract says"):
            cut(ModelPackage(tiny_package.folder, manifest), VERSION)
