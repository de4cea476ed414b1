"""The journey report: valid, alone, escaped, and full of the numbers it must hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.journeys.small_logs import log_of
from tests.training.pages import Page

from penchant.training.journeys.blend import Blend
from penchant.training.journeys.build import build_journeys
from penchant.training.journeys.evaluation_metrics import flat_metrics, served_metrics
from penchant.training.journeys.fit import FittedJourneys, new_net
from penchant.training.journeys.head_quality import HOUR, INTENT, PURCHASE
from penchant.training.journeys.journey_data import JourneyData
from penchant.training.journeys.journey_evaluation import (
    LAST_PROTOCOL,
    SERVED,
    UNTOLD,
    UNTOLD_PROTOCOL,
    JourneyEvaluation,
)
from penchant.training.journeys.journey_model import (
    JourneyModel,
    assess_journeys,
    with_statistics,
)
from penchant.training.journeys.journey_recipe import (
    AssociationConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
    JourneySplit,
)
from penchant.training.journeys.journey_report import write_journey_report
from penchant.training.journeys.journey_split import split_journeys

HOSTILE = '<script>alert("x")</script> & </b>'
PERSIAN = "کت زمستانی"
DAY_S = 86_400
RECIPE = JourneyRecipe(
    name="wanted",
    log="none.yaml",
    network=JourneyNetworkConfig(window=5, profile=3, width=8, num_blocks=1),
    associations=AssociationConfig(least_support=2, neighbours=4),
    split=JourneySplit(test=0.2, validation=0.2),
)

Made = tuple[JourneyEvaluation, JourneyModel, JourneyData]


def made(folder: Path) -> Made:
    """An untrained network over a small log in which boots and laces go together."""
    random = np.random.default_rng(0)
    titles = {"boots": HOSTILE, "laces": PERSIAN} | {f"i{at}": f"thing {at}" for at in range(8)}
    rows = []
    for visitor in range(60):
        start = visitor * DAY_S
        for day in range(3):
            seen = [f"i{at}" for at in random.integers(0, 8, 2)]
            seen += ["boots", "laces"] if visitor % 2 else []
            rows += [
                (f"v{visitor}", start + day * DAY_S + 60 * at, action, item)
                for at, item in enumerate(seen)
                for action in ("view", "purchase")[: 1 + at % 2]
            ]
    items = [
        {"item_id": item, "category": f"c{at % 3}", "title": title}
        for at, (item, title) in enumerate(titles.items())
    ]
    log = log_of(rows, items=items)
    journeys, catalogue = build_journeys(log, folder)
    parts = split_journeys(journeys, RECIPE.split)
    data = JourneyData(log=log, journeys=journeys, catalogue=catalogue, parts=parts)
    torch.manual_seed(0)
    net = new_net(journeys, catalogue, parts, RECIPE).folded()
    model = with_statistics(FittedJourneys(net=net, epochs=0, fit_s=0.0), data, RECIPE)
    return assess_journeys(model, data, RECIPE), model, data


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str, Path, Made]:
    """The page, its source, its folder, and what it was made of."""
    folder = tmp_path_factory.mktemp("journey_report")
    everything = made(folder / "journeys")
    html = write_journey_report(*everything, RECIPE, folder / "report").read_text("utf-8")
    page = Page(html)
    page.words = re.sub(r"\s+", " ", page.words)
    return page, html, folder / "report", everything


def test_page_is_whole_and_alone(written: tuple[Page, str, Path, Made]) -> None:
    page, html, _, _ = written
    assert html.startswith("<!DOCTYPE html>")
    assert page.tags["h1"] == 1
    assert not page.tags["script"]
    assert "http:" not in html
    assert "https:" not in html
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value for _, name, value in page.attributes if name == "href" and value}
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_titles_are_shown_as_text(written: tuple[Page, str, Path, Made]) -> None:
    page, html, _, _ = written
    assert "<script" not in html
    assert HOSTILE in page.words
    assert PERSIAN in page.words


def test_numbers_are_those_of_the_evaluation(written: tuple[Page, str, Path, Made]) -> None:
    page, _, folder, (evaluation, _, data) = written
    for name, model in evaluation.models.items():
        assert name in page.words
        for metrics in (model.every, model.by_visitor, *model.slices.values()):
            if metrics.targets:
                assert f"{metrics.ndcg_10:.4f}" in page.words
    assert "New category" in page.words
    assert "Action purchase" in page.words
    assert evaluation.sentence in page.words
    assert f"{data.log.counts.num_read:,} rows were read" in page.words
    assert data.fingerprint in page.words
    saved = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert set(saved["models"]) == set(evaluation.models)


def test_answers_beside_the_items_are_shown_with_their_priors_or_said_to_be_absent(
    written: tuple[Page, str, Path, Made],
) -> None:
    page, _, _, (evaluation, _, _) = written
    assert set(evaluation.heads.found) == {INTENT, HOUR, PURCHASE}
    for each in evaluation.heads.found.values():
        assert f"{each.logloss:.4f} {each.prior_logloss:.4f} {each.gain:+.4f}" in page.words
    assert "No next channel: the log has no channels." in page.words
    assert "how likely a purchase in this session is" in page.words
    flat, served = flat_metrics(evaluation), served_metrics(evaluation)
    purchase = evaluation.heads.found[PURCHASE]
    assert flat[f"test/{PURCHASE}/gain"] == served[f"{PURCHASE}/gain"] == purchase.gain
    assert served[f"{PURCHASE}/auc"] == purchase.auc


def test_a_log_without_purchases_is_promised_none(
    written: tuple[Page, str, Path, Made], tmp_path: Path
) -> None:
    evaluation, model, data = written[3]
    recipe = replace(RECIPE, associations=replace(RECIPE.associations, purchase_actions=()))
    html = write_journey_report(evaluation, model, data, recipe, tmp_path).read_text("utf-8")
    assert "how likely a purchase" not in html


def test_what_the_model_learnt_from_includes_what_the_refresh_did(
    written: tuple[Page, str, Path, Made], tmp_path: Path
) -> None:
    evaluation, model, data = written[3]
    model = replace(model, blend=replace(model.blend, alpha=dict.fromkeys(model.blend.alpha, 1.0)))
    early, late = (int(part.sum()) for part in (data.parts.train_until, data.parts.test_from))
    assert early < late
    for epochs, count in ((1, late), (0, early)):
        recipe = replace(RECIPE, fit=replace(RECIPE.fit, refresh_epochs=epochs))
        html = write_journey_report(evaluation, model, data, recipe, tmp_path).read_text("utf-8")
        assert f"learnt from {count:,} events" in html
        assert ("before the network learnt from those too" in html) == (epochs > 0)


def test_the_protocol_says_what_networks_are_told_and_what_leave_one_out_is_here(
    written: tuple[Page, str, Path, Made],
) -> None:
    page, _, _, (evaluation, _, _) = written
    assert UNTOLD in evaluation.models
    assert UNTOLD_PROTOCOL in page.words
    assert LAST_PROTOCOL in page.words
    assert "Begins a visit" in page.words


def test_pairs_and_examples_are_named_by_title(written: tuple[Page, str, Path, Made]) -> None:
    page, _, _, _ = written
    together = page.words.index("Bought together")
    assert min(page.words.index(name, together) for name in (HOSTILE, PERSIAN)) - together < 200
    assert "did then:" in page.words


def test_metrics_are_flat_and_finite(written: tuple[Page, str, Path, Made]) -> None:
    evaluation = written[3][0]
    flat, served = flat_metrics(evaluation), served_metrics(evaluation)
    assert np.isfinite(list(flat.values())).all()
    assert all(re.fullmatch(r"[\w\-. :/]+", name) for name in flat), "else MLflow refuses them"
    own = evaluation.models[SERVED]
    assert flat[f"test/all/{SERVED}/ndcg_10"] == served["all/ndcg_10"] == own.every.ndcg_10
    assert flat[f"test/new category/{SERVED}/hr_10"] == own.slices["new category"].hr_10


def test_a_model_without_statistics_says_so(
    written: tuple[Page, str, Path, Made], tmp_path: Path
) -> None:
    evaluation, model, data = written[3]
    nothing = dict.fromkeys(model.blend.alpha, 0.0)
    blend: Blend = replace(model.blend, alpha=nothing)
    html = write_journey_report(
        evaluation, replace(model, blend=blend), data, RECIPE, tmp_path
    ).read_text("utf-8")
    assert "the network answers alone" in html
