"""The tensorrt target's repository, whose backends the embedded Triton does not have.

``tensorrt_configs/`` holds every config of the tiny model, read through Triton's protobuf and
compared as a whole. Plans are built by a played TensorRT.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tests.journey_packages import TEXT, write_tiny_journey
from tests.packages import CONTRACT, raw_rows, score
from tests.serving.engines.gpus import GPU
from tests.serving.engines.played_tensorrt import PlayedTensorRT
from tritonclient.grpc import model_config_pb2 as pb

from penchant.serving.engines import check_plan
from penchant.serving.engines.builder import build_engine
from penchant.serving.engines.device import Device
from penchant.serving.engines.library import EngineLibrary, find_engine_library
from penchant.serving.engines.plan import Plan
from penchant.serving.engines.precision import Precision
from penchant.serving.package import ModelPackage
from penchant.serving.pieces import StepName, net_files
from penchant.serving.repository import Repository
from penchant.serving.session import GraphSession
from penchant.serving.targets import fitting_plans
from penchant.serving.targets.rehearsal import RehearsalTarget
from penchant.serving.targets.rendering import Rendering
from penchant.serving.targets.tensorrt import TensorRTTarget

CONFIGS = Path(__file__).with_name("tensorrt_configs")
VERSION, NUMBER = 9, 4
A100 = replace(GPU, name="NVIDIA A100-SXM4-80GB", compute_capability="8.0")
LIBRARY = PlayedTensorRT().library


def _build(
    package: ModelPackage,
    folder: Path,
    device: Device = GPU,
    *,
    library: EngineLibrary = LIBRARY,
    precision: Precision = "fp32",
) -> dict[StepName, Plan]:
    return {
        step: build_engine(
            net,
            contract=package.contract,
            precision=precision,
            package_version=VERSION,
            library=library,
            device=device,
        )
        for step, net in net_files(package, folder).items()
    }


@pytest.fixture(scope="module")
def rendering(tiny_package: ModelPackage, tmp_path_factory: pytest.TempPathFactory) -> Rendering:
    """The tiny model with plans for two cards."""
    folder = tmp_path_factory.mktemp("nets")
    here, there = (_build(tiny_package, folder, device) for device in (GPU, A100))
    plans = {step: [here[step], there[step]] for step in here}
    target = TensorRTTarget(engines=folder, cpu_instances=4)
    return target.render(tiny_package, VERSION, plans)(NUMBER)


def _configs(rendering: Rendering) -> dict[str, Any]:
    return {
        each.name: text_format.Parse(each.config, pb.ModelConfig())
        for each in (rendering.public, *rendering.parts)
    }


def test_every_field_of_every_config_is_as_it_should_be(rendering: Rendering) -> None:
    configs = _configs(rendering)

    expected = {
        path.stem: text_format.Parse(path.read_text(), pb.ModelConfig())
        for path in CONFIGS.glob("*.pbtxt")
    }
    assert set(configs) == set(expected)
    for name, config in configs.items():
        if name == "tiny":
            parameter = config.parameters["contract"]
            assert json.loads(parameter.string_value) == json.loads(CONTRACT.to_json())
            del config.parameters["contract"]
        assert text_format.MessageToString(config) == text_format.MessageToString(expected[name])


def test_the_wiring_is_the_rehearsal_s(rendering: Rendering, tiny_package: ModelPackage) -> None:
    """What CI shows of the rehearsal holds for this target where nothing but backends differs."""
    configs = _configs(rendering)
    rehearsed = _configs(RehearsalTarget().prepare(tiny_package, VERSION)(NUMBER))

    assert configs.keys() == rehearsed.keys()
    for name, config in configs.items():
        other = rehearsed[name]
        assert config.ensemble_scheduling == other.ensemble_scheduling
        assert (config.input, config.output) == (other.input, other.output)
        assert config.max_batch_size == other.max_batch_size
        assert config.version_policy == other.version_policy


def test_what_the_backends_load_is_there(rendering: Rendering, tiny_package: ModelPackage) -> None:
    configs = _configs(rendering)

    for part in rendering.parts:
        config = configs[part.name]
        if config.backend == "onnxruntime":
            assert set(part.files) == {"model.onnx"}
            onnx.checker.check_model(onnx.load_from_string(part.files["model.onnx"]))
            continue
        for capability, name in config.cc_model_filenames.items():
            record = json.loads(part.files[name.replace(".plan", ".json")])
            assert record["compute_capability"] == capability
            assert part.files[name].startswith(b"plan:")
    assert set(rendering.public.files) == {"manifest.json", "golden.npz"}


def test_a_plan_s_tensors_are_those_of_its_config(rendering: Rendering) -> None:
    for part in rendering.parts:
        if "sm90.plan" in part.files:
            model = onnx.load_from_string(part.files["sm90.plan"].removeprefix(b"plan:"))
            config = text_format.Parse(part.config, pb.ModelConfig())
            for found, expected in (
                (model.graph.input, config.input),
                (model.graph.output, config.output),
            ):
                assert [value.name for value in found] == [tensor.name for tensor in expected]


def test_warm_up_is_what_a_step_gets_of_a_golden_row(
    rendering: Rendering, tiny_package: ModelPackage
) -> None:
    row = tiny_package.golden().rows(0, 1).inputs
    parts = {part.name: part for part in rendering.parts}
    encode = GraphSession(onnx.load_from_string(parts["tiny_encode_4"].files["model.onnx"]))
    encoded = encode.run(row)

    for step in ("tiny_net_4", "tiny_explain_4"):
        warmup = parts[step].warmup
        assert set(warmup) == {"position", "missing", "category", "code_interests"}
        for name, content in warmup.items():
            assert content == encoded[name].tobytes()
    assert parts["tiny_decode_4"].warmup == {"net_unknown": encoded["unknown"].tobytes()}


def test_decode_stamps_the_package_s_version(rendering: Rendering) -> None:
    decode = next(part for part in rendering.parts if part.name == "tiny_decode_4")
    session = GraphSession(onnx.load_from_string(decode.files["model.onnx"]))

    answers = session.run({"net_unknown": np.zeros((3, 1), np.int32)})

    assert answers["version"].tolist() == [[VERSION]] * 3


def test_a_journey_s_net_is_served_whole(tmp_path: Path) -> None:
    package = write_tiny_journey(tmp_path / "package", TEXT)
    plans = {step: [plan] for step, plan in _build(package, tmp_path).items()}

    rendering = TensorRTTarget(engines=tmp_path).render(package, VERSION, plans)(NUMBER)

    configs = _configs(rendering)
    assert list(configs) == [
        "tiny_journey",
        *(f"tiny_journey_{s}_4" for s in ("encode", "net", "decode")),
    ]
    decode = configs["tiny_journey_decode_4"]
    assert {tensor.name: tensor.data_type for tensor in decode.output} == {
        "next_item": pb.TYPE_STRING,
        "intent": pb.TYPE_STRING,
        "unknown": pb.TYPE_INT32,
        "version": pb.TYPE_INT64,
    }


@pytest.mark.parametrize("field", ["gpu_instances", "cpu_instances"])
def test_a_target_without_instances_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: expected more than 0, got 0"):
        TensorRTTarget(engines=Path(), **{field: 0})  # type: ignore[arg-type]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with TensorRT and an H100, on which every plan of its own loads."""
    monkeypatch.setattr(fitting_plans, "find_engine_library", lambda: LIBRARY)
    monkeypatch.setattr(fitting_plans, "this_device", lambda: GPU)
    monkeypatch.setattr(check_plan, "_try_apart", lambda path, library: None)


def _save(plans: Mapping[StepName, Plan], engines: Path, age_s: float = 0.0) -> list[Path]:
    """Where `penchant build engine` puts them."""
    paths = [plan.save(engines / "tiny" / str(VERSION) / step) for step, plan in plans.items()]
    for path in paths:
        time = path.stat().st_mtime - age_s
        os.utime(path, (time, time))
    return paths


@pytest.fixture
def repository(tmp_path: Path, tiny_package: ModelPackage) -> Repository:
    """A repository with version 5 on the cpu target."""
    repository = Repository(tmp_path / "model_repository")
    repository.publish(tiny_package, version=5)
    return repository


def _publish(repository: Repository, package: ModelPackage, engines: Path) -> dict[str, Any]:
    target = TensorRTTarget(engines=engines)
    repository.publish(package, version=VERSION, target=target)
    return {part: repository.config(part) for part in repository.parts("tiny")}


@pytest.mark.usefixtures("machine")
def test_a_model_moves_to_the_gpu_and_back(
    repository: Repository, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    _save(_build(tiny_package, tmp_path), tmp_path)

    configs = _publish(repository, tiny_package, tmp_path)

    assert repository.served("tiny").target == "tensorrt"
    assert repository.num_processes("tiny") == 0
    for part, config in configs.items():
        for name in config.cc_model_filenames.values():
            assert (repository.folder / part / "2" / name).is_file()
    repository.publish(tiny_package, version=10)
    served = repository.served("tiny")
    assert (served.target, served.package_version) == ("cpu", 10)


@pytest.mark.usefixtures("machine")
def test_plans_of_other_cards_stand_beside_this_machine_s(
    repository: Repository, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    l40 = replace(GPU, name="NVIDIA L40S", compute_capability="8.9")
    older = EngineLibrary(LIBRARY.module, "tensorrt", "10.12.0.36")
    _save(_build(tiny_package, tmp_path), tmp_path)
    _save(_build(tiny_package, tmp_path, A100), tmp_path)
    _save(_build(tiny_package, tmp_path, l40, library=older), tmp_path)

    configs = _publish(repository, tiny_package, tmp_path)

    for step in ("net", "explain"):
        names = dict(configs[f"tiny_{step}_2"].cc_model_filenames)
        assert names == {"9.0": "sm90.plan", "8.0": "sm80.plan"}


@pytest.mark.usefixtures("machine")
def test_of_several_precisions_the_last_built_is_served(
    repository: Repository, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    _save(_build(tiny_package, tmp_path, precision="tf32"), tmp_path, age_s=5)
    _save(_build(tiny_package, tmp_path, precision="fp32"), tmp_path, age_s=9)

    _publish(repository, tiny_package, tmp_path)

    record = (repository.folder / "tiny_net_2" / "2" / "sm90.json").read_text()
    assert json.loads(record)["precision"] == "tf32"


def _other_card(package: ModelPackage, engines: Path) -> None:
    _save(_build(package, engines, A100), engines)


def _older_library(package: ModelPackage, engines: Path) -> None:
    older = EngineLibrary(LIBRARY.module, "tensorrt", "10.12.0.36")
    _save(_build(package, engines, library=older), engines)


def _damaged(package: ModelPackage, engines: Path) -> None:
    for path in _save(_build(package, engines), engines):
        for plan in path.parent.glob("*.plan"):
            plan.write_bytes(b"damaged")


def _half(package: ModelPackage, engines: Path) -> None:
    plans = _build(package, engines)
    _save({"net": plans["net"]}, engines)


def _nothing(package: ModelPackage, engines: Path) -> None:
    pass


UNFIT = {
    "another card": (_other_card, "expected compute capability 9.0 .*got 8.0 .NVIDIA A100"),
    "another TensorRT": (_older_library, "expected a plan of tensorrt 10.14.1.48, got .*10.12.0"),
    "damage": (_damaged, "sha256|SHA-256"),
    "no plan": (_nothing, "got none"),
    "a step without": (_half, "explain for NVIDIA H100.*got none"),
}


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", UNFIT)
def test_without_a_plan_that_fits_nothing_changes(
    repository: Repository, tiny_package: ModelPackage, tmp_path: Path, name: str
) -> None:
    build, reason = UNFIT[name]
    build(tiny_package, tmp_path)
    before = sorted(repository.folder.rglob("*"))

    with pytest.raises(ValueError, match=reason) as caught:
        _publish(repository, tiny_package, tmp_path)

    assert "penchant build engine --model tiny --version 9" in str(caught.value)
    assert sorted(repository.folder.rglob("*")) == before
    assert repository.served("tiny").package_version == 5


def test_a_machine_without_tensorrt_is_told_how_to_get_it(
    repository: Repository, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    assert find_engine_library().name == "tensorrt_rtx"

    with pytest.raises(ValueError, match=r"got tensorrt_rtx alone; run: pip install"):
        _publish(repository, tiny_package, tmp_path)


def test_a_machine_without_a_gpu_is_told_so(
    repository: Repository,
    tiny_package: ModelPackage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting_plans, "find_engine_library", lambda: LIBRARY)
    monkeypatch.setattr(fitting_plans, "this_device", lambda: None)

    with pytest.raises(ValueError, match="expected a GPU to serve on, got none"):
        _publish(repository, tiny_package, tmp_path)


@pytest.mark.usefixtures("machine")
def test_a_challenger_is_served_by_the_plans_of_its_model(
    repository: Repository, tiny_package: ModelPackage, tmp_path: Path
) -> None:
    _save(_build(tiny_package, tmp_path), tmp_path)
    contract = replace(CONTRACT, model="tiny_challenger")
    manifest = replace(tiny_package.manifest, contract=contract)

    repository.publish(
        ModelPackage(tiny_package.folder, manifest),
        version=VERSION,
        target=TensorRTTarget(engines=tmp_path),
    )

    assert repository.models() == ["tiny", "tiny_challenger"]
    assert repository.served("tiny_challenger").target == "tensorrt"


def test_the_played_plans_answer_as_the_model_does(rendering: Rendering) -> None:
    """Chained as the ensemble's config says."""
    tensors: dict[str, Any] = raw_rows(5)
    inputs = dict(tensors)
    parts = {part.name: part for part in rendering.parts}
    for step in _configs(rendering)["tiny"].ensemble_scheduling.step:
        files = parts[step.model_name].files
        graph = files.get("model.onnx") or files["sm80.plan"].removeprefix(b"plan:")
        session = GraphSession(onnx.load_from_string(graph))
        answers = session.run({name: tensors[each] for name, each in step.input_map.items()})
        tensors |= {each: answers[name] for name, each in step.output_map.items()}

    for name, expected in score(inputs).items():
        np.testing.assert_allclose(tensors[name], expected, atol=1e-6)
