import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from penchant.training.network_config import FeatureSizes, NetworkConfig
from penchant.training.propensity_net import (
    SMALLEST_PROBABILITY,
    MultiEmbedding,
    PropensityNet,
    held_out_members,
    log_probabilities,
    trunk_losses,
)

SMALL = NetworkConfig(
    trunks=2, members=3, width=12, embedding_size=4, dropout=0.0, hidden_share=0.0
)
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
def test_every_mix_of_columns_gives_all_members_by_goals(sizes: FeatureSizes) -> None:
    net = PropensityNet(sizes, num_goals=2, config=SMALL)

    logits = net(*draw(sizes, 5))

    assert logits.shape == (5, 2 * 3, 2)
    assert torch.isfinite(logits).all()


def test_bins_add_a_piecewise_linear_curve_to_the_line() -> None:
    net = PropensityNet(FeatureSizes(bins=(3,)), num_goals=1, config=SMALL)
    embed = net.embedding.numeric
    assert embed is not None
    with torch.no_grad():
        embed.bin.normal_()
    position = torch.tensor([[0.0], [1.5], [3.0]])

    embedded = embed(position, torch.zeros(3, 1))[:, :, 0]

    filled = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.5, 0.0], [1.0, 1.0, 1.0]])
    for trunk in range(2):
        line = torch.tensor([[-1.0], [0.0], [1.0]]) * embed.line[trunk, 0]
        expected = filled @ embed.bin[trunk, 0] + line + embed.bias[trunk, 0]
        torch.testing.assert_close(embedded[trunk], expected)


def test_a_multi_valued_column_is_the_mean_of_its_values_whatever_the_padding() -> None:
    net = PropensityNet(FeatureSizes(multi=(6,)), num_goals=1, config=SMALL)
    code = torch.tensor([[2, 0, 3, 0], [3, 2, 0, 0], [0, 0, 0, 0]], dtype=torch.int32)

    embed = net.embedding.multi[0]
    assert isinstance(embed, MultiEmbedding)

    for table, (first, second, empty) in zip(embed.table, embed(code), strict=True):
        torch.testing.assert_close(first, (table[2] + table[3]) / 2)
        torch.testing.assert_close(first, second)
        torch.testing.assert_close(empty, table[0])


def test_parts_of_the_first_layer_add_up_to_it() -> None:
    sizes = FeatureSizes(bins=(3, 5), categories=(4,))
    net = PropensityNet(sizes, num_goals=1, config=SMALL)
    embedded = torch.randn(2, 6, 3, 4)

    total = net.first_layer_parts(embedded).sum(2) + net.first.bias.unsqueeze(1)

    torch.testing.assert_close(total, net.first_layer(embedded))


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
    logits = torch.tensor([[[4.0], [-4.0], [1.0], [2.0]]])
    label, fold = torch.tensor([[1.0]]), torch.tensor([-1])

    losses = trunk_losses(logits, label, fold, num_trunks=2)

    own = -torch.log(torch.sigmoid(logits.view(2, 2))).mean(1)
    torch.testing.assert_close(losses, own)


def test_a_trunks_loss_leaves_out_its_fold_and_labels_not_observed() -> None:
    logits = torch.randn(5, 6, 2, requires_grad=True)
    label = torch.tensor([[1.0, torch.nan], [0.0, 1.0], [1.0, 0.0], [torch.nan] * 2, [1.0, 0.0]])
    fold = torch.tensor([0, 1, 1, 0, 2])

    losses = trunk_losses(logits, label, fold, num_trunks=3)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)

    seen = ~label.isnan().unsqueeze(1) & (fold.view(-1, 1, 1) != torch.arange(3).view(1, 3, 1))
    for trunk in range(3):
        kept = seen[:, trunk].nonzero().tolist()
        own = [logits[b, trunk * 2 : trunk * 2 + 2, g] for b, g in kept]
        target = torch.stack([label[b, g] for b, g in kept]).view(-1, 1).expand(-1, 2)
        expected = binary_cross_entropy_with_logits(torch.stack(own), target)
        torch.testing.assert_close(losses[trunk], expected)
    learnt = seen.repeat_interleave(2, 1)
    assert (gradient[~learnt] == 0).all()
    assert (gradient[learnt] != 0).all()


def test_no_label_at_all_costs_nothing() -> None:
    label, fold = torch.full((2, 1), torch.nan), torch.tensor([0, 1])

    losses = trunk_losses(torch.randn(2, 4, 1), label, fold, num_trunks=2)

    assert losses.tolist() == [0.0, 0.0]


def test_a_trunk_has_its_own_weights_in_everything() -> None:
    sizes = FeatureSizes(bins=(3,), categories=(4, 2), multi=(6,))
    net = PropensityNet(sizes, num_goals=1, config=SMALL)
    inputs = draw(sizes, 5)
    before = net(*inputs)

    with torch.no_grad():
        for parameter in net.parameters():
            parameter[1] += 1.0
    after = net(*inputs)

    assert all(len(parameter) == SMALL.trunks for parameter in net.parameters())
    assert torch.equal(after[:, :3], before[:, :3])
    assert (after[:, 3:] != before[:, 3:]).all()


def test_a_row_is_answered_by_the_members_it_was_held_out_from() -> None:
    logits = torch.randn(3, 6, 2)

    held_out = held_out_members(logits, torch.tensor([2, 0, 1]), num_trunks=3)

    expected = torch.stack([logits[0, 4:6], logits[1, 0:2], logits[2, 2:4]])
    assert torch.equal(held_out, expected)
    nowhere = torch.full((3,), -1)
    assert torch.equal(held_out_members(logits, nowhere, num_trunks=3), logits)


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
