"""Softmax losses over items, for targets that are there: padding never reaches the output matmul.

The (T, N) logits are what a step costs. They are made in pieces, which on a CPU stay in the cache,
and are turned into gradients there and then, in the forward pass: nothing of that size is kept, and
nothing is computed twice. In mixed precision a GPU takes the factors of products in half the bits;
products are summed, and softmax is computed, in FP32 all the same.

Letters: T targets, D width, N items, M drawn candidates, C rows of a piece.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

PIECE_CELLS: Final = 1 << 20
"""Logits of a piece: 4 MiB, which two cores keep in their second-level caches."""
GPU_PIECE_CELLS: Final = 1 << 26
"""The same on a GPU: 256 MiB, so that a product fills it while its memory has room for the rest."""
SMALLEST: Final = 1e-38
"""Least probability whose logarithm is taken."""


def _piece_rows(like: Tensor, columns: int) -> int:
    """C: rows of a piece with so many columns, where a tensor lies."""
    return max(1, (GPU_PIECE_CELLS if like.is_cuda else PIECE_CELLS) // columns)


def _factor_type(like: Tensor) -> torch.dtype:
    """What factors of products are rounded to: the type of mixed precision on a GPU, else FP32."""
    if like.is_cuda and torch.is_autocast_enabled("cuda"):
        return torch.get_autocast_dtype("cuda")
    return like.dtype


def _product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Product of two matrices of one type, summed in FP32 whatever the type."""
    if left.dtype == out.dtype:
        torch.mm(left, right, out=out)
    else:
        torch.mm(left, right, out_dtype=out.dtype, out=out)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add the product of two matrices of one type to an FP32 one."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total.add_(torch.mm(left, right, out_dtype=total.dtype))


class _FullSoftmax(torch.autograd.Function):
    """Weighted sum of cross-entropies, gradients made on the way."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, table: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        query_gradient, table_gradient = torch.empty_like(query), torch.zeros_like(table)
        own = query.new_empty(len(query), 1)
        size = _piece_rows(query, len(table))
        place = target.unsqueeze(1)
        weighted = query * weight.unsqueeze(1)
        kind = _factor_type(query)
        asked, answers, scaled = query.to(kind), table.to(kind), weighted.to(kind)
        transposed = answers.t()
        logits = query.new_empty(min(size, len(query)), len(table))
        share = torch.empty_like(logits)
        for start in range(0, len(query), size):
            rows = slice(start, start + size)
            some = len(query[rows])
            _product(asked[rows], transposed, logits[:some])
            torch.softmax(logits[:some], 1, out=share[:some])  # (C, N)
            torch.gather(share[:some], 1, place[rows], out=own[rows])
            part = share[:some].to(kind)
            _product(part, answers, query_gradient[rows])
            _add_product(table_gradient, part.t(), scaled[rows])
        query_gradient.sub_(table.index_select(0, target)).mul_(weight.unsqueeze(1))
        table_gradient.index_add_(0, target, weighted, alpha=-1.0)
        ctx.save_for_backward(query_gradient, table_gradient)
        return -(own[:, 0].clamp(min=SMALLEST).log() * weight).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        query, table = (each * gradient for each in ctx.saved_tensors)
        return query, table, None, None


class _SampledSoftmax(torch.autograd.Function):
    """Weighted sum of cross-entropies of a target among candidates that all targets share."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        table: Tensor,
        own: Tensor,
        bias: Tensor,
        hit: Tensor,
        weight: Tensor,
    ) -> Tensor:
        query_gradient, table_gradient = torch.empty_like(query), torch.zeros_like(table)
        right = query.new_empty(len(query))  # share of the target
        num = len(table)
        size = _piece_rows(query, num)
        transposed = table.t()
        logits = query.new_empty(min(size, len(query)), num + 1)
        share = torch.empty_like(logits)
        found = hit >= 0
        for start in range(0, len(query), size):
            rows = slice(start, start + size)
            some = len(query[rows])
            torch.addmm(bias, query[rows], transposed, out=logits[:some, :num])
            torch.sum(query[rows] * own[rows], 1, out=logits[:some, num])
            row = found[rows].nonzero().squeeze(1)
            logits[row, hit[rows][row]] = -torch.inf
            torch.softmax(logits[:some], 1, out=share[:some])  # (C, M + 1), the target last
            others = share[:some, :num]
            right[rows] = share[:some, num]
            scale = weight[rows].unsqueeze(1)
            torch.mm(others, table, out=query_gradient[rows])
            query_gradient[rows].addcmul_(own[rows], (1.0 - right[rows]).unsqueeze(1), value=-1.0)
            query_gradient[rows].mul_(scale)
            table_gradient.addmm_(others.t(), query[rows] * scale)
        own_gradient = query * ((right - 1.0) * weight).unsqueeze(1)
        loss = -(right.clamp(min=SMALLEST).log() * weight).sum()
        ctx.save_for_backward(query_gradient, table_gradient, own_gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        query, table, own = (each * gradient for each in ctx.saved_tensors)
        return query, table, own, None, None, None


def full_softmax_loss(query: Tensor, table: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Sum over targets of weight times cross-entropy among all items.

    Args:
        query: (T, D).
        table: (N, D) vectors of all items that may be answered.
        target: INT64 (T,) rows of the table.
        weight: (T,) non-negative.
    """
    loss: Tensor = _FullSoftmax.apply(query, table, target, weight)  # type: ignore[no-untyped-call]
    return loss


def sampled_softmax_loss(
    query: Tensor,
    table: Tensor,
    own: Tensor,
    *,
    candidate: Tensor,
    bias: Tensor,
    target: Tensor,
    weight: Tensor,
) -> Tensor:
    """Sum over targets of weight times cross-entropy among the target and shared candidates.

    A candidate that is the target itself does not count for that target.

    Args:
        query: (T, D).
        table: (M, D) vectors of the candidates.
        own: (T, D) vectors of the targets.
        candidate: INT64 (M,) codes of the candidates, ascending and distinct.
        bias: (M,) added to the candidates' logits, see :func:`draw_candidates`.
        target: INT64 (T,) codes of the targets.
        weight: (T,) non-negative.
    """
    place = torch.searchsorted(candidate, target).clamp(max=len(candidate) - 1)
    hit = torch.where(candidate[place] == target, place, -1)
    tensors = (query, table, own, bias, hit, weight)
    loss: Tensor = _SampledSoftmax.apply(*tensors)  # type: ignore[no-untyped-call]
    return loss


def draw_candidates(
    target: Tensor,
    *,
    num_codes: int,
    first_code: int,
    num_negatives: int,
    in_batch_share: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw candidates that all targets of a step share, and what corrects for the drawing.

    Uniform ones, mixed where asked with targets of the step itself. The bias is the log of how
    often a code was drawn over how often it was to be expected (logQ, Bengio and Senecal, 2008), so
    that the sum of exponentials over candidates expects the sum over all items.

    Args:
        target: INT64 (T,) codes of the step's targets.
        num_codes: N with the codes that are no items.
        first_code: Lowest code of an item.
        num_negatives: Draws.
        in_batch_share: Share of the draws that are targets, in [0, 1).
        generator: Where chance comes from; torch's own when None.

    Returns:
        Codes INT64 (M,), ascending and distinct, and their bias (M,).
    """
    in_batch = int(num_negatives * in_batch_share) if len(target) else 0
    options: dict[str, Any] = {"generator": generator, "device": target.device}
    uniform = torch.randint(first_code, num_codes, (num_negatives - in_batch,), **options)
    drawn = target[torch.randint(0, len(target), (in_batch,), **options)] if in_batch else target
    candidate, count = torch.unique(
        torch.cat([uniform, drawn[:in_batch]]), sorted=True, return_counts=True
    )
    expected = torch.full(candidate.shape, len(uniform) / (num_codes - first_code))
    if in_batch:
        frequency = torch.bincount(target, minlength=num_codes)[candidate] / len(target)
        expected = expected.to(frequency) + in_batch * frequency
    return candidate, torch.log(count / expected.to(target.device))
