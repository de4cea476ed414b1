"""The report: valid, self-contained, escaped, and full of the numbers it must hold."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.training.evaluations import ARABIC, EMOJI, HOSTILE, PERSIAN, made_up
from tests.training.pages import Page

from penchant.training.baselines import LIGHTGBM, LOGISTIC
from penchant.training.charts import lift_chart, standalone
from penchant.training.evaluation import NETWORK, Evaluation
from penchant.training.metrics import binary_metrics, deciles
from penchant.training.report import as_json, write_report


def read(evaluation: Evaluation, folder: Path) -> tuple[Page, str]:
    """Write a report and parse it."""
    html = write_report(evaluation, folder).read_text(encoding="utf-8")
    page = Page(html)
    page.words = re.sub(r"\s+", " ", page.words)
    return page, html


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str, Path]:
    """The page of the made-up evaluation, its source and its folder."""
    folder = tmp_path_factory.mktemp("made") / "deep" / "report"
    return *read(made_up(), folder), folder


def test_page_is_whole_accessible_and_alone(written: tuple[Page, str, Path]) -> None:
    page, html, _ = written
    assert html.startswith("<!DOCTYPE html>")
    assert page.tags["h1"] == 1
    assert page.tags["h2"] >= 5
    assert not page.tags["script"]
    assert "http:" not in html
    assert "https:" not in html
    assert not re.search(r"url\((?!#)|@import", html)
    outside = [
        value for _, name, value in page.attributes
        if name in ("src", "href") and not str(value).startswith("#")
    ]  # fmt: skip
    assert outside == []
    labels = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == page.tags["svg"] >= 8
    assert all(labels)


def test_ids_are_unique_and_links_lead_somewhere(written: tuple[Page, str, Path]) -> None:
    page, html, _ = written
    ids = Counter(value for _, name, value in page.attributes if name == "id")
    assert [name for name, count in ids.items() if count > 1] == []
    linked = {value for _, name, value in page.attributes if name == "href" and value}
    used = {value[1:] for value in linked} | set(re.findall(r"url\(#([^)]+)\)", html))
    assert used <= set(ids)


def test_hostile_and_foreign_text_is_shown_as_text(written: tuple[Page, str, Path]) -> None:
    page, html, _ = written
    assert "<script" not in html
    shown = re.sub(r"\s+", " ", HOSTILE)
    assert shown in page.words
    for text in (PERSIAN, ARABIC, EMOJI):
        assert text in page.words


def test_numbers_are_those_of_the_evaluation(written: tuple[Page, str, Path]) -> None:
    evaluation = made_up()
    page, _, _ = written
    label, scores = evaluation.label[:, 0], evaluation.propensity
    for model in (NETWORK, LOGISTIC, LIGHTGBM):
        found = binary_metrics(label, scores[model][:, 0])
        assert model in page.words
        for value in (found.auc, found.average_precision, found.logloss, found.brier):
            assert f"{value:.4f}" in page.words
    top = deciles(label, scores[NETWORK][:, 0])[0]
    assert f"{top.lift:.1f} \N{MULTIPLICATION SIGN}" in page.words
    assert f"{100 * top.gain:.0f} %" in page.words
    assert "The model learnt from 2,400 visitors" in page.words
    assert "c0ffee" in page.words


@pytest.mark.parametrize(
    ("swap", "words"),
    [
        ({}, "earned its place: it beats"),
        ({NETWORK: LIGHTGBM, LIGHTGBM: NETWORK}, "did not earn its place"),
        ({LIGHTGBM: NETWORK, LOGISTIC: NETWORK}, "did not clearly earn its place"),
    ],
)
def test_verdict_is_honest(tmp_path: Path, swap: dict[str, str], words: str) -> None:
    models = dict(made_up().propensity)
    changed = {name: models[swap.get(name, name)] for name in models}
    page, _ = read(made_up(propensity=changed), tmp_path)
    assert words in page.words


def test_tables_lie_beside_the_page(written: tuple[Page, str, Path]) -> None:
    evaluation = made_up()
    _, _, folder = written
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics) == list(evaluation.goals)
    network = metrics[evaluation.goals[0]]["models"][NETWORK]
    assert network["auc_95"]["low"] < network["auc"] < network["auc_95"]["high"]
    assert metrics["leave"]["models"][NETWORK]["calibration_slope"] is None  # constant scores
    parts = json.loads((folder / "deciles.json").read_text(encoding="utf-8"))
    assert sum(part["rows"] for part in parts["leave"][LIGHTGBM]) == 514


def test_charts_lie_beside_the_page_too(written: tuple[Page, str, Path]) -> None:
    _, _, folder = written
    names = {"calibration", "gain", "lift", "scores", "drivers"}
    wanted = {f"goal-{number}-{name}.svg" for number in (1, 2) for name in names}
    assert {path.name for path in folder.glob("*.svg")} == wanted
    for path in folder.glob("*.svg"):
        Page(path.read_text(encoding="utf-8"))


def test_one_outcome_and_few_rows_still_make_a_page(tmp_path: Path) -> None:
    evaluation = made_up(rows=12)
    page, _ = read(made_up(rows=12, label=np.ones_like(evaluation.label)), tmp_path)
    assert "Few cases" in page.words
    assert "unknown" in page.words
    empty, _ = read(made_up(rows=12, label=np.full_like(evaluation.label, np.nan)), tmp_path)
    assert "0 of 0 test visitors" in empty.words


def test_a_chart_can_stand_alone() -> None:
    label = np.repeat([1.0, 0.0], 50)
    svg = standalone(lift_chart(deciles(label, np.linspace(1, 0, 100)), goal=HOSTILE))
    assert svg.startswith("<svg xmlns=")
    Page(svg)


def test_json_has_null_for_what_is_not_a_number() -> None:
    text = as_json({"a": [math.nan, 1.5], "b": {"c": math.inf}, "d": (1, "żółty")})
    assert json.loads(text) == {"a": [None, 1.5], "b": {"c": None}, "d": [1, "żółty"]}
