from itertools import combinations
from math import factorial

import pytest
import torch

from penchant.training.calibration import BetaCalibration, GoalCalibration
from penchant.training.network_config import FeatureSizes, NetworkConfig
from penchant.training.propensity_net import Batch, PropensityNet
from penchant.training.served_propensity import (
    ServedPropensity,
    mean_embedding,
    reference_shape,
    share_reasons,
)

CONFIG = NetworkConfig(trunks=3, members=2, width=16, embedding_size=4)


def serve(sizes: FeatureSizes, *, goals: int = 2, scale: float = 1.0) -> ServedPropensity:
    torch.manual_seed(0)
    net = PropensityNet(sizes, num_goals=goals, config=CONFIG)
    with torch.no_grad():
        net.head.mul_(scale)
    calibration = BetaCalibration([GoalCalibration(slope_yes=1.2, slope_no=0.9, shift=0.1)] * goals)
    reference = torch.randn(reference_shape(net)) * 0.2
    return ServedPropensity(net, calibration=calibration, reference=reference)


def draw(sizes: FeatureSizes, rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    codes = [torch.randint(0, size, (rows, 1), dtype=torch.int32) for size in sizes.categories]
    return (
        torch.rand(rows, len(sizes.bins)) * torch.tensor(sizes.bins),
        torch.zeros(rows, len(sizes.bins)),
        torch.cat(codes, 1),
    )


def shapley(value: dict[frozenset[int], torch.Tensor], players: int) -> torch.Tensor:
    """Shapley values by their definition, over all 2^F coalitions."""
    shares = []
    for player in range(players):
        others = [other for other in range(players) if other != player]
        total = torch.zeros_like(value[frozenset()])
        for size in range(players):
            weight = factorial(size) * factorial(players - size - 1) / factorial(players)
            for chosen in combinations(others, size):
                coalition = frozenset(chosen)
                total = total + weight * (value[coalition | {player}] - value[coalition])
        shares.append(total)
    return torch.stack(shares)


def coalitions(players: int) -> list[frozenset[int]]:
    return [frozenset(c) for size in range(players + 1) for c in combinations(range(players), size)]


def test_reasons_are_shapley_values_of_a_score_with_pairwise_interactions() -> None:
    torch.manual_seed(1)
    players = 6
    alone = torch.randn(players, dtype=torch.float64)
    pair = torch.randn(players, players, dtype=torch.float64)

    def score(coalition: frozenset[int]) -> torch.Tensor:
        shown = torch.tensor([float(i in coalition) for i in range(players)], dtype=torch.float64)
        return (0.7 + alone @ shown + shown @ pair.triu(1) @ shown).view(1, 1)

    value = {coalition: score(coalition) for coalition in coalitions(players)}
    everyone = frozenset(range(players))
    single = torch.stack([value[frozenset({i})] for i in range(players)])
    rest = torch.stack([value[everyone - {i}] for i in range(players)])

    reason = share_reasons(single, rest, value[frozenset()], value[everyone])

    torch.testing.assert_close(reason, shapley(value, players), rtol=0, atol=1e-9)


def test_a_nets_reasons_over_two_features_are_its_shapley_values() -> None:
    sizes = FeatureSizes(bins=(5,), categories=(6,))
    served = serve(sizes, scale=3.0)
    inputs = draw(sizes, 9)
    _, reason, _ = served(*inputs)
    embedded = served.net.embedding(*inputs)

    value = {}
    for coalition in coalitions(2):
        shown = torch.tensor([float(i in coalition) for i in range(2)]).view(1, 2, 1)
        reference = served.reference.unsqueeze(1)
        value[coalition] = served.logit(reference + shown * (embedded - reference))

    expected = shapley(value, 2).permute(1, 2, 0)
    torch.testing.assert_close(reason, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1000.0])
def test_base_and_reasons_sum_to_the_logit_of_every_row(scale: float) -> None:
    sizes = FeatureSizes(bins=(9, 4, 30), categories=(5, 3))
    served = serve(sizes, scale=scale)

    propensity, reason, base = served(*draw(sizes, 300))

    logit = torch.logit(propensity.double())
    assert (logit - base.double() - reason.double().sum(2)).abs().max() < 1e-4
    assert ((propensity > 0) & (propensity < 1)).all()
    assert reason.shape == (300, 2, 5)


def test_a_feature_without_effect_has_no_reason() -> None:
    sizes = FeatureSizes(bins=(9, 4), categories=(5,))
    served = serve(sizes, scale=5.0)
    with torch.no_grad():
        served.net.adapter.view(CONFIG.trunks, CONFIG.members, 3, -1)[:, :, 1] = 0.0
    served = ServedPropensity(
        served.net, calibration=served.calibration, reference=served.reference
    )

    _, reason, _ = served(*draw(sizes, 50))

    assert reason[:, :, 1].abs().max() < 1e-5
    assert reason[:, :, 0].abs().max() > 0.05


def test_score_alone_is_the_explained_score() -> None:
    sizes = FeatureSizes(bins=(9,), categories=(5,))
    served = serve(sizes)
    inputs = draw(sizes, 20)

    torch.testing.assert_close(served.propensity(*inputs), served(*inputs)[0])


def test_mean_embedding_weighs_rows_not_batches() -> None:
    sizes = FeatureSizes(bins=(9,), categories=(5,))
    net = serve(sizes).net
    inputs = draw(sizes, 10)
    fold = torch.zeros(10, dtype=torch.int32)
    whole = Batch(*inputs, (), torch.zeros(10, 2), fold)
    parts = [
        Batch(
            position=inputs[0][chosen],
            missing=inputs[1][chosen],
            category=inputs[2][chosen],
            multi=(),
            label=whole.label[chosen],
            fold=fold[chosen],
        )
        for chosen in (slice(0, 7), slice(7, 10))
    ]

    torch.testing.assert_close(mean_embedding(net, parts), mean_embedding(net, [whole]))
    torch.testing.assert_close(mean_embedding(net, [whole]), net.embedding(*inputs).mean(1))


def test_no_row_has_no_mean() -> None:
    with pytest.raises(ValueError, match="expected at least one training row"):
        mean_embedding(serve(FeatureSizes(bins=(2,))).net, [])


def test_a_calibration_of_other_goals_is_refused() -> None:
    served = serve(FeatureSizes(bins=(2,)))

    with pytest.raises(ValueError, match="calibration: expected 2 goals, got 1"):
        ServedPropensity(
            served.net,
            calibration=BetaCalibration([GoalCalibration()]),
            reference=served.reference,
        )
