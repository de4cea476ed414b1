"""A simulated log, whose truth is known: does the model find what was planted?

Run it with `python -m penchant.training.journeys.benchmarks.simulated`. It looks at four things,
all after a moment from which nothing was learnt: how early the next item comes among all, whether
answers follow a visitor who bought boots and browses coats now, whether channel and hour of the
next visit, the next category and a purchase are told better than by the same shares for all, and
whether the association tables have the planted pairs.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.table import Table

from penchant.training.events.event_log import EventLog, open_event_log, read_log_recipe
from penchant.training.journeys.association_fit import fit_associations
from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.baselines import Baseline, fit_item_knn, fit_popularity
from penchant.training.journeys.benchmarks.benchmark import EpochLines, rank
from penchant.training.journeys.benchmarks.drift_answers import (
    DriftShares,
    drift_histories,
    drift_scores,
    drift_shares,
)
from penchant.training.journeys.benchmarks.next_visits import (
    VisitLosses,
    network_shares,
    next_visits,
    prior_shares,
    true_shares,
    visit_losses,
)
from penchant.training.journeys.benchmarks.planted_pairs import FoundPairs, found_pairs
from penchant.training.journeys.benchmarks.visit_truth import (
    ToldAnswer,
    sampled_cases,
    told_answers,
)
from penchant.training.journeys.blend import Blend, fit_blend
from penchant.training.journeys.build import build_journeys
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.journeys.evaluation_tables import head_table
from penchant.training.journeys.fit import FittedJourneys, fit_journeys
from penchant.training.journeys.head_quality import HeadQualities, head_qualities
from penchant.training.journeys.journey_recipe import (
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
)
from penchant.training.journeys.journey_split import JourneyParts, split_journeys
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import RankingMetrics
from penchant.training.journeys.session_knn import fit_session_knn
from penchant.training.simulation.drift_cases import drift_cases
from penchant.training.simulation.simulate import simulate_log
from penchant.training.simulation.simulated_log import SimulatedLog
from penchant.training.simulation.simulation_config import SimulationConfig

MOST_CASES: Final = 500
"""Most visitors who browse another category than their usual one."""
LOG: Final = SimulationConfig(events=300_000, items=1_000)
"""The log that the command simulates."""
RECIPE: Final = JourneyRecipe(
    name="simulated",
    log="log.yaml",
    network=JourneyNetworkConfig(window=50, profile=50, width=64, num_blocks=2, dropout=0.1),
    fit=JourneyFitConfig(batch_size=32, max_epochs=5, patience=5, loss="full"),
    trainer={"accelerator": "cpu"},
)


@dataclass(frozen=True, kw_only=True)
class SimulatedData:
    """A simulated log, opened and divided."""

    simulated: SimulatedLog
    """The log on disk, with its truth."""
    log: EventLog
    """The log as a user's recipe opens it."""
    journeys: Journeys
    catalogue: Catalogue
    parts: JourneyParts


@dataclass(frozen=True, kw_only=True)
class SimulatedFindings:
    """What a model found of the truth."""

    protocol: str
    """How the log was divided, and what was asked."""
    cases: int
    """Visitors who browse another category than their usual one."""
    drift: dict[str, DriftShares]
    """Model -> what its answers to them are about."""
    visits: int
    """Visits whose channel and hour are told."""
    losses: dict[str, VisitLosses]
    """Prior, network or truth -> logloss on them."""
    heads: HeadQualities
    """Each answer beside the items against its prior, as in a report."""
    told: dict[str, dict[str, ToldAnswer]]
    """Next category or purchase -> prior, network or truth -> how well it is told around views."""
    pairs: dict[str, FoundPairs]
    """Kind of pair -> how many of the planted ones the tables have."""


def simulate_and_divide(
    config: SimulationConfig, recipe: JourneyRecipe, folder: Path
) -> SimulatedData:
    """Write a log into an empty folder, open it, build its journeys and divide them in time."""
    simulated = simulate_log(config, folder / "log")
    log = open_event_log(read_log_recipe(simulated.recipe))
    journeys, catalogue = build_journeys(log, folder / "journeys")
    parts = split_journeys(journeys, recipe.split)
    return SimulatedData(
        simulated=simulated, log=log, journeys=journeys, catalogue=catalogue, parts=parts
    )


def fit_simulated_blend(
    fitted: FittedJourneys, data: SimulatedData, recipe: JourneyRecipe
) -> tuple[Blend, AssociationTables]:
    """Weights learnt on validation targets, and tables of all events before the test part."""
    parts, catalogue, config = data.parts, data.catalogue, recipe.associations
    early = fit_associations(data.log, config, catalogue, before_s=parts.validation_from_s)
    network = partial(fitted.scores, data.journeys)
    blend = fit_blend(network, early, data.journeys, parts.validation, seed=recipe.fit.seed)
    return blend, fit_associations(data.log, config, catalogue, before_s=parts.test_from_s)


def find(
    fitted: FittedJourneys,
    blend: Blend,
    tables: AssociationTables,
    data: SimulatedData,
    recipe: JourneyRecipe,
) -> SimulatedFindings:
    """Compare a fitted model and its rivals with the truth of the test part."""
    parts, journeys = data.parts, data.journeys
    assert parts.test_from_s is not None, "divided in time"
    cases = drift_cases(data.simulated, num_cases=MOST_CASES, since_s=parts.test_from_s)
    net = fitted.net
    batch = drift_histories(cases, journeys, data.catalogue, net.config.length)
    category_of = data.simulated.categories()
    scores = drift_scores(net, blend, tables, _rivals(data), batch)
    heads = sampled_cases(net, journeys, data.catalogue, parts, recipe)
    visits = next_visits(journeys, since_s=parts.test_from_s)
    shares = {
        "prior": prior_shares(journeys, parts, visits),
        "JourneyNet": network_shares(net, journeys, visits),
        "truth": true_shares(data.simulated, journeys, visits),
    }
    return SimulatedFindings(
        protocol=(
            f"{parts.protocol}; drift cases: 4 views of a session of the test part are known, what "
            "came before is mostly about another category, bought in the 60 days before; all items "
            "are ranked and any may be answered"
        ),
        cases=len(cases),
        drift={
            name: drift_shares(cases, each, data.catalogue, category_of)
            for name, each in scores.items()
        },
        visits=len(visits),
        losses={name: visit_losses(each, visits) for name, each in shares.items()},
        heads=head_qualities(heads, net, seed=recipe.fit.seed),
        told=told_answers(heads, data.simulated, journeys, data.catalogue),
        pairs=found_pairs(data.simulated, data.catalogue, tables),
    )


def _rivals(data: SimulatedData) -> dict[str, Baseline]:
    """Baselines that count all events before the test part."""
    journeys, until, codes = data.journeys, data.parts.test_from, data.catalogue.num_codes
    recent = fit_popularity(journeys, until, codes, half_life_days=7.0)
    knn = fit_item_knn(journeys, until, recent)
    return {
        "recent popularity, half-life 7 days": recent,
        "item-kNN, newest 50": knn,
        "item-kNN, newest 3": replace(knn, newest=3),
        "session-kNN": fit_session_knn(journeys, until, recent),
    }


def main(
    folder: Path = Path("simulated"),
    seed: int = 0,
    events: int = LOG.events,
    items: int = LOG.items,
    max_epochs: int = RECIPE.fit.max_epochs,
    num_threads: int = 0,
) -> None:
    """Simulate a log, fit a model on it, compare both with the truth and write the result.

    Args:
        folder: Where checkpoints and result.json go.
        seed: Seed of the log, and of weights, dropout and order.
        events: Rows of the log.
        items: Items of the catalogue.
        max_epochs: Most passes over the training events.
        num_threads: Threads of torch; 0 for as many as it takes.
    """
    if num_threads:
        torch.set_num_threads(num_threads)
    begun = time.perf_counter()
    config = replace(LOG, seed=seed, events=events, items=items)
    recipe = replace(RECIPE, fit=replace(RECIPE.fit, seed=seed, max_epochs=max_epochs))
    with tempfile.TemporaryDirectory() as place:
        data = simulate_and_divide(config, recipe, Path(place))
        fitted = fit_journeys(
            data.journeys, data.catalogue, data.parts, recipe, folder, callbacks=[EpochLines()]
        )
        blend, tables = fit_simulated_blend(fitted, data, recipe)
        findings = find(fitted, blend, tables, data, recipe)
        score = partial(fitted.scores, data.journeys)
        ranked = rank(score, data.journeys, data.parts, recipe)
        facts = data.simulated.facts()
    result = {
        "name": "simulated log",
        "seed": seed,
        "log": {name: facts[name] for name in ("events", "visitors", "sessions", "config")},
        "next_item": ranked.as_dict(),
        **asdict(findings),
        "blend": blend.as_dict(),
        "recipe": asdict(recipe),
        "epochs": fitted.epochs,
        "fit_s": fitted.fit_s,
        "total_s": time.perf_counter() - begun,
        "threads": torch.get_num_threads(),
    }
    (folder / "result.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    _print(findings, ranked, seed)


def _print(findings: SimulatedFindings, ranked: RankingMetrics, seed: int) -> None:
    console = Console()
    caption = f"{findings.protocol}; seed {seed}"
    console.print(
        _table("Next item of the test part", {"network alone": asdict(ranked)}),
        _table(
            f"Top 10 of {findings.cases} visitors who browse another category than usual",
            {name: asdict(each) for name, each in findings.drift.items()},
        ),
        _table(
            f"Logloss of channel and hour of the next visit, {findings.visits:,} visits",
            {name: asdict(each) for name, each in findings.losses.items()},
        ),
        head_table(findings.heads),
        *(
            _table(
                f"{name[:1].upper()}{name[1:]}, {rows['truth'].cases:,} cases around views",
                {who: {"logloss": each.logloss, "AUC": each.auc} for who, each in rows.items()},
            )
            for name, rows in findings.told.items()
        ),
        _table(
            "Planted pairs among the nearest neighbours",
            {name: asdict(each) for name, each in findings.pairs.items()},
            caption=caption,
        ),
    )


def _table(title: str, rows: Mapping[str, Mapping[str, float | None]], caption: str = "") -> Table:
    table = Table(title=title, caption=caption or None, caption_justify="left")
    table.add_column("")
    for column in next(iter(rows.values())):
        table.add_column(column, justify="right")
    for name, numbers in rows.items():
        words = (
            f"{each:.4f}" if isinstance(each, float) else str(each or "")
            for each in numbers.values()
        )
        table.add_row(name, *words)
    return table


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main, as_positional=False)
