"""The marketer's report of a journey model: one HTML file that explains itself and loads nothing.

Letters: T targets, N item codes, S statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.catalogue import FIRST_CODE, Catalogue
from penchant.training.journeys.evaluation_metrics import by_slice
from penchant.training.journeys.head_quality import HeadQualities
from penchant.training.journeys.journey_data import JourneyData
from penchant.training.journeys.journey_evaluation import (
    BEGINS,
    LAST,
    LAST_PROTOCOL,
    OURS,
    SERVED,
    JourneyEvaluation,
    ModelRanking,
)
from penchant.training.journeys.journey_examples import journey_examples
from penchant.training.journeys.journey_model import JourneyModel
from penchant.training.journeys.journey_recipe import JourneyRecipe
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import RankingMetrics
from penchant.training.journeys.raw_histories import title_of
from penchant.training.page import render_page
from penchant.training.report import METRICS_FILE, REPORT_FILE
from penchant.training.tracking import code_revision

TEMPLATE: Final = "journeys/journey_report.html.j2"
SHOWN_PAIRS: Final = 12
METRICS: Final = {"NDCG@10": "ndcg_10", "HR@10": "hr_10", "HR@20": "hr_20", "MRR@20": "mrr_20"}
STATISTIC_TITLES: Final = {
    "bought_together": "Bought together",
    "viewed_together": "Viewed together",
    "bought_after_viewing": "Bought after viewing",
    "popular": "Most popular recently",
}
RULE_WORDS: Final = {"drop": "left out", "keep": "kept", "refuse": "would have stopped the run"}


def write_journey_report(
    evaluation: JourneyEvaluation,
    model: JourneyModel,
    data: JourneyData,
    recipe: JourneyRecipe,
    folder: Path,
) -> Path:
    """Write ``report.html`` and, beside it, the tables as ``metrics.json``.

    Args:
        evaluation: All models on the test targets.
        model: What is served.
        data: The log, its journeys and how they were divided.
        recipe: What was trained.
        folder: Where the files go; made if it is missing.

    Returns:
        The path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evaluation.save(folder / METRICS_FILE)
    served = evaluation.models[SERVED]
    learnt = data.parts.test_from if recipe.fit.refresh_epochs else data.parts.train_until
    html = render_page(
        TEMPLATE,
        model=recipe.name,
        log=data.log.recipe.name,
        learnt_events=int(learnt.sum()),
        learnt_visitors=int((learnt > 0).sum()),
        test_events=served.every.targets,
        items=evaluation.num_items,
        cards=_cards(evaluation),
        heads=_heads(data.journeys, data.catalogue, recipe),
        qualities=list(_qualities(evaluation.heads)),
        no_heads=evaluation.heads.absent,
        blend=_blend(model, recipe),
        verdict=evaluation.sentence,
        won=evaluation.earned,
        protocol=f"{evaluation.protocol[:1].upper()}{evaluation.protocol[1:]}.",
        metrics=[*METRICS, "Coverage"],
        slices=list(_slices(evaluation)),
        examples=journey_examples(model, data, recipe),
        pairs=list(_pairs(model.tables, data)),
        **_data(data),
        provenance=_provenance(data, recipe),
    )
    path = folder / REPORT_FILE
    path.write_text(html, encoding="utf-8")
    return path


def _cards(evaluation: JourneyEvaluation) -> list[dict[str, str]]:
    served = evaluation.models[SERVED]
    chance = 10 / evaluation.num_items
    cards = [
        {
            "value": f"{100 * served.every.hr_10:.1f} of 100",
            "words": "times, what came next was among the first 10 items of the list; "
            f"by blind choice {100 * chance:.2f}",
        },
        {
            "value": f"{served.every.hr_10 / chance:,.0f} times",
            "words": "as often as blind choice among all items",
        },
        {
            "value": f"{100 * served.coverage_20:.0f} %",
            "words": "of the catalogue is among the first 20 of some list",
        },
    ]
    if evaluation.difference is not None:
        best = evaluation.models[evaluation.difference.baseline].every.ndcg_10
        share = served.every.ndcg_10 / max(best, 1e-12) - 1
        words = f"NDCG@10, compared with the best simple model ({evaluation.difference.baseline})"
        cards.append({"value": f"{100 * share:+.0f} %", "words": words})
    return cards


def _heads(journeys: Journeys, catalogue: Catalogue, recipe: JourneyRecipe) -> list[str]:
    heads = ["the categories the visitor is likely to want"] if catalogue.categories else []
    heads += ["the channel of the next visit"] if journeys.channels else []
    heads += ["the hour of the week of the next visit"] if journeys.has_clock else []
    buys = recipe.purchase_codes(journeys.actions)
    return [*heads, *(["how likely a purchase in this session is"] if buys else [])]


def _qualities(heads: HeadQualities) -> Iterable[dict[str, Any]]:
    for name, each in heads.found.items():
        yield {
            "name": name[:1].upper() + name[1:],
            "cases": each.cases,
            "cells": [
                f"{each.logloss:.4f}",
                f"{each.prior_logloss:.4f}",
                f"{each.gain:+.4f}",
                f"{each.low:+.4f} to {each.high:+.4f}",
                ""
                if each.auc is None
                else f"{each.auc:.4f} ({each.auc_low:.4f} to {each.auc_high:.4f})",
            ],
        }


def _blend(model: JourneyModel, recipe: JourneyRecipe) -> dict[str, Any]:
    blend = model.blend
    rows = [
        {"name": STATISTIC_TITLES[name], "weight": weight}
        for name, weight in blend.alpha.items()
        if weight > 0
    ]
    if not blend.network:
        words = (
            "As the recipe asks, one association statistic answers without the network, which was "
            "not trained: what is said beside the items is what is true of all visitors, and the "
            "numbers that stand for a visitor mean nothing."
        )
    elif rows:
        words = (
            "The score blends the network with counted association statistics. Their weights were "
            f"learnt on {blend.targets:,} validation events, whose NDCG@10 they moved from "
            f"{blend.ndcg_before:.4f} to {blend.ndcg:.4f}"
            f"{', before the network learnt from those too' if recipe.fit.refresh_epochs else ''}."
        )
    else:
        words = (
            "Association statistics were tried beside the network; on validation events they did "
            "not help, so that the network answers alone."
        )
    return {"words": words, "rows": rows}


def _slices(evaluation: JourneyEvaluation) -> Iterable[dict[str, Any]]:
    words = {
        "all": "",
        "by visitor": "The same, with every visitor counting alike however much she did.",
        "new category": "What came next was of another category than the visitor's usual one: "
        "the hard part, which history alone does not give.",
        BEGINS: "What came next began a visit: nothing that she does now says what she came for.",
        LAST: f"{LAST_PROTOCOL}.",
        "met before": "The visitor had met the item before.",
        "new to the visitor": "The visitor meets the item for the first time.",
    }
    ranked = sorted(evaluation.models.items(), key=lambda pair: -pair[1].every.ndcg_10)
    for place, own in by_slice(evaluation.models[SERVED]).items():
        yield {
            "title": "All test events" if place == "all" else place.capitalize(),
            "words": words.get(place, ""),
            "targets": own.targets,
            "visitors": own.visitors,
            "rows": [
                {
                    "model": name,
                    "ours": name in OURS,
                    "cells": _cells(by_slice(model)[place], model if place == "all" else None),
                }
                for name, model in ranked
            ],
        }


def _cells(metrics: RankingMetrics, whole: ModelRanking | None) -> list[str]:
    values = [getattr(metrics, name) for name in METRICS.values()]
    cells = [f"{value:.4f}" if np.isfinite(value) else "" for value in values]
    return [*cells, f"{100 * whole.coverage_20:.0f} %" if whole else ""]


def _pairs(tables: AssociationTables, data: JourneyData) -> Iterable[dict[str, Any]]:
    """Of each statistic the pairs that count most: by weight times how often the item is met.

    That is the pair's own term of the log-likelihood ratio. Recent events count more where the
    statistics know what is popular.
    """
    met = tables.popularity.astype(np.float64)
    if not met.any():
        known = np.asarray(data.journeys.item)
        met = np.bincount(known, minlength=tables.num_codes).astype(np.float64)
    for at, name in enumerate(tables.names[: len(tables.code)]):
        strength = tables.weight[at] * met[:, None]
        best = np.argsort(-strength, axis=None, kind="stable")[: 4 * SHOWN_PAIRS]
        rows: dict[frozenset[int], dict[str, str]] = {}
        for place in best.tolist():
            item, slot = divmod(place, strength.shape[1])
            other = int(tables.code[at, item, slot])
            if strength[item, slot] > 0 and other >= FIRST_CODE:
                names = {
                    "item": title_of(item, data.catalogue),
                    "other": title_of(other, data.catalogue),
                }
                rows.setdefault(frozenset((item, other)), names)
        if rows:
            yield {"title": STATISTIC_TITLES[name], "rows": list(rows.values())[:SHOWN_PAIRS]}


def _data(data: JourneyData) -> dict[str, Any]:
    counts, journeys = data.log.counts, data.journeys
    rules = [
        {
            "name": count.rule.replace("_", " "),
            "done": RULE_WORDS[count.setting],
            "rows": count.rows,
        }
        for count in counts.rules
    ]
    lengths = journeys.lengths
    shown: Mapping[str, str] = {
        "Visitors": f"{len(journeys):,}",
        "Events": f"{journeys.num_events:,}",
        "Events of a visitor": f"{int(np.median(lengths)):,} at the middle, "
        f"{int(lengths.max()):,} at most",
        "Items": f"{len(data.catalogue.item_id):,}",
        "Categories": f"{len(data.catalogue.categories):,}",
        "Actions": ", ".join(journeys.actions),
        "Channels": ", ".join(journeys.channels) or "the log has none",
    }
    left_out = {name: f"{count:,}" for name, count in data.parts.left_out.items() if count}
    others = {f"Test events not predicted: {name}": count for name, count in left_out.items()}
    return {
        "rows_read": counts.num_read,
        "rows_kept": counts.num_kept,
        "rules": rules,
        "counts": {**shown, **others},
    }


def _provenance(data: JourneyData, recipe: JourneyRecipe) -> dict[str, str]:
    return {
        "Model": recipe.name,
        "Trained": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Log": data.log.recipe.name,
        "Data fingerprint": data.fingerprint,
        "Seed": str(recipe.fit.seed),
        "Code revision": code_revision(),
    }
