"""Sealed packages: what is refused, and that it is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.packages import CONTRACT, raw_rows, score, sealed

from penchant.serving.golden import GoldenRows, read_golden, write_golden
from penchant.serving.package import ModelPackage
from penchant.serving.parity import check_answers


@pytest.fixture
def folder(tiny_package: ModelPackage, tmp_path: Path) -> Path:
    """A copy of the package to damage."""
    return Path(shutil.copytree(tiny_package.folder, tmp_path / "package"))


def test_opened_package_is_the_sealed_one(tiny_package: ModelPackage, folder: Path) -> None:
    opened = ModelPackage.open(folder)

    assert opened.manifest == tiny_package.manifest
    assert opened.contract == CONTRACT
    assert set(opened.manifest.files) == {
        "encode.onnx",
        "net.onnx",
        "decode.onnx",
        "golden.npz",
        "report/report.html",
    }
    assert "onnxruntime" in opened.manifest.libraries


def _truncate(folder: Path) -> None:
    content = (folder / "net.onnx").read_bytes()
    (folder / "net.onnx").write_bytes(content[:-1])


def _edit(folder: Path) -> None:
    content = bytearray((folder / "golden.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "golden.npz").write_bytes(content)


def _edit_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["metrics"]["purchase/auc"] = 0.99
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _link(folder: Path) -> None:
    target = folder.parent / "elsewhere.onnx"
    (folder / "encode.onnx").rename(target)
    (folder / "encode.onnx").symlink_to(target)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_truncate, "net.onnx"),
        (_edit, "golden.npz"),
        (_edit_manifest, "manifest.json"),
        (_link, "encode.onnx"),
        (lambda folder: (folder / "report" / "report.html").unlink(), "report/report.html"),
        (lambda folder: (folder / "extra.txt").write_text(""), "extra.txt"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe"), "manifest.json"),
    ],
)
def test_damaged_package_is_refused_and_the_file_named(
    folder: Path, damage: Callable[[Path], object], named: str
) -> None:
    damage(folder)

    with pytest.raises(ValueError, match=named):
        ModelPackage.open(folder)


def test_sealing_refuses_a_folder_without_a_graph(folder: Path) -> None:
    (folder / "net.onnx").unlink()

    with pytest.raises(ValueError, match=r"net\.onnx"):
        sealed(folder)


def _reseal(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest's contract as somebody would who knows how its digest is made."""
    path = folder / "manifest.json"
    body = json.loads(path.read_text())
    del body["digest"]
    edit(body["contract"])
    text = json.dumps(body, ensure_ascii=False, sort_keys=True)
    body["digest"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(body))


def test_a_contract_edited_by_an_expert_opens(folder: Path) -> None:
    _reseal(folder, lambda contract: contract.update(max_batch_size=32))

    assert ModelPackage.open(folder).contract.max_batch_size == 32


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda contract: contract.update(model="../../evil"), "evil"),
        (lambda contract: contract.update(model="tiny\n"), "model"),
        (lambda contract: contract["multi_valued"][0].update(name="../../evil"), "evil"),
    ],
)
def test_names_that_lead_outside_are_refused_when_a_package_is_opened(
    folder: Path, edit: Callable[[dict[str, Any]], None], named: str
) -> None:
    _reseal(folder, edit)

    with pytest.raises(ValueError, match=named):
        ModelPackage.open(folder)


def test_weights_outside_the_package_are_refused(folder: Path) -> None:
    model = onnx.load(str(folder / "net.onnx"))
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), "outside")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    model.graph.initializer.append(tensor)
    (folder / "net.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ValueError, match="etc/passwd"):
        sealed(folder)


def test_golden_rows_come_back_as_written(tmp_path: Path) -> None:
    inputs = raw_rows(6)
    inputs["categorical"] = inputs["categorical"].astype(object)

    write_golden(tmp_path / "golden.npz", inputs, score(inputs))
    golden = read_golden(tmp_path / "golden.npz", CONTRACT)

    assert golden.num_rows == 6
    assert golden.inputs["categorical"].dtype.kind == "U"
    np.testing.assert_array_equal(golden.inputs["categorical"], inputs["categorical"])
    np.testing.assert_array_equal(golden.outputs["reason"], score(inputs)["reason"])
    assert golden.rows(2, 4).num_rows == 2


def test_golden_rows_of_another_contract_are_refused(tiny_package: ModelPackage) -> None:
    other = replace(CONTRACT, numeric=("age_days",))

    with pytest.raises(ValueError, match="in_numeric"):
        read_golden(tiny_package.folder / "golden.npz", other)


def test_golden_rows_with_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "golden.npz", in_categorical=np.array([{"a": 1}], dtype=object))

    with pytest.raises(ValueError, match="plain arrays"):
        read_golden(tmp_path / "golden.npz", CONTRACT)


@pytest.mark.parametrize("wrong", [1e-3, np.nan])
def test_a_wrong_answer_is_noticed(wrong: float) -> None:
    inputs = raw_rows(3)
    golden = GoldenRows(inputs, score(inputs))
    answers = score(inputs)
    check_answers(golden, answers)

    answers["propensity"][1, 0] += wrong
    with pytest.raises(ValueError, match="propensity"):
        check_answers(golden, answers)
