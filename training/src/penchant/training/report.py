"""The report for a marketer: one HTML file that explains itself and loads nothing.

It says what a score means, how far to trust it, whom the best scores hold and what drives them.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from penchant.training.audience import (
    Driver,
    category_shares,
    drivers,
    numeric_shifts,
    shown,
    suspects,
)
from penchant.training.charts import (
    calibration_chart,
    driver_chart,
    effect_chart,
    gain_chart,
    lift_chart,
    score_chart,
    standalone,
)
from penchant.training.evaluation import NETWORK, Comparison, Evaluation, GoalEvaluation
from penchant.training.metrics import reliability
from penchant.training.page import render_page
from penchant.training.wording import (
    calibration_words,
    meaning_words,
    metric_rows,
    reason_words,
    verdict_words,
)

REPORT_FILE = "report.html"
METRICS_FILE = "metrics.json"
DECILES_FILE = "deciles.json"
TEMPLATE = "report.html.j2"
SHOWN_DRIVERS = 12
SHOWN_EFFECTS = 6
SHOWN_PEOPLE = 8
SHOWN_REASONS = 3
LEAST_REASON = 0.05
"""Logits below which a reason is not worth a line: the odds change by less than 5 %."""


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write ``report.html``, its tables and, for other pages, its charts.

    Beside the page lie ``metrics.json``, ``deciles.json`` and, for each goal, charts as SVG:
    ``goal-1-calibration.svg``, ``-gain``, ``-lift``, ``-scores`` and ``-drivers``.

    Args:
        evaluation: What is known of the model.
        folder: Where the files go; made if it is missing.

    Returns:
        The path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    goals = [evaluation.goal(name) for name in evaluation.goals]
    compared = {goal.name: goal.comparison() for goal in goals}
    sections = [
        _section(evaluation, goal, compared[goal.name], number)
        for number, goal in enumerate(goals, start=1)
    ]
    html = render_page(
        TEMPLATE,
        goals=sections,
        learnt_rows=evaluation.learnt_rows,
        test_rows=len(evaluation.label),
        provenance=evaluation.provenance,
    )
    tables = {
        METRICS_FILE: {name: _metrics(found) for name, found in compared.items()},
        DECILES_FILE: {goal.name: _deciles(goal) for goal in goals},
    }
    for name, content in tables.items():
        (folder / name).write_text(as_json(content), encoding="utf-8")
    for section in sections:
        for name, chart in section["charts"].items():
            if name != "effects" and chart:
                file = folder / f"{section['id']}-{name}.svg"
                file.write_text(standalone(str(chart)), encoding="utf-8")
    path = folder / REPORT_FILE
    path.write_text(html, encoding="utf-8")
    return path


def as_json(content: Mapping[str, Any]) -> str:
    """Indented JSON, with null for numbers that are not defined."""
    text = json.dumps(_without_nan(content), indent=2, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def _section(
    evaluation: Evaluation, goal: GoalEvaluation, compared: Comparison, number: int
) -> dict[str, Any]:
    """All that the template says of one goal."""
    metrics = compared.metrics[NETWORK]
    found = drivers(evaluation, goal)
    deciles = goal.deciles()[NETWORK]
    return {
        "id": f"goal-{number}",
        "name": goal.name,
        "metrics": metrics,
        "top": deciles[0] if deciles else None,
        "meaning": meaning_words(goal.label, goal.score, goal=goal.name),
        "verdict": verdict_words(compared),
        "won": compared.verdict,
        "calibration": calibration_words(metrics),
        "models": metric_rows(compared),
        "deciles": deciles,
        "charts": _charts(goal, found),
        "categories": category_shares(evaluation, goal)[:SHOWN_PEOPLE],
        "numbers": [
            {"feature": s.feature, "top": shown(s.top), "everyone": shown(s.everyone)}
            for s in numeric_shifts(evaluation, goal)[:SHOWN_PEOPLE]
        ],
        "drivers": found[:SHOWN_EFFECTS],
        "suspects": suspects(evaluation, goal, found),
        "examples": _examples(evaluation, goal),
    }


def _charts(goal: GoalEvaluation, found: list[Driver]) -> dict[str, Any]:
    name = goal.name
    deciles = goal.deciles()
    return {
        "calibration": Markup(calibration_chart(reliability(goal.label, goal.score), goal=name)),
        "gain": Markup(gain_chart(deciles, goal=name)),
        "lift": Markup(lift_chart(deciles[NETWORK], goal=name)),
        "scores": Markup(score_chart(goal.label, goal.score, goal=name)),
        "drivers": Markup(driver_chart(found[:SHOWN_DRIVERS])) if found else "",
        "effects": [Markup(effect_chart(driver)) for driver in found[:SHOWN_EFFECTS]],
    }


def _examples(evaluation: Evaluation, goal: GoalEvaluation) -> list[dict[str, Any]]:
    """Explained visitors from the highest to the lowest score, with their strongest reasons."""
    scores, outcomes = goal.score[goal.explained], goal.label[goal.explained]
    if not len(scores):
        return []
    order = np.argsort(-scores, kind="stable")
    places = [order[round(share * (len(order) - 1))] for share in (0, 0.05, 0.25, 0.6, 1)]
    titles = {int(place): "" for place in places}
    missed = order[outcomes[order] == 0]
    if len(missed):
        titles.setdefault(int(missed[0]), "")
    examples = []
    for place in sorted(titles, key=lambda p: -scores[p]):
        row = int(goal.rows[goal.explained[place]])
        strongest = np.argsort(-np.abs(goal.reason[place]), kind="stable")[:SHOWN_REASONS]
        features = [evaluation.features[j] for j in strongest]
        examples.append(
            {
                "score": float(scores[place]),
                "did": bool(outcomes[place]),
                "reasons": [
                    reason_words(feature, shown(evaluation.values(feature)[row]), float(reason))
                    for feature, reason in zip(features, goal.reason[place, strongest], strict=True)
                    if abs(reason) >= LEAST_REASON
                ],
            }
        )
    return examples


def _metrics(compared: Comparison) -> dict[str, Any]:
    return {
        "models": {
            model: metrics.as_dict()
            | {f"{name}_95": asdict(found) for name, found in compared.intervals[model].items()}
            for model, metrics in compared.metrics.items()
        },
        "rival": compared.rival,
        "verdict": compared.verdict,
        "advantage": {name: asdict(found) for name, found in compared.advantage.items()},
    }


def _deciles(goal: GoalEvaluation) -> dict[str, list[dict[str, Any]]]:
    return {model: [asdict(part) for part in parts] for model, parts in goal.deciles().items()}


def _without_nan(value: Any) -> Any:
    """The same content with null for what is not a number, which JSON cannot say."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
