"""A journey model with random weights, to measure how fast one of its size is served."""

from __future__ import annotations

from pathlib import Path

from penchant.clients.home import Home
from penchant.clients.journey_contract import JourneyContract
from penchant.serving.repository import Repository
from penchant.training.journeys.benchmarks.untrained import VERSION, main


def test_it_is_tried_and_published_in_the_size_asked_for(tmp_path: Path) -> None:
    main(tmp_path, num_items=40, k=7, width=8, window=5, profile=2, integer_ids=True)

    served = Repository(Home(tmp_path).model_repository).served("journey")
    assert isinstance(served.contract, JourneyContract)
    assert served.package_version == VERSION
    assert served.contract.item_dtype == "INT64"
    assert (served.contract.length, served.contract.num_items) == (7, 7)
    golden = served.golden()
    assert golden.outputs["visitor_embedding"].shape == (golden.num_rows, 8)
    assert (golden.outputs["count"] == 7).all()
