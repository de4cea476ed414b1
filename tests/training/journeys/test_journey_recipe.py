"""What a journey recipe refuses before any event is read."""

from __future__ import annotations

from typing import Any

import pytest

from penchant.training.journeys.journey_recipe import (
    AssociationConfig,
    JourneyFitConfig,
    JourneyNetworkConfig,
    JourneyRecipe,
    JourneySplit,
)


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        (JourneyNetworkConfig, {"dropout": 1.5}, r"network\.dropout: .* below 1, got 1\.5"),
        (JourneyNetworkConfig, {"item_dropout": -0.1}, r"network\.item_dropout: expected a share"),
        (JourneyNetworkConfig, {"temperature": 0.0}, r"network\.temperature"),
        (JourneyNetworkConfig, {"num_heads": 3}, r"network\.num_heads: expected a divisor"),
        (JourneyFitConfig, {"learning_rate": -1.0}, r"fit\.learning_rate"),
        (JourneyFitConfig, {"in_batch_share": 2.0}, r"fit\.in_batch_share: expected a share"),
        (JourneyFitConfig, {"head_weight": -1.0}, r"fit\.head_weight"),
        (AssociationConfig, {"half_life_days": 0.0}, r"associations\.half_life_days"),
        (AssociationConfig, {"neighbours": 0}, r"associations\.neighbours"),
        (AssociationConfig, {"use": ("liked",)}, r"associations: expected some of .*, got 'liked'"),
        (
            JourneySplit,
            {"by": "visitor"},
            r"split\.by: expected time or leave_one_out, got 'visitor",
        ),
        (JourneySplit, {"test": 1.0}, r"split\.test: expected a share between 0 and 1, got 1\.0"),
        (JourneySplit, {"validation": 0.0}, r"split\.validation: expected a share between"),
        (JourneySplit, {"test": float("nan")}, r"split\.test: expected a share between 0 and 1"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    kind: type[Any], changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target_action": "purchse"}, r"target_action: .* got 'purchse'; did you mean purchase\?"),
        ({"fit": JourneyFitConfig(action_weights={"buy": 3.0})}, r"fit\.action_weights: .*'buy'"),
        (
            {"associations": AssociationConfig(action_weights={"buy": 3.0})},
            r"associations\.action_weights: expected one of the log's actions \(view, purchase\)",
        ),
        (
            {"associations": AssociationConfig(purchase_actions=("purchase", "order"))},
            r"associations\.purchase_actions: .* got 'order'; name one of them or leave it out",
        ),
    ],
)
def test_actions_that_the_log_lacks_are_refused(changed: dict[str, Any], message: str) -> None:
    recipe = JourneyRecipe(name="shop", log="log.yaml", **changed)
    with pytest.raises(ValueError, match=message):
        recipe.check_actions(("view", "purchase"))


def test_nothing_need_be_said_of_a_log_without_purchases() -> None:
    recipe = JourneyRecipe(name="shop", log="log.yaml")
    recipe.check_actions(("view",))
    assert recipe.associations.purchases == ("purchase",)
    assert AssociationConfig(purchase_actions=()).purchases == ()
