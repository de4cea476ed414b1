"""``penchant demo``: from a table to a live, explained propensity endpoint, on real shop data."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table as RichTable

from penchant.clients import PropensityClient, Scores
from penchant.clients.home import Home
from penchant.serving.publish import publish
from penchant.serving.supervisor import running_server
from penchant.training.recipe import read_recipe, shipped_recipe
from penchant.training.train import TrainedModel, train_propensity

RECIPE: Final = "online_shoppers"
SHOWN_VISITORS: Final = 12
SHOWN_REASONS: Final = 3
DEADLINE_S: Final = 60.0
"""Seconds for all held-out visitors with their reasons, on a machine that may be busy."""


def demo(*, home: Path = Path(".penchant")) -> None:
    """Train, register, publish, serve and score on the UCI Online Shoppers sessions.

    Args:
        home: The folder in which everything is made; a second run adds a version to it.
    """
    console = Console()
    recipe = read_recipe(shipped_recipe(RECIPE))
    console.rule("1/4 train and register")
    trained = train_propensity(recipe, home=home)
    console.rule("2/4 publish")
    published = publish(recipe.name, version=trained.version, home=home)
    console.print(published, markup=False, highlight=False, soft_wrap=True)
    console.rule("3/4 serve and score held-out visitors")
    with (
        console.status("starting Triton"),
        running_server(Home(home).model_repository, home=home) as server,
        PropensityClient(server.address, model=recipe.name, deadline_s=DEADLINE_S) as client,
    ):
        console.print(server.describe(), markup=False, highlight=False, soft_wrap=True)
        rows = trained.parts.test
        scores = client.score(trained.table.arrow.take(rows))
    console.print(visitor_table(scores, trained))
    console.rule("4/4 go on")
    _say_how_to_go_on(console, trained, home=home)


def visitor_table(scores: Scores, trained: TrainedModel) -> RichTable:
    """Visitors from the whole range of scores: propensity, strongest reasons, model version.

    Args:
        scores: Answers for the test rows, in their order.
        trained: The model that gave them.
    """
    goal = scores.goals[0]
    table = RichTable(
        title=f"{len(scores)} held-out visitors scored over gRPC, {SHOWN_VISITORS} shown"
    )
    table.add_column("visitor", justify="right")
    table.add_column(f"propensity: {goal}", justify="right")
    table.add_column("strongest reasons (▲ raises, ▼ lowers)")
    table.add_column(f"{goal}?")
    table.add_column("version", justify="right")
    by_score = np.argsort(-scores.for_goal(goal), kind="stable")
    shown = by_score[np.linspace(0, len(by_score) - 1, SHOWN_VISITORS).round().astype(int)]
    for place in shown:
        row = int(trained.parts.test[place])
        reasons = "\n".join(
            f"{'▲' if reason.effect > 0 else '▼'} {reason.feature} {reason.effect:+.2f}"
            for reason in scores.reasons(int(place), goal, top=SHOWN_REASONS)
        )
        did = {1.0: "yes", 0.0: "no"}.get(float(trained.table.label[row, 0]), "?")
        score = f"{scores.for_goal(goal)[place]:.1%}"
        table.add_row(str(row), score, reasons, did, str(scores.version[place]))
    return table


def _say_how_to_go_on(console: Console, trained: TrainedModel, *, home: Path) -> None:
    option = "" if home == Path(".penchant") else f" --home {home}"
    database = Home(home).mlflow_database
    lines = {
        "read the report": f"{trained.report}",
        "look at the runs": f"mlflow ui --backend-store-uri sqlite:///{database}",
        "serve": f"penchant serve{option}",
        "score a file (while it serves)": "penchant score --input rows.parquet "
        f"--output scored.parquet{option}",
        "measure the speed": f"penchant install perf-analyzer && penchant perf{option}",
    }
    for what, command in lines.items():
        console.print(f"{what}:\n    {command}", markup=False, highlight=False, soft_wrap=True)
