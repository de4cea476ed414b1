"""ServedPropensity: the net as it is served, with its calibration and a reason for each feature.

Letters: B rows, F features, D size of an embedding, T trunks, k members of a trunk, W width,
G goals.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from penchant.training.calibration import BetaCalibration
from penchant.training.propensity_net import (
    SMALLEST_PROBABILITY,
    Batch,
    PropensityNet,
    log_probabilities,
)

SMALLEST_WEIGHT = 1e-6
"""Keeps the division of an unexplained rest defined when no feature has an effect."""


def share_reasons(single: Tensor, rest: Tensor, base: Tensor, full: Tensor) -> Tensor:
    """Reasons from the scores of 2F coalitions: each feature alone, and all features but it.

    The mean of a feature's first and its last contribution is the exact Shapley value of any score
    with at most pairwise interactions. What higher interactions leave unexplained is divided in
    proportion to the reasons' sizes, so that they sum to full - base and no effect stays none.

    Args:
        single: Score with feature i alone, (F, B, G).
        rest: Score with all features but i, (F, B, G).
        base: Score with no feature, (B, G) or (G,).
        full: Score with all features, (B, G).

    Returns:
        Reasons (F, B, G).
    """
    reason = 0.5 * (single - base) + 0.5 * (full - rest)
    size = reason.abs() + SMALLEST_WEIGHT
    unexplained = full - base - reason.sum(0)
    return reason + unexplained * (size / size.sum(0))


@torch.no_grad()
def mean_embedding(net: PropensityNet, batches: Iterable[Batch]) -> Tensor:
    """Each trunk's mean embedding (T, F, D) of the rows of `batches`: the average visitor.

    Leaves the net in evaluation mode.

    Raises:
        ValueError: If there is no row.
    """
    net.eval()
    total = torch.zeros(reference_shape(net), dtype=torch.float64)
    num_rows = 0
    for batch in batches:
        embedded = net.embedding(batch.position, batch.missing, batch.category, batch.multi)
        total += embedded.double().sum(1).cpu()
        num_rows += embedded.shape[1]
    if not num_rows:
        raise ValueError("batches: expected at least one training row to average, got none")
    return (total / num_rows).float()


def reference_shape(net: PropensityNet) -> tuple[int, int, int]:
    """Shape (T, F, D) of an average visitor."""
    return net.config.trunks, net.features.num_features, net.config.embedding_size


class ServedPropensity(nn.Module):
    """Calibrated propensities, and reasons that sum with `base` to the propensity's logit.

    A feature that is left out of a coalition takes, in each trunk, its mean embedding over the
    rows that were learnt from.
    """

    def __init__(
        self, net: PropensityNet, *, calibration: BetaCalibration, reference: Tensor
    ) -> None:
        """Wrap a trained net.

        Args:
            net: The net, on the CPU.
            calibration: Calibration of the net's G goals.
            reference: Mean embedding of each feature (T, F, D), see `mean_embedding`.

        Raises:
            ValueError: If calibration or reference do not fit the net.
        """
        super().__init__()
        expected = reference_shape(net)
        if tuple(reference.shape) != expected:
            raise ValueError(f"reference: expected shape {expected}, got {tuple(reference.shape)}")
        if len(calibration.goals) != net.num_goals:
            raise ValueError(
                f"calibration: expected {net.num_goals} goals, got {len(calibration.goals)}"
            )
        self.net = net
        self.calibration = calibration
        self.reference: Tensor
        self.reference_hidden: Tensor
        self.base: Tensor
        self.register_buffer("reference", reference.detach().clone())
        self.eval()
        with torch.no_grad():
            hidden = net.first_layer(self.reference.unsqueeze(1))
            self.register_buffer("reference_hidden", hidden)  # (T, k, 1, W)
            self.register_buffer("base", self._logit(hidden)[0])  # (G,)

    def forward(
        self, position: Tensor, missing: Tensor, category: Tensor, multi: Sequence[Tensor] = ()
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score and explain encoded rows (see `Batch`).

        Returns:
            propensity (B, G); reason (B, G, F), in logit; base (B, G), in logit: the score of the
            average visitor.
        """
        embedded = self.net.embedding(position, missing, category, multi)
        hidden = self.net.first_layer(embedded)
        propensity = torch.sigmoid(self._logit(hidden))
        return propensity, *self._explain(embedded, hidden, propensity)

    def propensity(
        self, position: Tensor, missing: Tensor, category: Tensor, multi: Sequence[Tensor] = ()
    ) -> Tensor:
        """Score encoded rows without reasons, (B, G)."""
        return torch.sigmoid(self.logit(self.net.embedding(position, missing, category, multi)))

    def logit(self, embedded: Tensor) -> Tensor:
        """Calibrated logit (B, G) of features embedded as (T, B, F, D): the game of the reasons."""
        return self._logit(self.net.first_layer(embedded))

    def _logit(self, hidden: Tensor) -> Tensor:
        logit: Tensor = self.calibration(*log_probabilities(self.net.score_hidden(hidden)))
        return logit.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)

    def _explain(
        self, embedded: Tensor, hidden: Tensor, propensity: Tensor
    ) -> tuple[Tensor, Tensor]:
        # The logit of the propensity as rounded to float32: near 1 that rounding moves the logit.
        full = torch.log(propensity) - torch.log(1.0 - propensity)
        # The first layer is linear: a coalition's sums are the parts of its features added up.
        part = self.net.first_layer_parts(embedded - self.reference.unsqueeze(1))
        single = self._coalition_logit(self.reference_hidden.unsqueeze(2) + part)  # (F, B, G)
        rest = self._coalition_logit(hidden.unsqueeze(2) - part)
        reason = share_reasons(single, rest, self.base, full).permute(1, 2, 0)  # (B, G, F)
        return reason, self.base.expand_as(propensity)

    def _coalition_logit(self, hidden: Tensor) -> Tensor:
        logit = self._logit(hidden.flatten(2, 3))  # (F * B, G)
        return logit.view(self.net.features.num_features, -1, self.net.num_goals)


LARGEST_LOGIT = float(torch.logit(torch.tensor(1.0 - SMALLEST_PROBABILITY, dtype=torch.float64)))
"""Bound of a calibrated logit."""
