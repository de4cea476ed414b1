import pytest
import torch
from torch import Tensor
from torch.nn import functional

from penchant.training.journeys import losses
from penchant.training.journeys.losses import (
    draw_candidates,
    full_softmax_loss,
    sampled_softmax_loss,
)


def draw(targets: int = 37, items: int = 11, width: int = 5) -> tuple[Tensor, ...]:
    """Queries, table, target codes and weights."""
    torch.manual_seed(1)
    return (
        torch.randn(targets, width, requires_grad=True),
        torch.randn(items, width, requires_grad=True),
        torch.randint(0, items, (targets,)),
        torch.rand(targets),
    )


@pytest.mark.parametrize("cells", [1, 60, 10_000])
def test_full_softmax_is_the_cross_entropy(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "PIECE_CELLS", cells)
    query, table, target, weight = draw()
    plain = (functional.cross_entropy(query @ table.t(), target, reduction="none") * weight).sum()
    expected = torch.autograd.grad(plain * 3.0, (query, table))
    loss = full_softmax_loss(query, table, target, weight)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(torch.autograd.grad(loss * 3.0, (query, table)), expected)


@pytest.mark.parametrize("cells", [1, 60, 10_000])
def test_sampled_softmax_is_the_cross_entropy_among_candidates(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "PIECE_CELLS", cells)
    query, table, target, weight = draw()
    candidate, bias = torch.tensor([0, 3, 4, 9]), torch.randn(4)
    logits = query @ table[candidate].t() + bias
    logits = logits.masked_fill(candidate == target.unsqueeze(1), -torch.inf)
    logits = torch.cat([(query * table[target]).sum(1, keepdim=True), logits], 1)
    plain = (torch.logsumexp(logits, 1) - logits[:, 0]) @ weight
    expected = torch.autograd.grad(plain * 2.0, (query, table))
    loss = sampled_softmax_loss(
        query,
        table[candidate],
        table[target],
        candidate=candidate,
        bias=bias,
        target=target,
        weight=weight,
    )
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(torch.autograd.grad(loss * 2.0, (query, table)), expected)


def test_the_only_candidate_may_be_the_target() -> None:
    query, table, _, weight = draw()
    target = torch.full((len(query),), 3)
    loss = sampled_softmax_loss(
        query,
        table[3:4],
        table[target],
        candidate=torch.tensor([3]),
        bias=torch.zeros(1),
        target=target,
        weight=weight,
    )
    gradients = torch.autograd.grad(loss, (query, table))
    assert float(loss.detach()) == 0.0
    assert all(bool((each == 0).all()) for each in gradients)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_candidates_expect_the_sum_over_all_items(share: float) -> None:
    torch.manual_seed(0)
    scores = torch.rand(12) * 2.0
    target = torch.tensor([2, 2, 2, 5, 7, 7])
    sums = []
    for _ in range(4000):
        candidate, bias = draw_candidates(
            target, num_codes=12, first_code=2, num_negatives=8, in_batch_share=share
        )
        assert (candidate.diff() > 0).all()
        assert candidate.min() >= 2
        sums.append((scores[candidate] + bias).exp().sum())
    drawn = torch.stack(sums)
    error = float(drawn.std()) / len(sums) ** 0.5
    assert abs(float(drawn.mean() - scores[2:].exp().sum())) < 4 * error


def test_many_candidates_come_near_the_full_softmax() -> None:
    query, table, target, weight = draw(items=40)
    full = full_softmax_loss(query, table, target, weight)
    torch.manual_seed(0)
    candidate, bias = draw_candidates(
        target, num_codes=40, first_code=0, num_negatives=20_000, in_batch_share=0.3
    )
    sampled = sampled_softmax_loss(
        query,
        table[candidate],
        table[target],
        candidate=candidate,
        bias=bias,
        target=target,
        weight=weight,
    )
    torch.testing.assert_close(sampled, full, rtol=0.01, atol=0.0)
