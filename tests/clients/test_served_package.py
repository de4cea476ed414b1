"""The client against a package that went the whole way: published, fused, served."""

from __future__ import annotations

import numpy as np
from tests.conftest import TINY_VERSION, RunningTriton
from tests.packages import CONTRACT, raw_rows
from tests.packages import score as expected_scores

from penchant.clients import PropensityClient


def test_scores_are_the_packages(triton: RunningTriton) -> None:
    inputs = raw_rows(300, seed=3)
    rows = [
        {
            **dict(zip(CONTRACT.numeric, numbers.tolist(), strict=True)),
            **dict(zip(CONTRACT.categorical, words.tolist(), strict=True)),
            "interests": interests.tolist(),
        }
        for numbers, words, interests in zip(
            inputs["numeric"], inputs["categorical"], inputs["multi_interests"], strict=True
        )
    ]
    with PropensityClient(triton.address, model=CONTRACT.model, deadline_s=20) as client:
        assert client.contract == CONTRACT
        scores = client.score(rows)
    expected = expected_scores(inputs)
    np.testing.assert_allclose(scores.propensity, expected["propensity"], atol=1e-5)
    assert scores.reason is not None
    np.testing.assert_allclose(scores.reason, expected["reason"], atol=1e-4)
    assert scores.unknown.tolist() == expected["unknown"].ravel().tolist()
    assert set(scores.version.tolist()) == {TINY_VERSION}
