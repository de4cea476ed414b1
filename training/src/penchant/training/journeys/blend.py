"""How much association statistics add to the network's scores, learnt on validation targets.

The served score of an item is the network's logit plus, for each statistic, alpha times
log(1 + the statistic's score). The alphas are at least 0 and minimise the cross-entropy of the
validation targets: a convex problem in a few numbers.

Letters: T targets, B targets at a time, L events of a history, N item codes, S statistics.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch import Tensor, nn

from penchant.training.journeys.association_tables import (
    POPULAR,
    AssociationScores,
    AssociationTables,
)
from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.code_parts import MASKED, CodePart
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.ranking import Scorer, Scores, gains, rank_chunk
from penchant.training.journeys.targets import Targets, histories, met_items, sample_of

BLEND_CELLS = 60_000_000
"""Most scores (targets x items x (1 + statistics)) held while alphas are learnt."""
CHUNK = 128
"""Targets that the network is asked for at once."""
LEFT_OUT = np.float32(-1e4)
"""Logit of an item that may not be answered."""


@dataclass(frozen=True, kw_only=True)
class Blend:
    """Weights of the network and of each statistic, and what they do on the validation targets."""

    network: float
    """1 where the network answers, 0 where a statistic answers alone."""
    alpha: dict[str, float]
    """Statistic -> its weight, at least 0."""
    targets: int
    """Validation targets that the weights were learnt from."""
    logloss_before: float
    """Mean cross-entropy over all items with every alpha at 0, in nats."""
    logloss: float
    """The same with the alphas."""
    ndcg_before: float
    """NDCG@10 of the same targets with every alpha at 0."""
    ndcg: float
    """The same with the alphas."""

    def as_dict(self) -> dict[str, object]:
        """As JSON takes it."""
        return asdict(self)

    def combine(self, network: Scores, statistics: Scores) -> Scores:
        """Scores (B, N) from the network's (B, N) and the statistics' (B, S, N), in their order."""
        alpha = np.array(list(self.alpha.values()), np.float32)
        added = np.einsum("bsn,s->bn", np.log1p(statistics), alpha)
        return np.asarray(np.float32(self.network) * network + added, np.float32)


def fit_blend(
    network: Scorer | None,
    tables: AssociationTables,
    journeys: Journeys,
    targets: Targets,
    *,
    repeats: bool = True,
    alone: str | None = None,
    seed: int = 0,
) -> Blend:
    """Learn the alphas.

    Statistics that make the NDCG@10 of the targets worse all together are given up: every alpha
    is 0 then.

    Args:
        network: The network's logits; None only with `alone`.
        tables: Statistics of what came before the targets.
        journeys: Where targets and histories are.
        targets: Validation targets; of many, a sample that fits `BLEND_CELLS`.
        repeats: Whether items met before may be answered.
        alone: A statistic that answers without the network.
        seed: Seed of the sample.

    Raises:
        ValueError: `alone` is none of the statistics.
    """
    if alone is not None:
        if alone not in tables.names:
            raise ValueError(
                f"associations.alone: expected one of {', '.join(tables.names)}, got {alone!r}"
            )
        tables, network = tables.keep((alone,)), None
    assert alone is not None or network is not None
    most = max(1, BLEND_CELLS // (tables.num_codes * (1 + len(tables.names))))
    targets = sample_of(targets, most, seed=seed)
    cells = _Cells(network, tables, journeys, targets, repeats=repeats)
    return _learn(cells, tables.names, 0.0 if network is None else 1.0)


def _learn(cells: _Cells, names: tuple[str, ...], network: float) -> Blend:
    start = np.zeros(len(names)) if network else np.ones(len(names))
    found = start
    if names:
        bounds = [(0.0, None)] * len(names)
        found = minimize(cells.loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    zero = np.zeros(len(names))
    before, after = cells.ndcg(zero), cells.ndcg(found)
    if network and after < before:
        found, after = zero, before
    return Blend(
        network=network,
        alpha={name: float(value) for name, value in zip(names, found, strict=True)},
        targets=len(cells.target),
        logloss_before=cells.loss(zero)[0],
        logloss=cells.loss(found)[0],
        ndcg_before=before,
        ndcg=after,
    )


class _Cells:
    """Logits (T, N) and log statistics (T, S, N) of the validation targets, held in memory."""

    def __init__(
        self,
        network: Scorer | None,
        tables: AssociationTables,
        journeys: Journeys,
        targets: Targets,
        *,
        repeats: bool,
    ) -> None:
        shape = (len(targets), tables.num_codes)
        self.logits = np.zeros(shape, np.float32)
        self.statistics = np.empty((shape[0], len(tables.names), shape[1]), np.float32)
        self.target = np.asarray(journeys.item[targets.rows(journeys)])
        for start in range(0, len(targets), CHUNK):
            part = targets.take(slice(start, start + CHUNK))
            rows = slice(start, start + len(part))
            if network is not None:
                self.logits[rows] = network(part.visitor, part.position)
            item = histories(journeys, part, tables.newest).item
            np.log1p(tables.scores(item), out=self.statistics[rows])
            if not repeats:
                self._leave_out(start, *met_items(journeys, part))
        self.logits[:, :FIRST_CODE] = LEFT_OUT

    def _leave_out(
        self, start: int, which: npt.NDArray[np.int64], code: npt.NDArray[np.int32]
    ) -> None:
        other = self.target[start + which] != code
        self.logits[start + which[other], code[other]] = LEFT_OUT

    def blended(self, alpha: npt.NDArray[np.float64], rows: slice) -> Scores:
        added = np.einsum("tsn,s->tn", self.statistics[rows], alpha.astype(np.float32))
        return np.asarray(self.logits[rows] + added, np.float32)

    def loss(self, alpha: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        """Mean cross-entropy and its gradient (S,)."""
        total, slope = 0.0, np.zeros(len(alpha))
        for start in range(0, len(self.target), CHUNK):
            rows = slice(start, start + CHUNK)
            scores, goal = self.blended(alpha, rows), self.target[rows]
            each = np.arange(len(goal))
            most = logsumexp(scores, axis=1)
            total += float((most - scores[each, goal]).sum())
            share = np.exp(scores - most[:, None])
            expected = np.einsum("tsn,tn->s", self.statistics[rows], share)
            slope += expected - self.statistics[rows][each, :, goal].sum(0)
        return total / len(self.target), slope / len(self.target)

    def ndcg(self, alpha: npt.NDArray[np.float64]) -> float:
        """NDCG@10 of the targets."""
        total = 0.0
        for start in range(0, len(self.target), CHUNK):
            rows = slice(start, start + CHUNK)
            rank = rank_chunk(self.blended(alpha, rows), self.target[rows])
            total += float(gains(rank, 10).sum())
        return total / len(self.target)


def blended_scorer(
    blend: Blend, network: Scorer | None, tables: AssociationTables, journeys: Journeys
) -> Scorer:
    """What is served, as a model to evaluate; `tables` may be newer than those of the fit."""
    tables = tables.keep(tuple(blend.alpha))

    def scores(visitor: npt.NDArray[np.int64], position: npt.NDArray[np.int64]) -> Scores:
        targets = Targets(visitor=visitor, position=position)
        found = tables.scores(histories(journeys, targets, tables.newest).item)
        empty = np.zeros((len(visitor), tables.num_codes), np.float32)
        return blend.combine(empty if network is None else network(visitor, position), found)

    return scores


class BlendModule(nn.Module):
    """The blend inside the served network; statistics that weigh nothing are left out."""

    alpha: Tensor
    popular: Tensor

    def __init__(
        self, blend: Blend, tables: AssociationTables, *, num_known: int | None = None
    ) -> None:
        """Copy the tables of the statistics that weigh something.

        Args:
            blend: What weighs how much.
            tables: The statistics.
            num_known: Item codes that there are; the tables' further rows are never answered.
        """
        super().__init__()
        tables = tables.keep(tuple(name for name, value in blend.alpha.items() if value > 0))
        weights = np.array([blend.alpha[name] for name in tables.names], np.float32)
        pairs = len(tables.code)
        self.network = blend.network
        self.associations = AssociationScores(tables) if pairs else None
        self.register_buffer("alpha", torch.from_numpy(weights[:pairs, None].copy()))
        always = np.float32(blend.alpha.get(POPULAR, 0.0)) * np.log1p(tables.popularity)
        always[len(always) if num_known is None else num_known :] = MASKED
        self.register_buffer("popular", torch.from_numpy(always))

    @property
    def num_pairs(self) -> int:
        """P: statistics about pairs."""
        return self.associations.pairs if self.associations is not None else 0

    def forward(
        self, item_logits: Tensor, item_code: Tensor, part: CodePart | None = None
    ) -> Tensor:
        """Scores (B, M) from the network's (B, M) and histories of item codes (B, L).

        Args:
            item_logits: Of a part of the codes, or of all.
            item_code: Newest last.
            part: Which codes; all when None.
        """
        popular = self.popular if part is None else self.popular[part.start : part.stop]
        scores = self.network * item_logits + popular
        if self.associations is None:
            return scores
        return scores + (torch.log1p(self.associations(item_code, part)) * self.alpha).sum(1)
