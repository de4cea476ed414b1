"""A caller without Python: the Node example against a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.clients.lab import Lab

from penchant.clients import PropensityClient
from penchant.clients.descriptors import write_descriptors

EXAMPLE = Path(__file__).parents[2] / "clients" / "examples" / "node"
ROWS = [
    {"age": 41.5, "city": "Łódź", "channel": 7, "tags": ["boty", "أحذية"]},
    {"basket": 3, "city": True, "channel": "?", "tags": "boty | kurtki||a|b"},
    {},
]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages, in a folder of its own."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        pytest.skip(f"npm cannot install here: {done.stderr[-300:]}")
    return folder


def test_node_gets_the_scores_that_python_gets(example: Path, lab: Lab, tmp_path: Path) -> None:
    descriptors = tmp_path / "grpc_service.desc"
    assert str(descriptors) in write_descriptors(descriptors)
    done = subprocess.run(
        ["node", "score.js", lab.url, "lab", str(descriptors), json.dumps(ROWS)],
        cwd=example,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    with PropensityClient(lab.url, model="lab", deadline_s=10) as client:
        scores = client.score(ROWS)
    assert len(answers) == len(ROWS)
    for row, answer in enumerate(answers):
        assert answer["unknown"] == scores.unknown[row]
        assert answer["version"] == scores.version[row]
        for goal, told in enumerate(answer["goals"]):
            assert told["goal"] == scores.goals[goal]
            assert told["propensity"] == pytest.approx(scores.propensity[row, goal])
            assert [reason["effect"] for reason in told["reasons"]] == pytest.approx(
                [reason.effect for reason in scores.reasons(row, goal)]
            )


def test_node_example_says_what_is_wrong(example: Path, lab: Lab, tmp_path: Path) -> None:
    descriptors = tmp_path / "grpc_service.desc"
    write_descriptors(descriptors)
    done = subprocess.run(
        ["node", "score.js", lab.url, "no_such_model", str(descriptors), "[{}]"],
        cwd=example,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "no_such_model" in done.stderr
