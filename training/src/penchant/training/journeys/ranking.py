"""How well next items are ranked: HR, NDCG, MRR and coverage over the full catalogue.

Every item of the catalogue takes part, never a sample (Krichene and Rendle, 2020, On Sampled
Metrics for Item Recommendation). Ties are counted pessimistically: the target stands behind every
item with the same score, so that a model that tells nothing apart gets no credit.

Letters: T targets, B targets at a time, N item codes. With one target a case, HR@k is recall@k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.targets import Places, Targets, met_items

Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Scorer = Callable[[Places, Places], npt.NDArray[Any]]
"""Visitors (B,) and positions (B,) -> scores (B, N) by item code; codes 0 and 1 do not count."""

TOP: Final = 20
"""Length of the answers that coverage is about."""
CHUNK_CELLS: Final = 2_000_000
"""Most scores held at once: so few that their memory is used again, not asked for anew."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranks:
    """Where a model put the target of each case, and which items it answers with."""

    rank: npt.NDArray[np.int64]
    """(T,) place of the target among the items that may be answered, 1 is best."""
    answered: npt.NDArray[np.bool_]
    """(N,) whether the item is among the first `TOP` of any case."""

    @property
    def coverage(self) -> float:
        """Share of the catalogue that is among the first `TOP` of any case."""
        return float(self.answered[FIRST_CODE:].mean())


def rank_targets(
    scores: Scorer,
    journeys: Journeys,
    targets: Targets,
    *,
    repeats: bool = True,
    chunk_size: int | None = None,
) -> Ranks:
    """Rank the target of each case among all items of the catalogue.

    Args:
        scores: The model.
        journeys: Where targets and histories are.
        targets: T events to be predicted.
        repeats: Whether items that the visitor has met may be answered; False leaves every item
            of the whole history out, but for the target itself.
        chunk_size: Targets B that the model is asked for at once; None: as fits `CHUNK_CELLS`.

    Raises:
        ValueError: If scores are NaN or of another shape.
    """
    rank = np.empty(len(targets), np.int64)
    answered = np.zeros(0, np.bool_)
    size, start = chunk_size or 64, 0
    while start < len(targets):
        part = targets.take(slice(start, start + size))
        matrix = checked_scores(scores(part.visitor, part.position), len(part))
        if not len(answered):
            answered = np.zeros(matrix.shape[1], np.bool_)
        goal = np.asarray(journeys.item[part.rows(journeys)])
        excluded = (None, None) if repeats else met_items(journeys, part)
        rank[start : start + len(part)] = rank_chunk(matrix, goal, *excluded)
        answered[top_codes(matrix, TOP)] = True
        start += len(part)
        size = chunk_size or max(1, min(2048, CHUNK_CELLS // matrix.shape[1]))
    answered[:FIRST_CODE] = False
    return Ranks(rank=rank, answered=answered)


def checked_scores(scores: npt.NDArray[Any], rows: int) -> Scores:
    """A copy of a model's scores (B, N) that may be written to, without NaN; FP64 stays FP64.

    Raises:
        ValueError: If scores are NaN or of another shape.
    """
    is_fine = np.asarray(scores).dtype == np.float64
    matrix: Scores = np.array(scores, np.float64) if is_fine else np.array(scores, np.float32)
    if matrix.ndim != 2 or len(matrix) != rows or matrix.shape[1] <= FIRST_CODE:
        raise ValueError(f"scores: expected shape ({rows}, items + 2), got {matrix.shape}")
    if np.isnan(matrix).any():
        raise ValueError(
            f"scores: expected numbers, got NaN for {int(np.isnan(matrix).any(1).sum())} of "
            f"{rows} cases; look for a loss that diverged"
        )
    return matrix


def rank_chunk(
    scores: Scores,
    target: npt.NDArray[np.int32],
    which: Places | None = None,
    code: npt.NDArray[np.int32] | None = None,
) -> npt.NDArray[np.int64]:
    """Ranks (B,) of target codes (B,) in `scores` (B, N), which is written to.

    Codes 0 and 1 and the pairs (which, code) are left out: their scores become -inf.
    The rank is the number of items that score at least as much as the target.
    """
    each = np.arange(len(scores))
    wanted = scores[each, target]
    scores[:, :FIRST_CODE] = -np.inf
    if which is not None:
        scores[which, code] = -np.inf
    scores[each, target] = wanted
    possible = scores.shape[1] - FIRST_CODE
    rank: npt.NDArray[np.int64] = np.count_nonzero(scores >= wanted[:, None], axis=1)
    np.minimum(rank, possible, out=rank)
    return rank


def rank_on_device(
    scores: Tensor, target: Tensor, which: Places, code: npt.NDArray[np.int32]
) -> Tensor:
    """What `rank_chunk` says, of scores on a GPU; on a CPU NumPy counts several times as fast."""
    left_out = [torch.from_numpy(each.astype(np.int64)).to(scores.device) for each in (which, code)]
    wanted = scores.gather(1, target.unsqueeze(1))
    scores = scores.clone()
    scores[:, :FIRST_CODE] = -torch.inf
    scores[left_out[0], left_out[1]] = -torch.inf
    scores.scatter_(1, target.unsqueeze(1), wanted)
    return (scores >= wanted).sum(1).clamp(max=scores.shape[1] - FIRST_CODE)


def top_codes(scores: Scores, k: int) -> npt.NDArray[np.int64]:
    """Distinct codes that are among the k best of any row of (B, N); -inf is no answer."""
    best, code = torch.topk(torch.from_numpy(scores), min(k, scores.shape[1]), dim=1)
    found: npt.NDArray[np.int64] = np.unique(code[best > -torch.inf].numpy())
    return found


def hits(rank: npt.NDArray[np.int64], k: int) -> Floats:
    """(T,) 1 where the target is among the first k."""
    return (rank <= k).astype(np.float64)


def gains(rank: npt.NDArray[np.int64], k: int) -> Floats:
    """(T,) NDCG@k of each case: 1 / log2(1 + rank), and 0 behind place k."""
    return np.where(rank <= k, 1 / np.log2(1.0 + rank), 0.0)


def reciprocals(rank: npt.NDArray[np.int64], k: int) -> Floats:
    """(T,) reciprocal rank of each case, and 0 behind place k."""
    return np.where(rank <= k, 1 / np.maximum(rank, 1), 0.0)


@dataclass(frozen=True, kw_only=True)
class RankingMetrics:
    """Quality of one model on some targets; NaN where there is none."""

    targets: int
    """Number of targets T."""
    visitors: int
    """Number of visitors they belong to."""
    hr_10: float
    """Share of targets among the first 10."""
    hr_20: float
    """Share of targets among the first 20."""
    ndcg_10: float
    """Mean of 1 / log2(1 + rank) among the first 10."""
    mrr_20: float
    """Mean of 1 / rank among the first 20."""

    def as_dict(self) -> dict[str, float]:
        """Name -> number, as MLflow and JSON take it."""
        return {name: float(value) for name, value in asdict(self).items()}


def ranking_metrics(
    rank: npt.NDArray[np.int64], visitor: Places, *, by_visitor: bool = False
) -> RankingMetrics:
    """Metrics of ranks (T,).

    Args:
        rank: Ranks from :func:`rank_targets`.
        visitor: (T,) whose targets they are.
        by_visitor: Average each visitor's targets first, so that all visitors count alike; else
            all targets count alike.
    """
    _, place, count = np.unique(visitor, return_inverse=True, return_counts=True)
    share = 1 / count[place] if by_visitor else np.ones(len(rank))

    def mean(values: Floats) -> float:
        return float(values @ share / share.sum()) if len(rank) else float("nan")

    return RankingMetrics(
        targets=len(rank),
        visitors=len(count),
        hr_10=mean(hits(rank, 10)),
        hr_20=mean(hits(rank, 20)),
        ndcg_10=mean(gains(rank, 10)),
        mrr_20=mean(reciprocals(rank, 20)),
    )


def leaves_usual_category(
    journeys: Journeys, category_of_code: npt.NDArray[np.int32], targets: Targets
) -> npt.NDArray[np.bool_]:
    """(T,) whether the target's category is not the visitor's usual one.

    The usual category is the one of most earlier events (on a tie, each of them). Targets without
    a category, and those of visitors whose history has none, are False.
    """
    found = np.zeros(len(targets), np.bool_)
    goal = category_of_code[np.asarray(journeys.item[targets.rows(journeys)])]
    width = int(category_of_code.max(initial=0)) + 1
    for part, some in targets.history_chunks():
        which, code = met_items(journeys, some)
        category = category_of_code[code]
        pair, count = np.unique((which * width + category)[category > 0], return_counts=True)
        most = np.zeros(len(some), np.int64)
        np.maximum.at(most, pair // width, count)
        same = pair % width == goal[part][pair // width]
        own = np.zeros(len(some), np.int64)
        own[pair[same] // width] = count[same]
        found[part] = (goal[part] > 0) & (most > 0) & (own < most)
    return found
