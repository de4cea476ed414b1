"""``penchant demo``: from a table and an event log to three live models, on real shops' data."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.console import Console

from penchant.clients import JourneyClient, PropensityClient
from penchant.clients.home import Home
from penchant.serving.publish import publish
from penchant.serving.supervisor import running_server
from penchant.training.demo_customers import customer_table, customers_at_the_end
from penchant.training.demo_sessions import visitor_table
from penchant.training.journeys.journey_recipe import read_journey_recipe
from penchant.training.journeys.train import TrainedJourneys, train_journeys
from penchant.training.recipe import read_recipe, shipped_recipe
from penchant.training.train import TrainedModel, train_propensity

SESSIONS: Final = "online_shoppers"
JOURNEYS: Final = "online_retail_journeys"
REPEAT: Final = "online_retail_repeat"
DEADLINE_S: Final = 60.0
"""Seconds for all held-out visitors with their reasons, on a machine that may be busy."""


def demo(*, home: Path = Path(".penchant")) -> None:
    """Train, register, publish, serve and ask three models, on two real shops' data.

    Which sessions of the UCI Online Shoppers end in a purchase; and, from the log of UCI Online
    Retail, what each customer wants next and whether she orders again.

    Args:
        home: The folder in which everything is made; a second run adds versions to it.
    """
    console = Console()
    console.rule("1/5 sessions of a shop: will they end in a purchase?")
    sessions = train_propensity(read_recipe(shipped_recipe(SESSIONS)), home=home)
    console.rule("2/5 event log of another shop: what does each customer want next?")
    journeys = train_journeys(read_journey_recipe(shipped_recipe(JOURNEYS)), home=home)
    console.rule("3/5 the same log: will they order again within 30 days?")
    repeat = train_propensity(read_recipe(shipped_recipe(REPEAT)), home=home)
    console.rule("4/5 publish, serve and ask")
    for trained in (sessions, journeys, repeat):
        model = trained.package.contract.model
        published = publish(model, version=trained.version, home=home)
        console.print(published, markup=False, highlight=False, soft_wrap=True)
    _ask(console, sessions, journeys, repeat, home=home)
    console.rule("5/5 go on")
    _say_how_to_go_on(console, sessions, journeys, home=home)


def _ask(
    console: Console,
    sessions: TrainedModel,
    journeys: TrainedJourneys,
    repeat: TrainedModel,
    *,
    home: Path,
) -> None:
    customers = customers_at_the_end(journeys.data, repeat.table.recipe)
    with (
        console.status("starting Triton"),
        running_server(Home(home).model_repository, home=home) as server,
        PropensityClient(
            server.address, model=sessions.package.contract.model, deadline_s=DEADLINE_S
        ) as buys,
        PropensityClient(
            server.address, model=repeat.package.contract.model, deadline_s=DEADLINE_S
        ) as again,
        JourneyClient(
            server.address, model=journeys.package.contract.model, deadline_s=DEADLINE_S
        ) as wanted,
    ):
        console.print(server.describe(), markup=False, highlight=False, soft_wrap=True)
        scores = buys.score(sessions.table.arrow.take(sessions.parts.test))
        asked = customer_table(customers, journeys, repeat=again, wanted=wanted)
    console.print(visitor_table(scores, sessions))
    console.print(asked)


def _say_how_to_go_on(
    console: Console, sessions: TrainedModel, journeys: TrainedJourneys, *, home: Path
) -> None:
    option = "" if home == Path(".penchant") else f" --home {home}"
    database = Home(home).mlflow_database
    lines = {
        "read the reports": f"{sessions.report}\n    {journeys.report}",
        "look at the runs": f"mlflow ui --backend-store-uri sqlite:///{database}",
        "serve": f"penchant serve{option}",
        "score a file (while it serves)": "penchant score --input rows.parquet "
        f"--output scored.parquet{option}",
        "look at an event log of your own": "penchant inspect data --config log.yaml",
        "measure the speed": f"penchant install perf-analyzer && penchant perf{option}",
    }
    for what, command in lines.items():
        console.print(f"{what}:\n    {command}", markup=False, highlight=False, soft_wrap=True)
