"""``penchant evaluate``: a recipe's model against strong simple ones, on the same folds."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as RichTable

from penchant.clients.home import Home
from penchant.serving.registry import Registry
from penchant.training.baselines import LIGHTGBM, fit_baselines
from penchant.training.evaluation import NETWORK
from penchant.training.fit import MONITOR, fit_propensity
from penchant.training.fit_progress import FitProgress
from penchant.training.metrics import BinaryMetrics, Floats, binary_metrics
from penchant.training.recipe import Recipe
from penchant.training.report import as_json
from penchant.training.split import Parts
from penchant.training.split import folds as fold_rows
from penchant.training.table import Table, read_table
from penchant.training.tracking import log_recipe, tracked_run

SHOWN: dict[str, int] = {
    "auc": 1,
    "average_precision": 1,
    "logloss": -1,
    "brier": -1,
    "ece": -1,
    "calibration_slope": 0,
}
"""Metrics of the table, in order -> 1 where more is better, -1 where less is, 0 where 1 is best."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A number over the folds."""

    mean: float
    deviation: float
    """Standard deviation over the folds, with one degree of freedom less."""
    each: tuple[float, ...]
    """The number in each fold."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossValidation:
    """Held-out quality of all models in each fold."""

    recipe: Recipe
    data_fingerprint: str
    protocol: str
    """How the rows were divided, in words."""
    folds: tuple[Mapping[str, Mapping[str, BinaryMetrics]], ...]
    """Of each fold: goal -> model -> metrics on its test rows."""
    pooled: Mapping[str, Mapping[str, BinaryMetrics]]
    """Goal -> model -> metrics on the test rows of all folds together."""

    @property
    def goals(self) -> tuple[str, ...]:
        """Names of the goals."""
        return tuple(self.pooled)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, the network first."""
        return tuple(next(iter(self.pooled.values())))

    def spread(self, goal: str, model: str, metric: str) -> Spread:
        """One metric of one model over the folds."""
        return _spread([fold[goal][model].as_dict()[metric] for fold in self.folds])

    def difference(self, goal: str, metric: str, *, rival: str = LIGHTGBM) -> Spread:
        """The network minus the rival, fold by fold on the same rows."""
        ours, theirs = self.spread(goal, NETWORK, metric), self.spread(goal, rival, metric)
        return _spread([a - b for a, b in zip(ours.each, theirs.each, strict=True)])

    def flat(self) -> dict[str, float]:
        """All numbers by ``<goal>/<model>/<metric>/...``, undefined ones left out."""
        found: dict[str, float] = {}
        for goal in self.goals:
            for metric in SHOWN:
                spreads = {model: self.spread(goal, model, metric) for model in self.models}
                spreads[f"{NETWORK} - {LIGHTGBM}"] = self.difference(goal, metric)
                for model, spread in spreads.items():
                    found[f"{goal}/{model}/{metric}/mean"] = spread.mean
                    found[f"{goal}/{model}/{metric}/deviation"] = spread.deviation
                for model in self.models:
                    pooled = self.pooled[goal][model].as_dict()[metric]
                    found[f"{goal}/{model}/{metric}/pooled"] = pooled
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def content(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        return {
            "model": self.recipe.name,
            "recipe": json.loads(self.recipe.to_json()),
            "data_fingerprint": self.data_fingerprint,
            "protocol": self.protocol,
            "summary": self.flat(),
            "folds": [
                {
                    goal: {model: metrics.as_dict() for model, metrics in models.items()}
                    for goal, models in fold.items()
                }
                for fold in self.folds
            ],
        }


def evaluate(
    recipe: Recipe,
    *,
    folds: int = 5,
    home: Path = Path(".penchant"),
    tracking_uri: str | None = None,
) -> CrossValidation:
    """Cross-validate a recipe against logistic regression and LightGBM on the same folds.

    Args:
        recipe: Where the table is, what its columns mean, and how to train on it.
        folds: How many times to train, each time tested on another part of the rows.
        home: The folder in which everything is made.
        tracking_uri: The MLflow store; else MLFLOW_TRACKING_URI, else SQLite in ``home``.

    Raises:
        ValueError: the recipe, the table or the store is not usable.
    """
    console = Console(stderr=True)
    place = Home(home)
    table = read_table(recipe)
    recipe = table.recipe
    registry = Registry(place, tracking_uri).connect()
    with tracked_run(registry, run_id=None, name=f"evaluate {recipe.name}"):
        log_recipe(recipe, data_fingerprint=table.fingerprint)
        place.runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.runs, prefix="evaluate-") as folder:
            result = cross_validate(table, folds=folds, folder=Path(folder), console=console)
        path = _write(result, place.reports)
        _log(result, path)
    Console().print(*summary_tables(result), f"written to {path}", sep="\n")
    return result


def cross_validate(table: Table, *, folds: int, folder: Path, console: Console) -> CrossValidation:
    """Fit network and baselines on each fold and score its test rows.

    Args:
        table: The rows and their recipe.
        folds: How many folds.
        folder: Where the fits keep their files.
        console: Where progress is drawn.
    """
    recipe, seed = table.recipe, table.recipe.split.seed
    tested: list[tuple[Parts, dict[str, NDArray[Any]]]] = []
    for number, parts in enumerate(fold_rows(table, folds, seed=seed), start=1):
        title = f"fold {number} of {folds}"
        with FitProgress(console, title=f"{title}: {NETWORK}", monitor=MONITOR) as progress:
            fitted = fit_propensity(
                table, parts, recipe, folder / f"fold-{number}", callbacks=[progress]
            )
        with console.status(f"{title}: baselines"):
            baselines = fit_baselines(table, parts, seed=recipe.fit.seed)
            scores: dict[str, NDArray[Any]] = {NETWORK: fitted.predict(table, parts.test)}
            scores |= {name: model.predict(table, parts.test) for name, model in baselines.items()}
        tested.append((parts, scores))
    rows = np.concatenate([parts.test for parts, _ in tested])
    pooled = {name: np.concatenate([scores[name] for _, scores in tested]) for name in tested[0][1]}
    return CrossValidation(
        recipe=recipe,
        data_fingerprint=table.fingerprint,
        protocol=f"{folds} folds, {recipe.split.by}, seed {seed}",
        folds=tuple(_metrics(table, parts.test, scores) for parts, scores in tested),
        pooled=_metrics(table, rows, pooled),
    )


def summary_tables(result: CrossValidation) -> list[RichTable]:
    """For each goal, models by metrics: mean and standard deviation over the folds."""
    return [_summary_table(result, goal) for goal in result.goals]


def _summary_table(result: CrossValidation, goal: str) -> RichTable:
    table = RichTable(
        title=f"{goal}: {result.protocol}",
        caption="mean ± standard deviation over the folds; pooled slope: all held-out rows at once",
    )
    table.add_column("model")
    for metric in SHOWN:
        table.add_column(metric.replace("_", " "), justify="right")
    table.add_column("pooled slope", justify="right")
    for model in result.models:
        spreads = [result.spread(goal, model, metric) for metric in SHOWN]
        slope = result.pooled[goal][model].calibration_slope
        table.add_row(
            model, *(f"{s.mean:.4f} ± {s.deviation:.4f}" for s in spreads), f"{slope:.3f}"
        )
    table.add_section()
    cells = [
        _difference_cell(result.difference(goal, metric), sign) if sign else ""
        for metric, sign in SHOWN.items()
    ]
    table.add_row(f"{NETWORK} - {LIGHTGBM}", *cells, "")
    return table


def _difference_cell(spread: Spread, sign: int) -> str:
    better = sum(sign * value > 0 for value in spread.each)
    text = f"{spread.mean:+.4f} ± {spread.deviation:.4f}, better in {better}/{len(spread.each)}"
    return f"[green]{text}[/]" if sign * spread.mean > 0 else f"[yellow]{text}[/]"


def _metrics(
    table: Table, rows: NDArray[np.int64], scores: Mapping[str, NDArray[Any]]
) -> dict[str, dict[str, BinaryMetrics]]:
    """Goal -> model -> metrics, `scores` being (B, G) of the given rows."""
    return {
        goal.name: {
            model: binary_metrics(table.label[rows, place], given[:, place])
            for model, given in scores.items()
        }
        for place, goal in enumerate(table.recipe.goals)
    }


def _spread(values: Sequence[float]) -> Spread:
    each: Floats = np.array(values)
    deviation = float(each.std(ddof=1)) if len(each) > 1 else 0.0
    return Spread(mean=float(each.mean()), deviation=deviation, each=tuple(values))


def _write(result: CrossValidation, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    path = folder / f"evaluate-{result.recipe.name}-{moment}.json"
    path.write_text(as_json(result.content()), encoding="utf-8")
    return path


def _log(result: CrossValidation, path: Path) -> None:
    """Leave every fold's metrics, the summary and the file in the MLflow run."""
    mlflow.log_metrics({_metric_name(name): value for name, value in result.flat().items()})
    for number, fold in enumerate(result.folds, start=1):
        for goal, models in fold.items():
            for model, metrics in models.items():
                values = {
                    _metric_name(f"{goal}/{model}/{metric}"): metrics.as_dict()[metric]
                    for metric in SHOWN
                }
                finite = {name: value for name, value in values.items() if np.isfinite(value)}
                mlflow.log_metrics(finite, step=number)
    mlflow.set_tags({"penchant.kind": "evaluation", "penchant.protocol": result.protocol})
    mlflow.log_artifact(str(path))


def _metric_name(name: str) -> str:
    """A name that MLflow takes: letters, digits, and a few signs."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in name)
