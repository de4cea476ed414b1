"""PropensityNet: how likely is a visitor to do each of several things, in pure PyTorch.

A TabM-mini ensemble (Gorishniy, Kotelnikov and Babenko, 2024, arXiv 2410.24210) on top of
piecewise-linear embeddings of numbers (Gorishniy, Rubachev and Babenko, 2022, arXiv 2203.05556)
and embeddings of categories.

Letters: B rows, n numeric columns, m categorical columns, l values of a multi-valued column,
F = n + m + number of multi-valued columns, D size of a feature's embedding, T bins of the finest
numeric column, k ensemble members, W width, G goals, C = 2F coalitions of features.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from penchant.training.network_config import FeatureSizes, NetworkConfig

MISSING_CODE = 0
"""Category code of a missing value; padding in a multi-valued column."""
UNKNOWN_CODE = 1
"""Category code of a value that was not in the training part."""
SMALLEST_PROBABILITY = 1e-6
"""No propensity is nearer to 0 or 1: no table supports such a claim, and logits stay finite."""


class Batch(NamedTuple):
    """Encoded rows as the feature graph gives them, with their labels."""

    position: Tensor
    """FP32 (B, n): place on the column's fitted quantile grid, in [0, bins]; 0 where missing."""
    missing: Tensor
    """FP32 (B, n): 1 where the number is missing, else 0."""
    category: Tensor
    """INT32 (B, m): 0 missing, 1 unknown, 2.. fitted categories."""
    multi: tuple[Tensor, ...]
    """One INT32 (B, l) per multi-valued column: 0 padding, 1 unknown, 2.. fitted categories."""
    label: Tensor
    """FP32 (B, G): 0 or 1, NaN where the goal was not observed."""


class NumericEmbedding(nn.Module):
    """Piecewise-linear embedding of n numeric columns, from their places on the quantile grid.

    Bin t of column j is filled by clip(u_j - t, 0, 1). A straight line through the grid comes
    first and the bins start at zero: an untrained column is smooth and training adds the bends.
    """

    def __init__(self, bins: Sequence[int], size: int) -> None:
        super().__init__()
        columns, most = len(bins), max(bins)
        self.scale: Tensor
        self.start: Tensor
        self.register_buffer("scale", 2.0 / torch.tensor(bins, dtype=torch.float32))  # (n,)
        self.register_buffer("start", torch.arange(most, dtype=torch.float32))  # (T,)
        self.bin = nn.Parameter(torch.zeros(columns, most, size))
        self.line = nn.Parameter(torch.randn(columns, size) / math.sqrt(size))
        self.bias = nn.Parameter(torch.randn(columns, size) / math.sqrt(size))
        self.missing = nn.Parameter(torch.zeros(columns, size))

    def forward(self, position: Tensor, missing: Tensor) -> Tensor:
        """Embed `position` and `missing`, both (B, n), as (B, n, D)."""
        filled = (position.unsqueeze(2) - self.start).clamp(0.0, 1.0)  # (B, n, T)
        bent = torch.matmul(filled.transpose(0, 1), self.bin).transpose(0, 1)  # (B, n, D)
        line = (position * self.scale - 1.0).unsqueeze(2) * self.line
        return bent + line + self.bias + missing.unsqueeze(2) * self.missing


class MultiEmbedding(nn.Module):
    """Mean embedding of a multi-valued column; an empty list has an embedding of its own."""

    def __init__(self, num_codes: int, size: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(num_codes, size) / math.sqrt(size))

    def forward(self, code: Tensor) -> Tensor:
        """Embed `code`, INT32 (B, l), as (B, D).

        A gather and a masked mean, because TensorRT cannot read EmbeddingBag.
        """
        present = (code != MISSING_CODE).to(self.table.dtype).unsqueeze(2)  # (B, l, 1)
        count = present.sum(1)  # (B, 1)
        total = (functional.embedding(code, self.table) * present).sum(1)  # (B, D)
        empty = 1.0 - count.clamp(max=1.0)
        return total / count.clamp(min=1.0) + empty * self.table[MISSING_CODE]


class FeatureEmbedding(nn.Module):
    """Embeds every feature: numeric, then categorical, then multi-valued columns."""

    def __init__(self, features: FeatureSizes, size: int, *, hidden_share: float = 0.0) -> None:
        super().__init__()
        self.hidden_share = hidden_share
        self.numeric = NumericEmbedding(features.bins, size) if features.bins else None
        self.offset: Tensor
        starts = torch.tensor((0, *features.categories), dtype=torch.int32).cumsum(0)[:-1]
        self.register_buffer("offset", starts.to(torch.int32))  # (m,)
        rows = sum(features.categories)
        self.category = nn.Parameter(torch.randn(rows, size) / math.sqrt(size)) if rows else None
        self.multi = nn.ModuleList(MultiEmbedding(codes, size) for codes in features.multi)

    def forward(
        self, position: Tensor, missing: Tensor, category: Tensor, multi: Sequence[Tensor] = ()
    ) -> Tensor:
        """Embed encoded rows (see `Batch`) as (B, F, D)."""
        if self.training and self.hidden_share:
            position, missing, category = self._hide(position, missing, category)
        parts = [] if self.numeric is None else [self.numeric(position, missing)]
        if self.category is not None:
            parts.append(functional.embedding(category + self.offset, self.category))
        parts += [embed(code).unsqueeze(1) for embed, code in zip(self.multi, multi, strict=True)]
        return torch.cat(parts, 1)

    def _hide(
        self, position: Tensor, missing: Tensor, category: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Make a random share of the numbers missing and of the categories unknown or missing."""
        hide = torch.rand_like(missing) < self.hidden_share
        position, missing = position.masked_fill(hide, 0.0), missing.masked_fill(hide, 1.0)
        draw = torch.rand(category.shape, device=category.device)
        category = category.masked_fill(draw < self.hidden_share, UNKNOWN_CODE)
        return position, missing, category.masked_fill(draw < self.hidden_share / 4, MISSING_CODE)


class PropensityNet(nn.Module):
    """k multilayer perceptrons that share all but a first scaling and their heads (TabM-mini)."""

    def __init__(
        self, features: FeatureSizes, *, num_goals: int, config: NetworkConfig | None = None
    ) -> None:
        """Build the net from sizes alone.

        Args:
            features: Sizes of the fitted features.
            num_goals: G, at least 1.
            config: Shape and regularisation; the defaults when None.

        Raises:
            ValueError: If there is no goal.
        """
        super().__init__()
        if num_goals < 1:
            raise ValueError(f"num_goals: expected at least 1, got {num_goals}")
        self.features = features
        self.num_goals = num_goals
        self.config = config = config or NetworkConfig()
        size = features.num_features * config.embedding_size
        self.embedding = FeatureEmbedding(
            features, config.embedding_size, hidden_share=config.hidden_share
        )
        signs = torch.randint(0, 2, (config.members, size)) * 2.0 - 1.0
        self.adapter = nn.Parameter(signs)  # (k, F * D)
        self.first = nn.Linear(size, config.width)
        later = range(config.num_blocks - 1)
        self.layers = nn.ModuleList(nn.Linear(config.width, config.width) for _ in later)
        bound = 1.0 / math.sqrt(config.width)
        head = torch.empty(config.members, config.width, num_goals).uniform_(-bound, bound)
        self.head = nn.Parameter(head)
        self.head_bias = nn.Parameter(torch.zeros(config.members, num_goals))

    def forward(
        self, position: Tensor, missing: Tensor, category: Tensor, multi: Sequence[Tensor] = ()
    ) -> Tensor:
        """Return the members' logits, (B, k, G), of encoded rows (see `Batch`)."""
        return self.score(self.embedding(position, missing, category, multi))

    def score(self, embedded: Tensor) -> Tensor:
        """Return the members' logits, (B, k, G), of embedded features (B, F, D)."""
        return self.score_hidden(self.first_layer(embedded))

    def first_layer(self, embedded: Tensor) -> Tensor:
        """Sums of the first hidden layer, (B, k, W), of embedded features (B, F, D)."""
        scaled = embedded.flatten(1).unsqueeze(1) * self.adapter  # (B, k, F * D)
        return functional.linear(scaled, self.first.weight, self.first.bias)

    def first_layer_parts(self, embedded: Tensor) -> Tensor:
        """Each feature's share of the first layer's sums, (F, B, k, W), without the bias."""
        num_features, size = embedded.shape[1:]
        adapter = self.adapter.view(-1, num_features, size).transpose(0, 1)  # (F, k, D)
        weight = self.first.weight.view(-1, num_features, size).permute(1, 2, 0)  # (F, D, W)
        scaled = embedded.transpose(0, 1).unsqueeze(2) * adapter.unsqueeze(1)  # (F, B, k, D)
        part = torch.matmul(scaled.flatten(1, 2), weight)  # (F, B * k, W)
        return part.view(num_features, -1, self.config.members, self.config.width)

    def score_hidden(self, hidden: Tensor) -> Tensor:
        """Return the members' logits, (B, k, G), of the first layer's sums (B, k, W)."""
        hidden = self._activate(hidden)
        for layer in self.layers:
            hidden = self._activate(layer(hidden))
        scored = torch.matmul(hidden.transpose(0, 1), self.head).transpose(0, 1)  # (B, k, G)
        return scored + self.head_bias

    def _activate(self, hidden: Tensor) -> Tensor:
        return functional.dropout(torch.relu(hidden), self.config.dropout, self.training)


def member_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Mean of the members' own log losses: members learn alone, only answers are averaged.

    Args:
        logits: Members' logits (B, k, G).
        label: 0 or 1, NaN where a goal was not observed (B, G).

    Returns:
        The mean over members and observed labels; 0 when no label was observed.
    """
    observed = (~label.isnan()).to(logits.dtype).unsqueeze(1)  # (B, 1, G)
    target = label.nan_to_num().unsqueeze(1).to(logits.dtype).expand_as(logits)
    losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (losses * observed).sum() / (observed.sum() * logits.shape[1]).clamp(min=1.0)


def log_probabilities(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Log of the ensemble's probability and of its complement, each exact near 0.

    Args:
        logits: Members' logits (B, k, G).

    Returns:
        ln p and ln(1 - p), both (B, G), where p is the mean of the members' probabilities; p and
        1 - p are at least `SMALLEST_PROBABILITY`.
    """
    yes = torch.sigmoid(logits).mean(1).clamp(min=SMALLEST_PROBABILITY)
    no = torch.sigmoid(-logits).mean(1).clamp(min=SMALLEST_PROBABILITY)
    return torch.log(yes), torch.log(no)
