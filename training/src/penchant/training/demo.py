"""``penchant demo``: from a table and an event log to three live models, on real shops' data."""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from rich.console import Console

from penchant.clients import JourneyClient, PropensityClient
from penchant.clients.home import Home
from penchant.serving.publish import publish
from penchant.serving.registry import Registry
from penchant.serving.supervisor import running_server
from penchant.training.cpu_threads import at_most_threads
from penchant.training.demo_customers import customer_table, customers_at_the_end
from penchant.training.demo_sessions import visitor_table
from penchant.training.journeys.journey_recipe import read_journey_recipe
from penchant.training.journeys.train import TrainedJourneys, train_journeys
from penchant.training.recipe import read_recipe, shipped_recipe
from penchant.training.split import split_rows
from penchant.training.table import read_table
from penchant.training.tracking import EXPERIMENT
from penchant.training.train import TrainedModel, train_propensity

SESSIONS: Final = "online_shoppers"
JOURNEYS: Final = "online_retail_journeys"
REPEAT: Final = "online_retail_repeat"
DEADLINE_S: Final = 60.0
"""Seconds for all held-out visitors with their reasons, on a machine that may be busy."""


@dataclass(frozen=True)
class Registered:
    """A model that was trained."""

    model: str
    """Its name."""
    version: int
    """Its version in the registry."""
    report: Path
    """The marketer's report, HTML."""


@dataclass(frozen=True)
class Propensities:
    """What the process that trains the propensity models leaves."""

    sessions: Registered
    """Which sessions end in a purchase."""
    repeat: Registered
    """Which customers order again."""
    said: str
    """What it would have said on the terminal."""


def demo(*, home: Path = Path(".penchant")) -> None:
    """Train, register, publish, serve and ask three models, on two real shops' data.

    Which sessions of the UCI Online Shoppers end in a purchase; and, from the log of UCI Online
    Retail, what each customer wants next and whether she orders again.

    Args:
        home: The folder in which everything is made; a second run adds versions to it.
    """
    console = Console()
    console.rule("1/3 train: what will end in a purchase, what is wanted next, who orders again?")
    propensities, journeys = _train(console, home=home)
    sessions, repeat = propensities.sessions, propensities.repeat
    console.rule("2/3 publish, serve and ask")
    for trained in (sessions, _registered(journeys), repeat):
        published = publish(trained.model, version=trained.version, home=home)
        console.print(published, markup=False, highlight=False, soft_wrap=True)
    _ask(console, sessions, journeys, repeat, home=home)
    console.rule("3/3 go on")
    _say_how_to_go_on(console, (sessions.report, journeys.report, repeat.report), home=home)


def _train(console: Console, *, home: Path) -> tuple[Propensities, TrainedJourneys]:
    """Train journeys here and propensities in a process beside, each with half of the cores."""
    # Made before two processes look for them at once.
    Registry(Home(home)).connect().experiment(EXPERIMENT)
    threads = torch.get_num_threads() // 2
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as beside, at_most_threads(threads):
        trained = beside.submit(_train_propensities, home, threads)
        journeys = train_journeys(read_journey_recipe(shipped_recipe(JOURNEYS)), home=home)
        with console.status("training the propensity models"):
            propensities = trained.result()
    console.print(propensities.said, markup=False, highlight=False, soft_wrap=True)
    return propensities, journeys


def _train_propensities(home: Path, threads: int) -> Propensities:
    """Train both, silently: the terminal belongs to the process that has begun this one."""
    said = io.StringIO()
    with redirect_stderr(said), at_most_threads(threads):
        sessions, repeat = (
            train_propensity(read_recipe(shipped_recipe(name)), home=home)
            for name in (SESSIONS, REPEAT)
        )
    return Propensities(_registered(sessions), _registered(repeat), said.getvalue())


def _registered(trained: TrainedModel | TrainedJourneys) -> Registered:
    return Registered(trained.package.contract.model, trained.version, trained.report)


def _ask(
    console: Console,
    sessions: Registered,
    journeys: TrainedJourneys,
    repeat: Registered,
    *,
    home: Path,
) -> None:
    table = read_table(read_recipe(shipped_recipe(SESSIONS)))
    held_out = split_rows(table, table.recipe.split).test
    customers = customers_at_the_end(journeys.data, read_recipe(shipped_recipe(REPEAT)))
    with (
        console.status("starting Triton"),
        running_server(Home(home).model_repository, home=home) as server,
        PropensityClient(server.address, model=sessions.model, deadline_s=DEADLINE_S) as buys,
        PropensityClient(server.address, model=repeat.model, deadline_s=DEADLINE_S) as again,
        JourneyClient(
            server.address, model=journeys.package.contract.model, deadline_s=DEADLINE_S
        ) as wanted,
    ):
        console.print(server.describe(), markup=False, highlight=False, soft_wrap=True)
        scores = buys.score(table.arrow.take(held_out))
        asked = customer_table(customers, journeys, repeat=again, wanted=wanted)
    console.print(visitor_table(scores, table, held_out))
    console.print(asked)


def _say_how_to_go_on(console: Console, reports: Sequence[Path], *, home: Path) -> None:
    option = "" if home == Path(".penchant") else f" --home {home}"
    database = Home(home).mlflow_database
    lines = {
        "read the reports": "\n    ".join(map(str, reports)),
        "look at the runs": f"mlflow ui --backend-store-uri sqlite:///{database}",
        "serve": f"penchant serve{option}",
        "score a file (while it serves)": "penchant score --input rows.parquet "
        f"--output scored.parquet{option}",
        "look at an event log of your own": "penchant inspect data --config log.yaml",
        "measure the speed": f"penchant install perf-analyzer && penchant perf{option}",
    }
    for what, command in lines.items():
        console.print(f"{what}:\n    {command}", markup=False, highlight=False, soft_wrap=True)
