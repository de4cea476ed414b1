"""The tables of a journey model's evaluation for the terminal."""

from __future__ import annotations

from rich.table import Table

from penchant.training.journeys.head_quality import HeadQualities
from penchant.training.journeys.journey_evaluation import (
    LAST,
    LAST_PROTOCOL,
    NETWORK_ALONE,
    SERVED,
    JourneyEvaluation,
)


def evaluation_tables(evaluation: JourneyEvaluation) -> list[Table]:
    """All of them, the most important first."""
    tables = [ranking_table(evaluation), slice_table(evaluation)]
    if LAST in evaluation.models[SERVED].slices:
        tables.append(last_table(evaluation))
    return [*tables, head_table(evaluation.heads)]


def ranking_table(evaluation: JourneyEvaluation) -> Table:
    """One row a model, best NDCG@10 first."""
    every = evaluation.models[SERVED].every
    caption = f"{evaluation.protocol}; {evaluation.num_items:,} items, {every.targets:,} targets"
    if every.targets < evaluation.sampled_from:
        caption += f" drawn from {evaluation.sampled_from:,}"
    caption += f" of {every.visitors:,} visitors"
    columns = ("HR@10", "NDCG@10", "MRR@20", "coverage", "NDCG@10 by visitor")
    table = _table("model", columns, caption)
    models = evaluation.models
    for name in sorted(models, key=lambda each: -models[each].every.ndcg_10):
        model = models[name]
        numbers = [model.every.hr_10, model.every.ndcg_10, model.every.mrr_20]
        numbers += [model.coverage_20, model.by_visitor.ndcg_10]
        table.add_row(name, *(f"{number:.4f}" for number in numbers))
    return table


def last_table(evaluation: JourneyEvaluation) -> Table:
    """One row a model on the last target of each visitor, best NDCG@10 first."""
    found = {name: model.slices[LAST] for name, model in evaluation.models.items()}
    caption = f"{LAST_PROTOCOL}; {found[SERVED].targets:,} targets"
    table = _table(LAST, ("HR@10", "NDCG@10", "MRR@20"), caption)
    for name in sorted(found, key=lambda each: -found[each].ndcg_10):
        numbers = (found[name].hr_10, found[name].ndcg_10, found[name].mrr_20)
        table.add_row(name, *(f"{number:.4f}" for number in numbers))
    return table


def slice_table(evaluation: JourneyEvaluation) -> Table:
    """NDCG@10 of what is served, of the network alone and of the best baseline, a row a slice."""
    rivals = [] if evaluation.difference is None else [evaluation.difference.baseline]
    alone = [NETWORK_ALONE] if NETWORK_ALONE in evaluation.models else []
    names = [SERVED, *alone, *rivals]
    table = _table("NDCG@10, by kind", ("targets", *names))
    for place, own in evaluation.models[SERVED].slices.items():
        found = [evaluation.models[name].slices[place].ndcg_10 for name in names]
        table.add_row(place, f"{own.targets:,}", *(f"{number:.4f}" for number in found))
    return table


def head_table(heads: HeadQualities) -> Table:
    """Logloss of the answers beside the items, one row each, and of their priors.

    The gain is what the network takes off the prior's, between the ends of its 95 % interval.
    """
    caption = "; ".join(f"no {name}: {why}" for name, why in heads.absent.items())
    columns = ("cases", "logloss", "prior", "gain", "low", "high", "AUC")
    table = _table("beside the items", columns, caption)
    for name, each in heads.found.items():
        table.add_row(
            name,
            f"{each.cases:,}",
            *(f"{number:.4f}" for number in (each.logloss, each.prior_logloss)),
            *(f"{number:+.4f}" for number in (each.gain, each.low, each.high)),
            "" if each.auc is None else f"{each.auc:.4f}",
        )
    return table


def _table(first: str, others: tuple[str, ...], caption: str = "") -> Table:
    table = Table(caption=caption or None, caption_justify="left", pad_edge=False)
    table.add_column(first, no_wrap=True)
    for head in others:
        table.add_column(head, justify="right")
    return table
