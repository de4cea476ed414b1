"""A fitted model and its baselines on the test rows of the same split."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np

from penchant.training.baselines import fit_baselines
from penchant.training.evaluation import NETWORK, Evaluation
from penchant.training.fit import FittedPropensity
from penchant.training.recipe import Recipe
from penchant.training.split import Parts, seen_rows
from penchant.training.table import Table
from penchant.training.tracking import code_revision

EXPLAINED_ROWS: Final = 2048
"""Most test rows that get reasons for the report; drawn at random."""


def assess(fitted: FittedPropensity, table: Table, parts: Parts, recipe: Recipe) -> Evaluation:
    """Score the test rows with the network and with baselines fitted on all the other rows.

    Args:
        fitted: The network, fitted on the same parts.
        table: What the recipe read.
        parts: How its rows were divided.
        recipe: What was fitted.
    """
    baselines = fit_baselines(table, parts, seed=recipe.fit.seed)
    propensity = {NETWORK: fitted.predict(table, parts.test)} | {
        name: baseline.predict(table, parts.test) for name, baseline in baselines.items()
    }
    generator = np.random.default_rng(recipe.split.seed)
    count = min(EXPLAINED_ROWS, len(parts.test))
    explained = np.sort(generator.choice(len(parts.test), count, replace=False))
    base, reason = fitted.explain(table, parts.test[explained])
    columns = recipe.columns
    return Evaluation(
        goals=tuple(goal.name for goal in recipe.goals),
        numeric=columns.numeric,
        categorical=columns.categorical,
        multi_valued=tuple(column.name for column in columns.multi_valued),
        label=table.label[parts.test],
        propensity=propensity,
        raw=table.raw_inputs(parts.test),
        explained=explained,
        base=base,
        reason=reason,
        learnt_rows=len(seen_rows(parts)),
        provenance=_provenance(table, parts, recipe),
    )


def test_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Test metrics, lift and gain by ``test/<goal>/<model>/<metric>``, undefined ones left out."""
    found = {
        f"test/{goal}/{model}/{metric}": value
        for goal in evaluation.goals
        for model, metrics in evaluation.goal(goal).metrics().items()
        for metric, value in metrics.as_dict().items()
    }
    for goal in evaluation.goals:
        for model, bins in evaluation.goal(goal).deciles().items():
            for number, decile in enumerate(bins, start=1):
                found[f"test/{goal}/{model}/decile_{number:02d}/lift"] = decile.lift
                found[f"test/{goal}/{model}/decile_{number:02d}/gain"] = decile.gain
    return {name: value for name, value in found.items() if np.isfinite(value)}


def network_metrics(evaluation: Evaluation) -> dict[str, float]:
    """The network's test metrics as a manifest holds them: ``<goal>/<metric>``."""
    found = {
        f"{goal}/{metric}": value
        for goal in evaluation.goals
        for metric, value in evaluation.goal(goal).metrics()[NETWORK].as_dict().items()
    }
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _provenance(table: Table, parts: Parts, recipe: Recipe) -> dict[str, str]:
    split = recipe.split
    return {
        "Model": recipe.name,
        "Trained": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Data": recipe.place[-80:],
        "Data fingerprint": table.fingerprint,
        "Split": f"{split.by}, seed {split.seed}: {len(parts.test)} test rows held out",
        "Seed": str(recipe.fit.seed),
        "Code revision": code_revision(),
    }
