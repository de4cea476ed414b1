"""Publishing: whole or not at all, whatever happens to the publisher."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.packages import CONTRACT, raw_rows, score

from penchant.serving.package import ModelPackage
from penchant.serving.repository import KEPT_VERSIONS, Repository
from penchant.serving.session import GraphSession

PUBLISHER_S = 120.0
"""Far more than a publisher takes."""

PUBLISHER = """
import os, resource, signal, sys
from pathlib import Path
from penchant.serving.package import ModelPackage
from penchant.serving.repository import Repository
from penchant.serving.targets.choose import make_target

package, repository, version, target, die_at, file_limit = sys.argv[1:]

def on_step(step):
    if step == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

package = ModelPackage.open(Path(package))
if int(file_limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_limit), int(file_limit)))
try:
    target = make_target(target, engines=Path("none"))
    repository = Repository(Path(repository), on_step=on_step)
    print(repository.publish(package, version=int(version), target=target))
except ValueError as error:
    sys.exit(str(error))
"""


def start_publisher(
    package: ModelPackage,
    repository: Repository,
    *,
    version: int,
    target: str = "cpu",
    die_at: str = "",
    file_limit: int = 0,
) -> subprocess.Popen[str]:
    """Publish in a process of its own, which may be killed or run out of room."""
    arguments = [package.folder, repository.folder, version, target, die_at, file_limit]
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_loadable(repository: Repository, version: int) -> None:
    """Everything that the config names is there, whole, and answers with the version."""
    served = repository.served("tiny")
    assert served.package_version == version
    assert (served.folder / "model.py").is_file()
    session = GraphSession(onnx.load(str(served.folder / "model.onnx")))
    inputs = raw_rows(3)
    answers = session.run(inputs)
    np.testing.assert_allclose(answers["propensity"], score(inputs)["propensity"], atol=1e-6)
    assert answers["version"].ravel().tolist() == [version] * 3
    for spec in CONTRACT.inputs:
        assert (repository.folder / "tiny" / "warmup" / str(served.number) / spec.name).is_file()
    assert served.golden().num_rows > 0


@pytest.fixture
def repository(tmp_path: Path, tiny_package: ModelPackage) -> Repository:
    """A repository with version 5 published."""
    repository = Repository(tmp_path / "model_repository")
    assert repository.publish(tiny_package, version=5) == 1
    return repository


def test_published_model_is_served_whole(repository: Repository) -> None:
    served = repository.served("tiny")

    assert repository.models() == ["tiny"]
    assert (served.number, served.package_version, served.contract) == (1, 5, CONTRACT)
    assert served.outputs == tuple(spec.name for spec in CONTRACT.outputs)
    assert_loadable(repository, 5)


def test_the_runner_imports_nothing_of_penchant(repository: Repository) -> None:
    text = (repository.served("tiny").folder / "model.py").read_text()

    imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert imports
    assert not [line for line in imports if "penchant" in line]


def test_numbers_and_times_only_grow_even_for_an_older_version(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    config = repository.folder / "tiny" / "config.pbtxt"
    in_future = config.stat().st_mtime_ns + 3_600_000_000_000
    os.utime(config, ns=(in_future, in_future))

    assert repository.publish(tiny_package, version=4) == 2

    assert config.stat().st_mtime_ns > in_future
    assert_loadable(repository, 4)


def test_old_versions_are_kept_for_a_while_and_then_removed(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    for version in range(6, 11):
        repository.publish(tiny_package, version=version)

    folders = {p.name for p in (repository.folder / "tiny").iterdir() if p.name.isdigit()}
    assert folders == {str(number) for number in range(6, 6 - KEPT_VERSIONS, -1)}
    assert_loadable(repository, 10)


@pytest.mark.parametrize(
    ("step", "served_after"),
    [("stage", 5), ("place version", 5), ("place warmup", 5), ("commit", 5), ("collect", 6)],
)
def test_a_killed_publisher_leaves_a_repository_that_loads(
    repository: Repository, tiny_package: ModelPackage, step: str, served_after: int
) -> None:
    publisher = start_publisher(tiny_package, repository, version=6, die_at=step)
    publisher.communicate(timeout=PUBLISHER_S)
    assert publisher.returncode < 0

    assert_loadable(repository, served_after)
    before = repository.served("tiny").number
    assert repository.publish(tiny_package, version=7) > before
    assert_loadable(repository, 7)
    assert [path.name for path in repository.staging.iterdir()] == ["lock"]


@pytest.mark.parametrize("file_limit", [100, 2500])
def test_a_publisher_without_room_leaves_the_old_version_and_says_so(
    repository: Repository, tiny_package: ModelPackage, file_limit: int
) -> None:
    before = sorted(repository.folder.rglob("*"))

    publisher = start_publisher(tiny_package, repository, version=6, file_limit=file_limit)
    message = publisher.communicate(timeout=PUBLISHER_S)[1]

    assert publisher.returncode == 1
    assert "File too large" in message
    assert "the version served so far stays" in message
    assert sorted(repository.folder.rglob("*")) == before
    assert [path.name for path in repository.staging.iterdir()] == ["lock"]
    assert_loadable(repository, 5)


def test_publishers_at_the_same_time_wait_for_one_another(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    publishers = [start_publisher(tiny_package, repository, version=v) for v in (6, 7, 8)]
    numbers = [int(publisher.communicate(timeout=PUBLISHER_S)[0]) for publisher in publishers]

    assert sorted(numbers) == [2, 3, 4]
    assert repository.served("tiny").number == 4
    assert_loadable(repository, 6 + numbers.index(4))


def test_a_package_whose_graphs_do_not_fit_changes_nothing(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    manifest = replace(tiny_package.manifest, contract=replace(CONTRACT, numeric=("age_days",)))

    with pytest.raises(ValueError, match="where the contract says"):
        repository.publish(ModelPackage(tiny_package.folder, manifest), version=6)

    assert_loadable(repository, 5)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'absent'"):
        Repository(tmp_path).served("absent")


def test_what_fails_after_the_commit_is_no_failed_publication(
    repository: Repository, tiny_package: ModelPackage, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(step: str) -> None:
        if step == "collect":
            raise OSError(5, "Input/output error")

    number = Repository(repository.folder, on_step=fail).publish(tiny_package, version=6)

    assert repository.served("tiny").number == number
    assert_loadable(repository, 6)
    assert "published, but" in caplog.text


@pytest.mark.parametrize("damage", [b"\xff", b"", b"name: "])
def test_publishing_mends_a_damaged_config(
    repository: Repository, tiny_package: ModelPackage, damage: bytes
) -> None:
    (repository.folder / "tiny" / "config.pbtxt").write_bytes(damage)

    assert repository.publish(tiny_package, version=6) == 2

    assert_loadable(repository, 6)


def test_an_earlier_config_comes_back_newer_than_all(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    earlier = repository.read_config("tiny")
    assert earlier is not None
    repository.publish(tiny_package, version=6)
    rejected = repository.stamp("tiny")
    assert rejected is not None

    stamp = repository.restore("tiny", earlier, instead_of=rejected)

    assert stamp is not None
    assert stamp[0] > rejected[0]
    assert stamp == repository.stamp("tiny")
    assert_loadable(repository, 5)
    assert repository.publish(tiny_package, version=7) == 3


def test_an_earlier_config_does_not_replace_a_later_publication(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    earlier, rejected = repository.read_config("tiny"), repository.stamp("tiny")
    assert earlier is not None
    repository.publish(tiny_package, version=6)

    assert repository.restore("tiny", earlier, instead_of=rejected) is None

    assert_loadable(repository, 6)


def test_the_version_served_before_stays_however_many_were_rejected(
    repository: Repository, tiny_package: ModelPackage
) -> None:
    good = repository.read_config("tiny")
    assert good is not None
    for version in range(6, 7 + KEPT_VERSIONS):
        repository.publish(tiny_package, version=version)
        assert repository.restore("tiny", good, instead_of=repository.stamp("tiny"))

    assert_loadable(repository, 5)
