"""PropensityNet: how likely is a visitor to do each of several things, in pure PyTorch.

A deep ensemble of TabM-mini ensembles (Gorishniy, Kotelnikov and Babenko, 2024, arXiv 2410.24210)
on top of piecewise-linear embeddings of numbers (Gorishniy, Rubachev and Babenko, 2022, arXiv
2203.05556) and embeddings of categories. Trunks share no weight, members of a trunk share nearly
all; every parameter has the trunks as its first axis, so that one product serves them all.

Letters: B rows, n numeric columns, m categorical columns, l values of a multi-valued column,
F = n + m + number of multi-valued columns, D size of a feature's embedding, Q bins of the finest
numeric column, T trunks, k members of a trunk, W width, G goals.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from penchant.training.network_config import FeatureSizes, NetworkConfig
from penchant.training.precision import in_full_precision

MISSING_CODE = 0
"""Category code of a missing value; padding in a multi-valued column."""
UNKNOWN_CODE = 1
"""Category code of a value that was not in the rows learnt from."""
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
    fold: Tensor
    """INT32 (B,): the trunk that never learns from the row; -1 where all may."""
    teacher: Tensor = torch.empty(0, 0, 0)
    """FP32 (B, T, G): a teacher's propensities for each trunk; (B, 0, G) where there is none."""


class NumericEmbedding(nn.Module):
    """Piecewise-linear embedding of n numeric columns, from their places on the quantile grid.

    Bin q of column j is filled by clip(u_j - q, 0, 1). A straight line through the grid comes
    first and the bins start at zero: an untrained column is smooth and training adds the bends.
    """

    def __init__(self, bins: Sequence[int], size: int, *, trunks: int) -> None:
        super().__init__()
        columns, most = len(bins), max(bins)
        self.scale: Tensor
        self.start: Tensor
        self.register_buffer("scale", 2.0 / torch.tensor(bins, dtype=torch.float32))  # (n,)
        self.register_buffer("start", torch.arange(most, dtype=torch.float32))  # (Q,)
        self.bin = nn.Parameter(torch.zeros(trunks, columns, most, size))
        self.line = nn.Parameter(torch.randn(trunks, columns, size) / math.sqrt(size))
        self.bias = nn.Parameter(torch.randn(trunks, columns, size) / math.sqrt(size))
        self.missing = nn.Parameter(torch.zeros(trunks, columns, size))

    def forward(self, position: Tensor, missing: Tensor) -> Tensor:
        """Embed `position` and `missing`, both (B, n), as (T, B, n, D)."""
        trunks, columns, most, size = self.bin.shape
        filled = (position.unsqueeze(2) - self.start).clamp(0.0, 1.0)  # (B, n, Q)
        weight = self.bin.permute(1, 2, 0, 3).reshape(columns, most, trunks * size)
        bent = torch.matmul(filled.transpose(0, 1), weight)  # (n, B, T * D)
        bent = bent.view(columns, -1, trunks, size).permute(2, 1, 0, 3)  # (T, B, n, D)
        line = (position * self.scale - 1.0).unsqueeze(2) * self.line.unsqueeze(1)
        hidden = missing.unsqueeze(2) * self.missing.unsqueeze(1)
        return bent + line + self.bias.unsqueeze(1) + hidden


class MultiEmbedding(nn.Module):
    """Mean embedding of a multi-valued column; an empty list has an embedding of its own."""

    def __init__(self, num_codes: int, size: int, *, trunks: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(trunks, num_codes, size) / math.sqrt(size))

    def forward(self, code: Tensor) -> Tensor:
        """Embed `code`, INT32 (B, l), as (T, B, D).

        A gather and a masked mean, because TensorRT cannot read EmbeddingBag.
        """
        present = (code != MISSING_CODE).to(self.table.dtype).unsqueeze(2)  # (B, l, 1)
        count = present.sum(1)  # (B, 1)
        total = (look_up(code, self.table) * present).sum(2)  # (T, B, D)
        empty = 1.0 - count.clamp(max=1.0)
        return total / count.clamp(min=1.0) + empty * self.table[:, MISSING_CODE].unsqueeze(1)


def look_up(code: Tensor, table: Tensor) -> Tensor:
    """Rows of each trunk's table (T, codes, D) at `code`, INT32 (B, l), as (T, B, l, D)."""
    trunks, num_codes, size = table.shape
    start = torch.arange(trunks, dtype=code.dtype, device=code.device) * num_codes
    flat = table.view(trunks * num_codes, size)
    return functional.embedding(code + start.view(-1, 1, 1), flat)


class FeatureEmbedding(nn.Module):
    """Embeds every feature: numeric, then categorical, then multi-valued columns."""

    def __init__(self, features: FeatureSizes, config: NetworkConfig) -> None:
        super().__init__()
        size, trunks = config.embedding_size, config.trunks
        self.hidden_share = config.hidden_share
        self.numeric = (
            NumericEmbedding(features.bins, size, trunks=trunks) if features.bins else None
        )
        self.offset: Tensor
        starts = torch.tensor((0, *features.categories), dtype=torch.int32).cumsum(0)[:-1]
        self.register_buffer("offset", starts.to(torch.int32))  # (m,)
        rows = sum(features.categories)
        table = torch.randn(trunks, rows, size) / math.sqrt(size)
        self.category = nn.Parameter(table) if rows else None
        self.multi = nn.ModuleList(
            MultiEmbedding(codes, size, trunks=trunks) for codes in features.multi
        )

    def forward(
        self, position: Tensor, missing: Tensor, category: Tensor, multi: Sequence[Tensor] = ()
    ) -> Tensor:
        """Embed encoded rows (see `Batch`) as (T, B, F, D)."""
        if self.training and self.hidden_share:
            position, missing, category = self._hide(position, missing, category)
        parts = [] if self.numeric is None else [self.numeric(position, missing)]
        if self.category is not None:
            parts.append(look_up(category + self.offset, self.category))
        parts += [embed(code).unsqueeze(2) for embed, code in zip(self.multi, multi, strict=True)]
        return torch.cat(parts, 2)

    def _hide(
        self, position: Tensor, missing: Tensor, category: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Make a random share of the numbers missing and of the categories unknown or missing."""
        hide = torch.rand_like(missing) < self.hidden_share
        position, missing = position.masked_fill(hide, 0.0), missing.masked_fill(hide, 1.0)
        draw = torch.rand(category.shape, device=category.device)
        category = category.masked_fill(draw < self.hidden_share, UNKNOWN_CODE)
        return position, missing, category.masked_fill(draw < self.hidden_share / 4, MISSING_CODE)


class TrunkLinear(nn.Module):
    """A linear layer of each trunk's own."""

    def __init__(self, size: int, width: int, *, trunks: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(size)
        self.weight = nn.Parameter(torch.empty(trunks, size, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(trunks, 1, width).uniform_(-bound, bound))

    def forward(self, given: Tensor) -> Tensor:
        """Map (T, rows, size) to (T, rows, width)."""
        return torch.baddbmm(self.bias, given, self.weight)


class PropensityNet(nn.Module):
    """T trunks of k perceptrons that share all but a first scaling and their heads (TabM-mini)."""

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
        size, trunks = features.num_features * config.embedding_size, config.trunks
        self.embedding = FeatureEmbedding(features, config)
        signs = torch.randint(0, 2, (trunks, config.members, size)) * 2.0 - 1.0
        self.adapter = nn.Parameter(signs)  # (T, k, F * D)
        self.first = TrunkLinear(size, config.width, trunks=trunks)
        self.layers = nn.ModuleList(
            TrunkLinear(config.width, config.width, trunks=trunks)
            for _ in range(config.num_blocks - 1)
        )
        bound = 1.0 / math.sqrt(config.width)
        head = torch.empty(trunks, config.members, config.width, num_goals)
        self.head = nn.Parameter(head.uniform_(-bound, bound))
        self.head_bias = nn.Parameter(torch.zeros(trunks, config.members, num_goals))

    def forward(
        self, position: Tensor, missing: Tensor, category: Tensor, multi: Sequence[Tensor] = ()
    ) -> Tensor:
        """Return the logits, (B, T * k, G), of encoded rows (see `Batch`), trunk by trunk."""
        return self.score(self.embedding(position, missing, category, multi))

    def score(self, embedded: Tensor) -> Tensor:
        """Return the logits, (B, T * k, G), of embedded features (T, B, F, D)."""
        return self.score_hidden(self.first_layer(embedded))

    def first_layer(self, embedded: Tensor) -> Tensor:
        """Sums of the first hidden layer, (T, k, B, W), of embedded features (T, B, F, D)."""
        trunks, members = self.config.trunks, self.config.members
        scaled = embedded.flatten(2).unsqueeze(1) * self.adapter.unsqueeze(2)  # (T, k, B, F * D)
        hidden: Tensor = self.first(scaled.flatten(1, 2))
        return hidden.view(trunks, members, -1, self.config.width)

    def first_layer_parts(self, embedded: Tensor) -> Tensor:
        """Each feature's share of the first layer's sums, (T, k, F, B, W), without the bias."""
        trunks, _, num_features, size = embedded.shape
        adapter = self.adapter.view(trunks, -1, num_features, 1, size)  # (T, k, F, 1, D)
        weight = self.first.weight.view(trunks, 1, num_features, size, -1)  # (T, 1, F, D, W)
        return torch.matmul(embedded.transpose(1, 2).unsqueeze(1) * adapter, weight)

    def score_hidden(self, hidden: Tensor) -> Tensor:
        """Return the logits, (B, T * k, G), of the first layer's sums (T, k, B, W)."""
        shape = hidden.shape
        hidden = self._activate(hidden)
        for layer in self.layers:
            hidden = self._activate(layer(hidden.flatten(1, 2)).view(shape))
        if hidden.dtype != self.head.dtype:  # in mixed precision; an export is to meet no cast
            hidden = hidden.to(self.head.dtype)
        with in_full_precision(hidden.device):
            scored = torch.matmul(hidden, self.head)  # (T, k, B, G)
        return (scored + self.head_bias.unsqueeze(2)).flatten(0, 1).transpose(0, 1)

    def _activate(self, hidden: Tensor) -> Tensor:
        hidden = torch.relu(hidden)
        if not (self.training and self.config.dropout):
            return hidden
        # Drawing costs more than the products. A unit of one trunk has nothing to do with that of
        # another, so that trunks can share what is drawn.
        kept = 1.0 - self.config.dropout
        return hidden * torch.empty_like(hidden[0]).bernoulli_(kept).div_(kept)


def soft_target(label: Tensor, teacher: Tensor, *, share: float) -> Tensor:
    """What a trunk is to say of a row: its label, mixed with a teacher's answer.

    Args:
        label: 0 or 1, NaN where a goal was not observed (B, G).
        teacher: Propensities (B, T, G), or (B, 0, G) where there is no teacher.
        share: Weight of the teacher, in [0, 1].

    Returns:
        Targets (B, T, G), or (B, 1, G) without a teacher; 0 where a goal was not observed.
    """
    target = label.nan_to_num().unsqueeze(1)
    if not teacher.shape[1]:
        return target
    return torch.lerp(target, teacher.nan_to_num(), share)


def trunk_losses(
    logits: Tensor, label: Tensor, fold: Tensor, *, num_trunks: int, target: Tensor | None = None
) -> Tensor:
    """Each trunk's mean of its members' own log losses: they learn alone, answers are averaged.

    Args:
        logits: Members' logits (B, T * k, G), trunk by trunk.
        label: 0 or 1, NaN where a goal was not observed (B, G).
        fold: The trunk whose loss leaves the row out; -1 for none (B,).
        num_trunks: T.
        target: What to say instead of the labels (B, T or 1, G), see `soft_target`.

    Returns:
        The means (T,) over members and observed labels; 0 for a trunk without any.
    """
    trunk = torch.arange(num_trunks, device=fold.device)
    learnt = (fold.unsqueeze(1) != trunk).to(logits.dtype)  # (B, T)
    observed = (~label.isnan()).to(logits.dtype)  # (B, G)
    wanted = label.nan_to_num().unsqueeze(1) if target is None else target  # (B, T or 1, G)
    by_member = logits.reshape(len(logits), num_trunks, -1, label.shape[1])  # (B, T, k, G)
    losses = functional.binary_cross_entropy_with_logits(
        by_member, wanted.unsqueeze(2).to(logits.dtype).expand_as(by_member), reduction="none"
    )
    by_trunk = losses.mean(2) * observed.unsqueeze(1)  # (B, T, G)
    count = (learnt * observed.sum(1, keepdim=True)).sum(0)  # (T,)
    return (by_trunk.sum(2) * learnt).sum(0) / count.clamp(min=1.0)


def held_out_members(logits: Tensor, fold: Tensor, *, num_trunks: int) -> Tensor:
    """Of each row, the logits of those members that never learnt from it.

    Args:
        logits: Members' logits (B, T * k, G), trunk by trunk.
        fold: The trunk that the row was held out from (B,); -1 for rows held out from all.
        num_trunks: T.

    Returns:
        Logits (B, k, G) of the rows' own trunks; all logits where no row has a fold.
    """
    if bool((fold < 0).all()):
        return logits
    assert bool((fold >= 0).all()), "rows with a fold and rows without one do not mix"
    by_trunk = logits.reshape(len(logits), num_trunks, -1, logits.shape[2])  # (B, T, k, G)
    return by_trunk[torch.arange(len(fold), device=fold.device), fold.long()]


def log_probabilities(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Log of the ensemble's probability and of its complement, each exact near 0.

    Args:
        logits: Logits of any number of members (B, members, G).

    Returns:
        ln p and ln(1 - p), both (B, G), where p is the mean of the members' probabilities; p and
        1 - p are at least `SMALLEST_PROBABILITY`.
    """
    yes = torch.sigmoid(logits).mean(1).clamp(min=SMALLEST_PROBABILITY)
    no = torch.sigmoid(-logits).mean(1).clamp(min=SMALLEST_PROBABILITY)
    return torch.log(yes), torch.log(no)
