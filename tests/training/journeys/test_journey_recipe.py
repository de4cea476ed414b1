"""What a journey recipe refuses before any event is read."""

from __future__ import annotations

from typing import Any

import pytest

from penchant.training.journeys.journey_recipe import (
    AssociationConfig,
    JourneyFitConfig,
    JourneyNetworkConfig,
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
    ],
)
def test_numbers_that_cannot_be_are_refused(
    kind: type[Any], changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**changed)
