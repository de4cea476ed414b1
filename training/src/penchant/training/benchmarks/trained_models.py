"""Trains a small model of each kind and writes their packages, to see what precision costs quality.

python -m penchant.training.benchmarks.trained_models --folder models

The propensity model learns from the shipped table of sessions, the journey model from a simulated
log with everything a journey model has: categories, channels, a clock, purchases and statistics.
Into `models/propensity` and `models/journey` go `package` and `net.pt2`, the package's net as
torch.export saves it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from penchant.clients.journey_contract import JourneyContract
from penchant.training.fit import fit_propensity
from penchant.training.journeys.fit import fit_journeys
from penchant.training.journeys.journey_data import read_journeys
from penchant.training.journeys.journey_export import trace_journey_net
from penchant.training.journeys.journey_model import serve_journeys, with_statistics
from penchant.training.journeys.journey_packaging import write_journey_package
from penchant.training.journeys.journey_recipe import (
    AssociationConfig,
    JourneyBudget,
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
)
from penchant.training.net_export import trace_net
from penchant.training.network_config import NetworkConfig
from penchant.training.packaging import write_package
from penchant.training.recipe import FitConfig, read_recipe, shipped_recipe
from penchant.training.simulation.simulate import simulate_log
from penchant.training.simulation.simulation_config import SimulationConfig
from penchant.training.split import split_rows
from penchant.training.table import read_table


def train_propensity_model(folder: Path, *, epochs: int, trainer: dict[str, Any]) -> None:
    """Fit the shipped recipe for a few passes, with two trunks and no teacher.

    Args:
        folder: Where the model goes.
        epochs: Most passes over the rows.
        trainer: Lightning's options.
    """
    recipe = replace(
        read_recipe(shipped_recipe("online_shoppers")),
        network=NetworkConfig(trunks=2),
        fit=FitConfig(max_epochs=epochs, distillation=0.0),
        trainer=trainer,
    )
    table = read_table(recipe)
    parts = split_rows(table, recipe.split)
    fitted = fit_propensity(table, parts, table.recipe, folder / "fit")
    package = folder / "package"
    write_package(fitted, table, parts.test, table.recipe, package, metrics={})
    torch.export.save(trace_net(fitted.served), folder / "net.pt2")


def train_journey_model(folder: Path, *, events: int, epochs: int, trainer: dict[str, Any]) -> None:
    """Fit a simulated log of a shop with 2,000 items.

    Args:
        folder: Where the log and the model go.
        events: Events of the log.
        epochs: Passes over them.
        trainer: Lightning's options.
    """
    simulate_log(SimulationConfig(events=events, items=2_000, seed=7), folder / "log")
    recipe = JourneyRecipe(
        name="journey",
        log=str(folder / "log" / "log.yaml"),
        network=JourneyNetworkConfig(window=30, profile=10),
        fit=JourneyFitConfig(max_epochs=epochs, refresh_epochs=0),
        associations=AssociationConfig(use=("bought_together", "popular")),
        trainer=trainer,
        budget=JourneyBudget(num_items=100, max_exclude=8, max_allow=2),
    )
    data = read_journeys(recipe, folder / "columns")
    fitted = fit_journeys(data.journeys, data.catalogue, data.parts, recipe, folder / "fit")
    model = with_statistics(fitted, data, recipe)
    # Weights by hand: those that are found may be 0, and the graph is to hold the statistics.
    alpha = dict.fromkeys(recipe.associations.use, 0.5)
    model = replace(model, blend=replace(model.blend, alpha=alpha))
    served = serve_journeys(model, data, recipe)
    package = write_journey_package(
        served,
        data.journeys,
        data.catalogue,
        data.parts.test,
        recipe,
        folder / "package",
        metrics={},
        blend=model.blend.as_dict(),
    )
    assert isinstance(package.contract, JourneyContract)
    torch.export.save(trace_journey_net(served, package.contract), folder / "net.pt2")


def main(folder: Path, small: bool = False, device: str = "auto") -> None:
    """Train and write both.

    Args:
        folder: Where they go.
        small: One pass over few events, to see that it runs.
        device: Lightning's accelerator: auto, cpu or cuda.
    """
    trainer = {"accelerator": device}
    train_propensity_model(folder / "propensity", epochs=1 if small else 12, trainer=trainer)
    train_journey_model(
        folder / "journey",
        events=6_000 if small else 150_000,
        epochs=1 if small else 5,
        trainer=trainer,
    )


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main, as_positional=False)
