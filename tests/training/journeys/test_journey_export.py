"""net.onnx of a journey model answers as PyTorch does, in operators that TensorRT takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from tests.training.journeys.served_models import (
    CATEGORY,
    NUM_CODES,
    ask,
    contract,
    draw,
    small_net,
    small_served,
)

from penchant.training.journeys.association_tables import AssociationTables
from penchant.training.journeys.blend import Blend, BlendModule
from penchant.training.journeys.code_parts import CodePart
from penchant.training.journeys.journey_export import export_journey_net
from penchant.training.journeys.served_journey import ServedJourney

REFUSED_BY_TENSORRT = {
    "NonZero",
    "OneHot",
    "Unique",
    "Loop",
    "If",
    "Scan",
    "SequenceConstruct",
    "Dropout",
    "RandomUniform",
    "Compress",
}
TOLERANCE = 1e-4
SETTINGS: dict[str, dict[str, Any]] = {
    "all": {},
    "plain": {
        **dict.fromkeys(("channels", "categories", "clock", "purchases"), False),
        "profile": 0,
        "window": 10,
    },
    "cosine": {"similarity": "cosine", "time_bias": False, "channels": False},
}


BLEND = Blend(
    network=1.0,
    alpha={"bought_together": 0.5, "viewed_together": 0.4, "popular": 0.3},
    targets=1,
    logloss_before=1.0,
    logloss=1.0,
    ndcg_before=0.0,
    ndcg=0.0,
)


def statistics() -> AssociationTables:
    """Random neighbours of each item, each once."""
    random = np.random.default_rng(0)
    code = np.stack([[random.permutation(NUM_CODES)[:5] for _ in range(NUM_CODES)] for _ in "12"])
    return AssociationTables(
        names=tuple(BLEND.alpha),
        code=code.astype(np.int32),
        weight=random.random(code.shape).astype(np.float32) * (code >= 2),
        popularity=random.random(NUM_CODES).astype(np.float32),
    )


def exported(served: ServedJourney, folder: Path, **kinds: bool) -> Path:
    path = folder / "net.onnx"
    export_journey_net(served, path, contract(**kinds))
    return path


def kinds_of(settings: dict[str, Any]) -> dict[str, bool]:
    return {name: settings.get(name, True) for name in ("channels", "categories")}


def rows_alike(got: dict[str, npt.NDArray[Any]], expected: dict[str, npt.NDArray[Any]]) -> None:
    for name, value in expected.items():
        assert got[name].dtype == value.dtype
        if value.dtype == np.int32:
            np.testing.assert_array_equal(got[name], value, err_msg=name)
        else:
            np.testing.assert_allclose(got[name], value, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_the_graph_answers_as_pytorch_does(settings: dict[str, Any], tmp_path: Path) -> None:
    kinds = kinds_of(settings)
    blend = BlendModule(BLEND, statistics()) if not settings else None
    served = small_served(small_net(**settings), blend=blend, most_codes=12)
    for name, kind in (("hour_score", "clock"), ("purchase", "purchases")):
        assert (name in served.outputs) == settings.get(kind, True)
    path = exported(served, tmp_path, **kinds)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows in (1, 7, 64):
        inputs = draw(rows, contract(**kinds), seed=rows)
        assert {tensor.name for tensor in session.get_inputs()} == set(inputs)
        found = session.run(list(served.outputs), inputs)
        rows_alike(dict(zip(served.outputs, found, strict=True)), ask(served, inputs))
    graph = onnx.load(path).graph
    assert not REFUSED_BY_TENSORRT & {node.op_type for node in graph.node}
    scatters = [node for node in graph.node if node.op_type.startswith("Scatter")]
    reductions = [attribute.s for node in scatters for attribute in node.attribute if attribute.s]
    assert set(reductions) <= {b"none"}, "TensorRT takes no scatter that adds"
    for tensor in (*graph.input, *graph.output):
        dims = tensor.type.tensor_type.shape.dim
        assert [bool(dim.dim_param) for dim in dims] == [True, *[False] * (len(dims) - 1)]


@pytest.mark.parametrize("most_codes", [None, 12])
def test_no_answer_was_met_where_repeats_may_not_be(most_codes: int | None, tmp_path: Path) -> None:
    served = small_served(small_net(), most_codes=most_codes, repeats=False)
    inputs = draw(64, contract())
    inputs["item_code"][inputs["action_code"] == 0] = 31  # padding, whatever else it has
    inputs["exclude_code"][:], inputs["allow_code"][:] = 0, 0
    answers = ask(served, inputs)
    for row in range(64):
        met = set(inputs["item_code"][row][inputs["action_code"][row] > 0].tolist())
        assert not set(answers["top_code"][row].tolist()) & met - {0}
    alone = (inputs["action_code"] == 0).all(1)
    assert alone.any()
    assert (answers["top_code"][alone] == 31).any(1).all()
    session = onnxruntime.InferenceSession(
        exported(served, tmp_path), providers=["CPUExecutionProvider"]
    )
    found = session.run(list(served.outputs), inputs)
    rows_alike(dict(zip(served.outputs, found, strict=True)), answers)


def test_no_answer_is_excluded_or_outside_what_is_allowed() -> None:
    wire = contract()
    served = small_served(small_net())
    inputs = draw(200, wire)
    answers = ask(served, inputs)
    category = CATEGORY.numpy()
    for row in range(200):
        count = int(answers["count"][row, 0])
        code = answers["top_code"][row]
        assert not code[count:].any()
        assert len(set(code[:count].tolist())) == count
        assert (code[:count] >= 2).all()
        assert not set(code.tolist()) & set(inputs["exclude_code"][row].tolist()) - {0}
        asked = set(inputs["allow_code"][row].tolist()) - {0}
        assert not asked or set(category[code[:count]].tolist()) <= asked
        left = [
            item
            for item in range(2, NUM_CODES)
            if item not in inputs["exclude_code"][row] and (not asked or category[item] in asked)
        ]
        assert count == min(8, len(left))
    assert (np.diff(answers["top_score"], axis=1) <= 0).all()
    for name in ("channel_score", "hour_score"):
        np.testing.assert_allclose(answers[name].sum(1), 1, rtol=1e-5)
    assert ((answers["purchase"] >= 0) & (answers["purchase"] <= 1)).all()


def test_scores_are_shares_among_the_items_that_may_be_answered() -> None:
    served = small_served(small_net())
    inputs = draw(5, contract())
    inputs["exclude_code"][:] = 0
    inputs["allow_code"][:] = 0
    free = ask(served, inputs)
    inputs["allow_code"][:, 0] = 3
    kept = ask(served, inputs)
    assert (np.isin(kept["top_code"], [0, *np.flatnonzero(CATEGORY.numpy() == 3)])).all()
    best = {int(code): p for code, p in zip(free["top_code"][0], free["top_score"][0], strict=True)}
    shared = [int(code) for code in kept["top_code"][0] if int(code) in best]
    assert shared
    for code in shared:
        place = kept["top_code"][0].tolist().index(code)
        assert kept["top_score"][0][place] > best[code], "the same item among fewer"
    np.testing.assert_allclose(kept["top_score"].sum(1), 1, rtol=1e-5)  # 8 items of a category


def test_a_row_is_answered_alike_whoever_else_asks() -> None:
    served = small_served(small_net())
    inputs = draw(16, contract())
    together = ask(served, inputs)
    for row in (0, 7, 15):
        alone = ask(served, {name: value[row : row + 1] for name, value in inputs.items()})
        rows_alike(alone, {name: value[row : row + 1] for name, value in together.items()})


def test_an_answer_depends_on_what_is_asked_for() -> None:
    served = small_served(small_net())
    inputs = draw(32, contract(), seed=5)
    inputs["exclude_code"][:] = inputs["allow_code"][:] = 0
    answers = []
    for target in (1, 3):
        inputs["target_code"][:] = target
        answers.append(ask(served, inputs))
    assert (answers[0]["top_code"] != answers[1]["top_code"]).any()
    first, second = (found["visitor_embedding"] for found in answers)
    np.testing.assert_array_equal(first, second)


class PlusOne(torch.nn.Module):
    """Stands for association statistics: item 9 is tied to all that the visitor has met."""

    def forward(
        self, logits: torch.Tensor, item_code: torch.Tensor, part: CodePart | None = None
    ) -> torch.Tensor:
        assert part is None
        met = (item_code > 0).sum(1, keepdim=True).float()
        bonus = torch.zeros(NUM_CODES)
        bonus[9] = 20.0
        return logits + met * bonus


def test_what_statistics_add_is_ranked_with_the_rest() -> None:
    served = small_served(small_net(), blend=PlusOne())
    inputs = draw(9, contract(), seed=2)
    inputs["exclude_code"][:] = inputs["allow_code"][:] = 0
    inputs["item_code"][0] = 0
    met = (inputs["item_code"] > 0).any(1)
    assert not met.all()
    first = ask(served, inputs)["top_code"][:, 0]
    assert (first[met] == 9).all()
    without = ask(small_served(small_net()), inputs)["top_code"][:, 0]
    assert (first[~met] == without[~met]).all()


def test_more_intents_than_categories_are_refused() -> None:
    with pytest.raises(ValueError, match="num_intents: expected from 0 to the 4 categories"):
        ServedJourney(small_net(), category_of_code=CATEGORY, num_items=8, num_intents=5)
