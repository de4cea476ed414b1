"""Numbers of a journey model's evaluation by name, for MLflow and the manifest."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from penchant.training.journeys.journey_evaluation import SERVED, JourneyEvaluation, ModelRanking
from penchant.training.journeys.ranking import RankingMetrics


def flat_metrics(evaluation: JourneyEvaluation) -> dict[str, float]:
    """All numbers by ``test/<slice>/<model>/<metric>``, undefined ones left out.

    Those of the answers beside the items are ``test/<head>/<metric>``.
    """
    found = {f"test/{name}": value for name, value in _head_metrics(evaluation).items()}
    for name, model in evaluation.models.items():
        for place, metrics in by_slice(model).items():
            for metric, value in metrics.as_dict().items():
                found[f"test/{place}/{name}/{metric}"] = value
        found[f"test/all/{name}/coverage_20"] = model.coverage_20
    return {name: value for name, value in found.items() if np.isfinite(value)}


def served_metrics(evaluation: JourneyEvaluation) -> dict[str, float]:
    """What a manifest holds: ``<slice>/<metric>`` of what is served, and ``<head>/<metric>``."""
    found = _head_metrics(evaluation) | {
        f"{place}/{metric}": value
        for place, metrics in by_slice(evaluation.models[SERVED]).items()
        for metric, value in metrics.as_dict().items()
    }
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _head_metrics(evaluation: JourneyEvaluation) -> dict[str, float]:
    return {
        f"{name}/{metric}": float(value)
        for name, quality in evaluation.heads.found.items()
        for metric, value in asdict(quality).items()
        if value is not None
    }


def by_slice(model: ModelRanking) -> dict[str, RankingMetrics]:
    """Slice -> metrics, all targets first."""
    return {"all": model.every, "by visitor": model.by_visitor, **model.slices}
