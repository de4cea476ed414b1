"""Publishing an ensemble: it and its steps become what is served as one, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.packages import CONTRACT, raw_rows, score
from tests.serving.test_repository import PUBLISHER_S, start_publisher

from penchant.serving.package import ModelPackage
from penchant.serving.repository import KEPT_VERSIONS, Repository
from penchant.serving.session import GraphSession
from penchant.serving.targets.cpu import CpuTarget
from penchant.serving.targets.rehearsal import RehearsalTarget

STEPS = ("encode", "net", "explain", "decode")
REHEARSAL = RehearsalTarget()


def assert_loadable(repository: Repository, version: int) -> None:
    """Everything that the configs name is there, whole, and answers with the version."""
    served = repository.served("tiny")
    assert served.package_version == version
    assert served.golden().num_rows > 0
    inputs = raw_rows(3)
    if served.target == "cpu":
        answers = GraphSession(onnx.load(str(served.folder / "model.onnx"))).run(inputs)
    else:
        answers = _run(repository, inputs)
    np.testing.assert_allclose(answers["propensity"], score(inputs)["propensity"], atol=1e-6)
    np.testing.assert_allclose(answers["reason"], score(inputs)["reason"], atol=1e-6)
    assert answers["version"].ravel().tolist() == [version] * 3


def _run(repository: Repository, tensors: dict[str, Any]) -> dict[str, Any]:
    """What Triton makes of the files: step by step, as the ensemble's config says."""
    for step in repository.config("tiny").ensemble_scheduling.step:
        part = repository.config(step.model_name)
        assert part.name == step.model_name
        assert step.model_version in part.version_policy.specific.versions
        home = repository.folder / step.model_name
        for sample in part.model_warmup:
            for each in sample.inputs.values():
                assert (home / "warmup" / each.input_data_file).is_file()
        folder = home / str(step.model_version)
        assert (folder / "model.py").is_file()
        session = GraphSession(onnx.load(str(folder / "model.onnx")))
        answers = session.run({name: tensors[each] for name, each in step.input_map.items()})
        tensors = tensors | {each: answers[name] for name, each in step.output_map.items()}
    return tensors


def _folders(repository: Repository) -> set[str]:
    return {path.name for path in repository.folder.iterdir()}


@pytest.fixture
def repository(tmp_path: Path, tiny_package: ModelPackage) -> Repository:
    """A repository with version 5 published as an ensemble."""
    repository = Repository(tmp_path / "model_repository")
    assert repository.publish(tiny_package, version=5, target=REHEARSAL) == 1
    return repository


def test_a_published_ensemble_is_one_model(repository: Repository) -> None:
    served = repository.served("tiny")

    assert repository.models() == ["tiny"]
    assert repository.parts("tiny") == tuple(f"tiny_{step}_1" for step in STEPS)
    assert (served.number, served.package_version, served.target) == (1, 5, "rehearsal")
    assert served.outputs == tuple(spec.name for spec in CONTRACT.outputs)
    assert _folders(repository) == {"tiny", *repository.parts("tiny")}
    assert_loadable(repository, 5)


@pytest.mark.parametrize(
    ("target", "step", "served_after"),
    [
        ("rehearsal", "stage", 5),
        *(("rehearsal", f"place tiny_{step}_2", 5) for step in STEPS),
        ("rehearsal", "place version", 5),
        ("rehearsal", "commit", 5),
        ("rehearsal", "collect", 6),
        ("cpu", "place version", 5),
        ("cpu", "commit", 5),
        ("cpu", "collect", 6),
    ],
)
def test_a_killed_publisher_leaves_a_repository_that_loads(
    repository: Repository, tiny_package: ModelPackage, target: str, step: str, served_after: int
) -> None:
    publisher = start_publisher(tiny_package, repository, version=6, target=target, die_at=step)
    publisher.communicate(timeout=PUBLISHER_S)
    assert publisher.returncode < 0

    assert repository.models() == ["tiny"]
    assert_loadable(repository, served_after)
    before = repository.served("tiny").number
    assert repository.publish(tiny_package, version=7, target=REHEARSAL) > before
    assert_loadable(repository, 7)
    assert [path.name for path in repository.staging.iterdir()] == ["lock"]


@pytest.mark.parametrize("file_limit", [100, 2500])
def test_a_publisher_without_room_leaves_everything_as_it_was(
    repository: Repository, tiny_package: ModelPackage, file_limit: int
) -> None:
    before = sorted(repository.folder.rglob("*"))

    publisher = start_publisher(
        tiny_package, repository, version=6, target="rehearsal", file_limit=file_limit
    )
    message = publisher.communicate(timeout=PUBLISHER_S)[1]

    assert publisher.returncode == 1
    assert "File too large" in message
    assert sorted(repository.folder.rglob("*")) == before
    assert_loadable(repository, 5)


def test_what_cannot_be_placed_takes_back_what_was(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    before = sorted(repository.folder.rglob("*"))

    def fail(step: str) -> None:
        if step == "commit":
            raise OSError(30, "Read-only file system")

    with pytest.raises(ValueError, match="Read-only file system"):
        Repository(repository.folder, on_step=fail).publish(
            tiny_package, version=6, target=REHEARSAL
        )

    assert sorted(repository.folder.rglob("*")) == before
    assert_loadable(repository, 5)


def test_a_model_changes_its_target_and_back_under_one_name(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    for version, target in ((6, CpuTarget()), (7, REHEARSAL), (8, CpuTarget()), (9, REHEARSAL)):
        repository.publish(tiny_package, version=version, target=target)
        assert repository.models() == ["tiny"]
        assert repository.served("tiny").target == target.name
        assert_loadable(repository, version)


def test_steps_are_removed_with_their_version(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    for version in range(6, 6 + KEPT_VERSIONS):
        repository.publish(tiny_package, version=version, target=REHEARSAL)

    kept = range(2, 2 + KEPT_VERSIONS)
    assert _folders(repository) == {"tiny"} | {f"tiny_{s}_{n}" for s in STEPS for n in kept}

    for version in range(20, 20 + KEPT_VERSIONS):
        repository.publish(tiny_package, version=version)
    assert _folders(repository) == {"tiny"}


def test_the_version_before_comes_back_with_its_steps(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    good = repository.read_config("tiny")
    assert good is not None
    for version in range(6, 7 + KEPT_VERSIONS):
        repository.publish(tiny_package, version=version, target=REHEARSAL)
        assert repository.restore("tiny", good, instead_of=repository.stamp("tiny"))
        assert_loadable(repository, 5)


def test_a_version_whose_steps_are_gone_does_not_come_back(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    good = repository.read_config("tiny")
    assert good is not None
    repository.publish(tiny_package, version=6, target=REHEARSAL)
    (repository.folder / "tiny_net_1").rename(repository.folder.parent / "elsewhere")

    with pytest.raises(ValueError, match="the files of its version 1 before are gone"):
        repository.restore("tiny", good, instead_of=repository.stamp("tiny"))

    assert_loadable(repository, 6)


def test_a_model_named_like_a_step_is_refused(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    before = sorted(repository.folder.rglob("*"))

    with pytest.raises(ValueError, match="'tiny_net_1', which is a step of 'tiny'"):
        repository.publish(_renamed(tiny_package, "tiny_net_1"), version=1)

    assert sorted(repository.folder.rglob("*")) == before


def test_a_step_gives_way_to_a_model_that_has_its_name(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    repository.publish(_renamed(tiny_package, "tiny_net_2"), version=1)

    for version in range(6, 7 + KEPT_VERSIONS):
        assert repository.publish(tiny_package, version=version, target=REHEARSAL) > 2

    assert repository.models() == ["tiny", "tiny_net_2"]
    assert repository.served("tiny_net_2").package_version == 1
    assert_loadable(repository, 6 + KEPT_VERSIONS)


def test_an_ensemble_of_somebody_else_has_no_parts_of_ours(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.pbtxt").write_text(
        'platform: "ensemble" ensemble_scheduling { step { model_name: "a" model_version: -1 } }'
    )

    assert repository.models() == ["theirs"]
    assert repository.parts("theirs") == ()


def _renamed(package: ModelPackage, name: str) -> ModelPackage:
    manifest = replace(package.manifest, contract=replace(CONTRACT, model=name))
    return ModelPackage(package.folder, manifest)
