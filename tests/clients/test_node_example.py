"""Callers without Python: the Node examples against a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.clients.conftest import BEYOND_DOUBLES, LARGE
from tests.clients.lab import Lab
from tests.journey_packages import NUMBERS, TEXT, TinyJourney

from penchant.clients import JourneyClient, PropensityClient
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
    done = _node(example, "score.js", lab.url, "lab", str(descriptors), json.dumps(ROWS))
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
    done = _node(example, "score.js", lab.url, "no_such_model", str(descriptors), "[{}]")
    assert done.returncode == 1
    assert "no_such_model" in done.stderr


NOW_S = 1_700_000_000
EVENTS = [
    {"item": "but-0", "action": "view", "channel": "متجر", "age_s": 86_400},
    {"item": "kožich-3", "action": "purchase", "channel": "web", "time": NOW_S - 5},
    {"action": "cart", "age_s": -3},
    *({"item": f"unheard {at}", "action": "view", "age_s": 1000 - at} for at in range(5)),
]
VISITORS: dict[str, list[dict[str, Any]]] = {
    "tiny_journey": [
        {"events": EVENTS, "exclude": ["حذاء-2", "حذاء-2", "?"], "target_action": "cart"},
        {"events": EVENTS[:2], "allow": ["boots", "أحذية"]},
        {"events": []},
        {"exclude": TEXT.item_id.tolist()},
    ],
    "tiny_numbers": [
        {"events": [{"item": 5_000_000_003, "action": "view", "age_s": 7}], "exclude": [0, 7]},
        {"events": [{"item": 4, "action": "purchase", "time": NOW_S}]},
        {"events": [{"item": "", "action": "view", "time": None}], "exclude": [7]},
    ],
}


@pytest.mark.parametrize("tiny", [TEXT, NUMBERS], ids=["text", "numbers"])
def test_node_gets_the_recommendations_that_python_gets(
    example: Path, journeys: str, tiny: TinyJourney, tmp_path: Path
) -> None:
    model, descriptors = tiny.contract.model, tmp_path / "grpc_service.desc"
    write_descriptors(descriptors)
    words = [journeys, model, str(descriptors), json.dumps(VISITORS[model]), "4", str(NOW_S)]
    done = _node(example, "recommend.js", *words)
    assert done.returncode == 0, done.stderr
    with JourneyClient(journeys, model=model, deadline_s=10) as client:
        expected = client.recommend(VISITORS[model], k=4, now=NOW_S)
    answers = json.loads(done.stdout)
    assert len(answers) == len(expected)
    for answer, one in zip(answers, expected, strict=True):
        assert [each["item"] for each in answer["items"]] == list(one.items)
        assert [each["score"] for each in answer["items"]] == pytest.approx(one.scores)
        for name in ("intents", "channels", "hours"):
            assert [(each["name"], each["score"]) for each in answer[name]] == [
                (what, pytest.approx(score)) for what, score in getattr(one, name)
            ]
        assert answer["purchase"] == pytest.approx(one.purchase)
        assert (answer["unknown"], answer["version"]) == (one.unknown, one.version)


def test_node_keeps_ids_that_its_numbers_cannot_hold(
    example: Path, journeys: str, tmp_path: Path
) -> None:
    model, descriptors = LARGE.contract.model, tmp_path / "grpc_service.desc"
    write_descriptors(descriptors)
    ids = BEYOND_DOUBLES
    events = [{"item": ids[at], "action": "view", "age_s": 9 * at} for at in (0, 4, 11)]
    as_text = [{**event, "item": str(event["item"])} for event in events]
    words = [journeys, model, str(descriptors)]
    visitors = [{"events": as_text, "exclude": list(map(str, ids[1:9:2]))}]
    done = _node(example, "recommend.js", *words, json.dumps(visitors), "5", str(NOW_S))
    assert done.returncode == 0, done.stderr
    with JourneyClient(journeys, model=model, deadline_s=10) as client:
        (one,) = client.recommend([events], exclude=ids[1:9:2], k=5, now=NOW_S)
    (answer,) = json.loads(done.stdout)
    assert [int(each["item"]) for each in answer["items"]] == list(one.items)
    assert all(type(each["item"]) is str for each in answer["items"])
    assert answer["unknown"] == one.unknown == 0
    assert answer["hours"] == list(one.hours) == []  # this model knows no clock and no purchases
    assert "purchase" not in answer
    assert one.purchase is None
    assert set(one.items) <= set(ids)
    for visitor in ({"events": events}, {"exclude": [ids[0]]}):  # rounded by JSON.parse
        done = _node(example, "recommend.js", *words, json.dumps([visitor]), "5")
        assert done.returncode == 1
        assert "is more than a number holds; give its digits as text" in done.stderr


@pytest.mark.parametrize(
    ("model", "item"),
    [
        *(("tiny_numbers", item) for item in ("007", 7.5, True, str(2**63))),
        *(("tiny_journey", item) for item in (7, ["a"])),
    ],
)
def test_node_refuses_ids_of_another_kind(
    example: Path, journeys: str, model: str, item: Any, tmp_path: Path
) -> None:
    descriptors = tmp_path / "grpc_service.desc"
    write_descriptors(descriptors)
    visitor = {"events": [{"item": item, "action": "view"}]}
    words = [journeys, model, str(descriptors), json.dumps([visitor]), "4"]
    done = _node(example, "recommend.js", *words)
    assert done.returncode == 1
    kind = "text" if model == "tiny_journey" else "integers"
    assert f"item: the model's items are {kind}, got {json.dumps(item)}" in done.stderr


@pytest.mark.parametrize(
    ("visitor", "items", "message"),
    [
        ({"events": [{"item": "a", "action": "buy"}]}, "4", "the model knows no buy"),
        ({"events": [{"item": "a"}]}, "4", "every event needs one"),
        ({"exclude": list("abcdefghijklm")}, "4", "exclude: at most 12, got 13"),
        ({"exclude": ["a", None]}, "4", "exclude: an id is missing"),
        ({"exclude": [7]}, "4", "exclude: the model's items are text, got 7"),
        ({"exclude": "a"}, "4", "exclude: expected a list"),
        ({"events": [{"item": "a", "action": "view", "time": 1, "age_s": 1}]}, "4", "got both"),
        ({"events": [{"item": "a", "action": "view", "time": "1"}]}, "4", "seconds as a number"),
        ({}, "0", "items: expected 1 to 5, got 0"),
    ],
)
def test_node_refuses_what_python_refuses(
    example: Path, journeys: str, visitor: dict[str, Any], items: str, message: str, tmp_path: Path
) -> None:
    descriptors = tmp_path / "grpc_service.desc"
    write_descriptors(descriptors)
    words = [journeys, "tiny_journey", str(descriptors), json.dumps([visitor]), items]
    done = _node(example, "recommend.js", *words)
    assert done.returncode == 1
    assert message in done.stderr


def _node(example: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", program, *words],
        cwd=example,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
