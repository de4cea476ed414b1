"""The fused graph: the same numbers, and nothing computed that was not asked for."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tests.packages import CONTRACT, raw_rows, score

from penchant.clients.contract import SCORE_OUTPUTS
from penchant.serving.fuse import fuse, score_only
from penchant.serving.package import ModelPackage
from penchant.serving.session import GraphSession


@pytest.mark.parametrize("num_rows", [1, 7, 64])
def test_fused_graph_gives_the_model_s_answers(tiny_package: ModelPackage, num_rows: int) -> None:
    session = GraphSession(fuse(tiny_package, version=12))
    inputs = raw_rows(num_rows)

    answers = session.run(inputs)

    for name, expected in score(inputs).items():
        np.testing.assert_allclose(answers[name], expected, atol=1e-6)
    assert answers["version"].tolist() == [[12]] * num_rows


def test_fused_graph_has_the_contract_s_tensors_and_one_batch_axis(
    tiny_package: ModelPackage,
) -> None:
    graph = fuse(tiny_package, version=1).graph

    assert [value.name for value in graph.input] == [spec.name for spec in CONTRACT.inputs]
    assert [value.name for value in graph.output] == [spec.name for spec in CONTRACT.outputs]
    axes = {v.type.tensor_type.shape.dim[0].dim_param for v in (*graph.input, *graph.output)}
    assert axes == {"batch"}


def test_reasons_are_not_computed_for_a_score(tiny_package: ModelPackage, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    part = score_only(fuse(tiny_package, version=1))
    session = ort.InferenceSession(part.SerializeToString(), options)
    inputs = {k: v.astype(object) if v.dtype.kind == "U" else v for k, v in raw_rows(2).items()}

    session.run(None, inputs)

    events = json.loads(Path(session.end_profiling()).read_text())
    ran = {event["name"] for event in events if event.get("cat") == "Node"}
    assert [value.name for value in part.graph.output] == list(SCORE_OUTPUTS)
    assert any("MatMul" in name for name in ran)
    assert not any("net/reasons" in name for name in ran)


def test_graphs_that_do_not_fit_are_refused(tiny_package: ModelPackage, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_package.folder, tmp_path / "package"))
    net = onnx.load(str(folder / "net.onnx"))
    net.graph.input[0].name = "somewhere"
    onnx.save(net, str(folder / "net.onnx"))

    with pytest.raises(ValueError, match="somewhere"):
        fuse(ModelPackage(folder, tiny_package.manifest), version=1)


def test_a_graph_of_another_operator_set_is_refused(
    tiny_package: ModelPackage, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_package.folder, tmp_path / "package"))
    net = onnx.load(str(folder / "net.onnx"))
    net.opset_import[0].version = 17
    onnx.save(net, str(folder / "net.onnx"))

    with pytest.raises(ValueError, match=r"net\.onnx: operator set ai\.onnx 17"):
        fuse(ModelPackage(folder, tiny_package.manifest), version=1)


def test_a_contract_that_the_graphs_do_not_keep_is_refused(tiny_package: ModelPackage) -> None:
    manifest = replace(
        tiny_package.manifest, contract=replace(CONTRACT, goals=("purchase", "churn", "open"))
    )

    with pytest.raises(ValueError, match="where the contract says"):
        fuse(ModelPackage(tiny_package.folder, manifest), version=1)
