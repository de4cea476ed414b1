import pytest
import torch

from penchant.training.network_config import FeatureSizes, NetworkConfig
from penchant.training.propensity_net import (
    SMALLEST_PROBABILITY,
    MultiEmbedding,
    PropensityNet,
    log_probabilities,
    member_loss,
)

SMALL = NetworkConfig(members=3, width=12, embedding_size=4, dropout=0.0, hidden_share=0.0)
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]


def draw(sizes: FeatureSizes, rows: int) -> Inputs:
    bins = torch.tensor(sizes.bins, dtype=torch.float32)
    codes = [torch.randint(0, size, (rows, 1), dtype=torch.int32) for size in sizes.categories]
    return (
        torch.rand(rows, len(sizes.bins)) * bins,
        torch.zeros(rows, len(sizes.bins)),
        torch.cat([torch.zeros(rows, 0, dtype=torch.int32), *codes], 1),
        tuple(torch.randint(0, size, (rows, 3), dtype=torch.int32) for size in sizes.multi),
    )


@pytest.mark.parametrize(
    "sizes",
    [
        FeatureSizes(bins=(1, 7)),
        FeatureSizes(categories=(2, 5)),
        FeatureSizes(multi=(4,)),
        FeatureSizes(bins=(3,), categories=(4, 2), multi=(6, 3)),
    ],
)
def test_every_mix_of_columns_gives_members_by_goals(sizes: FeatureSizes) -> None:
    net = PropensityNet(sizes, num_goals=2, config=SMALL)

    logits = net(*draw(sizes, 5))

    assert logits.shape == (5, 3, 2)
    assert torch.isfinite(logits).all()


def test_bins_add_a_piecewise_linear_curve_to_the_line() -> None:
    net = PropensityNet(FeatureSizes(bins=(3,)), num_goals=1, config=SMALL)
    embed = net.embedding.numeric
    assert embed is not None
    with torch.no_grad():
        embed.bin.normal_()
    position = torch.tensor([[0.0], [1.5], [3.0]])

    embedded = embed(position, torch.zeros(3, 1))[:, 0]

    filled = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.5, 0.0], [1.0, 1.0, 1.0]])
    line = torch.tensor([[-1.0], [0.0], [1.0]]) * embed.line[0]
    torch.testing.assert_close(embedded, filled @ embed.bin[0] + line + embed.bias[0])


def test_a_multi_valued_column_is_the_mean_of_its_values_whatever_the_padding() -> None:
    net = PropensityNet(FeatureSizes(multi=(6,)), num_goals=1, config=SMALL)
    code = torch.tensor([[2, 0, 3, 0], [3, 2, 0, 0], [0, 0, 0, 0]], dtype=torch.int32)

    embed = net.embedding.multi[0]
    assert isinstance(embed, MultiEmbedding)

    first, second, empty = embed(code)

    table = embed.table
    torch.testing.assert_close(first, (table[2] + table[3]) / 2)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(empty, table[0])


def test_parts_of_the_first_layer_add_up_to_it() -> None:
    sizes = FeatureSizes(bins=(3, 5), categories=(4,))
    net = PropensityNet(sizes, num_goals=1, config=SMALL)
    embedded = torch.randn(6, 3, 4)

    parts = net.first_layer_parts(embedded)

    torch.testing.assert_close(parts.sum(0) + net.first.bias, net.first_layer(embedded))


def test_hidden_values_are_drawn_in_training_only() -> None:
    sizes = FeatureSizes(bins=(9,) * 4, categories=(8,) * 4)
    config = NetworkConfig(members=2, width=8, embedding_size=4, dropout=0.0, hidden_share=0.5)
    net = PropensityNet(sizes, num_goals=1, config=config)
    inputs = draw(sizes, 40)

    trained = net.train()(*inputs)
    served = net.eval()(*inputs)

    assert not torch.equal(trained, served)
    assert torch.equal(served, net(*inputs))


def test_loss_is_the_mean_of_members_own_losses_not_the_loss_of_their_mean() -> None:
    logits = torch.tensor([[[4.0], [-4.0]]])
    label = torch.tensor([[1.0]])

    loss = member_loss(logits, label)

    own = -torch.log(torch.sigmoid(torch.tensor([4.0, -4.0]))).mean()
    torch.testing.assert_close(loss, own)


def test_a_goal_without_a_label_has_no_part_in_the_loss_or_its_gradient() -> None:
    logits = torch.randn(4, 3, 2, requires_grad=True)
    label = torch.tensor([[1.0, torch.nan], [0.0, torch.nan], [torch.nan, torch.nan], [1.0, 0.0]])

    loss = member_loss(logits, label)
    (gradient,) = torch.autograd.grad(loss, logits)

    kept = ~label.isnan()
    rows = [
        member_loss(logits[b : b + 1, :, g : g + 1], label[b : b + 1, g : g + 1])
        for b, g in kept.nonzero().tolist()
    ]
    torch.testing.assert_close(loss, torch.stack(rows).mean())
    assert (gradient.transpose(1, 2)[~kept] == 0).all()


def test_no_label_at_all_costs_nothing() -> None:
    loss = member_loss(torch.randn(2, 3, 1), torch.full((2, 1), torch.nan))

    assert loss.item() == 0.0


def test_log_probabilities_average_probabilities_and_stay_finite() -> None:
    logits = torch.tensor([[[0.0], [2.0]], [[200.0], [200.0]], [[-200.0], [-200.0]]])

    log_yes, log_no = log_probabilities(logits)

    mean = torch.sigmoid(torch.tensor([0.0, 2.0])).mean()
    torch.testing.assert_close(log_yes[0, 0], mean.log())
    torch.testing.assert_close(log_no[0, 0], (1 - mean).log())
    least = torch.tensor(SMALLEST_PROBABILITY).log()
    torch.testing.assert_close(log_no[1, 0], least)
    torch.testing.assert_close(log_yes[2, 0], least)


def test_no_goal_is_refused() -> None:
    with pytest.raises(ValueError, match="num_goals: expected at least 1, got 0"):
        PropensityNet(FeatureSizes(bins=(2,)), num_goals=0)
