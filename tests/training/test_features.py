"""Fitting features, and encode.onnx against a plain NumPy reference of the same rules.

B rows, n numeric columns, m categorical columns, l slots of a multi-valued column.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from tests.tables import shop_recipe, shop_rows

from penchant.clients.contract import MultiValued
from penchant.serving.decode import IR_VERSION, ML_OPSET, OPSET
from penchant.training.encoder import compile_encoder
from penchant.training.features import (
    CategoricalFeature,
    Features,
    MultiValuedFeature,
    NumericFeature,
    fit_edges,
    fit_features,
)
from penchant.training.recipe import (
    Columns,
    FeatureConfig,
    Goal,
    MultiValuedColumn,
    read_recipe,
    shipped_recipe,
)
from penchant.training.split import split_rows
from penchant.training.table import read_table

Tensors = dict[str, NDArray[Any]]

FEATURES = Features(
    numeric=(
        NumericFeature(name="plain", edges=(0.0, 1.0, 4.0)),
        NumericFeature(name="constant", edges=(7.0,)),
        NumericFeature(name="extreme", edges=(-1e38, 0.0, 1e-30, 1e38)),
        NumericFeature(name="empty", edges=(0.0,)),
    ),
    categorical=(
        CategoricalFeature(name="colour", categories=("czerwień", "آبی", "🟢")),
        CategoricalFeature(name="same_texts", categories=("🟢", "x" * 10_000, " ")),
        CategoricalFeature(name="empty", categories=()),
    ),
    multi_valued=(MultiValuedFeature(name="tags", categories=("آبی", "new"), max_values=3),),
)
KNOWN = ("", " ", "czerwień", "آبی", "🟢", "new", "x" * 10_000)


def load(features: Features, folder: Path) -> onnxruntime.InferenceSession:
    path = folder / "encode.onnx"
    compile_encoder(features, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def encode(session: onnxruntime.InferenceSession, inputs: Tensors) -> Tensors:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    return load(FEATURES, tmp_path_factory.mktemp("encoder"))


def reference_position(value: float, edges: Sequence[float]) -> float:
    """Where a number lies on the grid: whole bins below it, and its share of its own bin."""
    if not np.isfinite(value) or value <= edges[0]:
        return 0.0
    if value >= edges[-1]:
        return len(edges) - 1.0
    place = int(np.searchsorted(edges, value, side="right")) - 1
    return place + (value - edges[place]) / (edges[place + 1] - edges[place])


def reference_code(text: str, categories: Sequence[str]) -> int:
    if text == "":
        return 0
    return categories.index(text) + 2 if text in categories else 1


def reference(features: Features, inputs: Tensors) -> Tensors:
    """What the graph has to answer, one value at a time, in float64."""
    numeric, categorical = inputs["numeric"].astype(np.float64), inputs["categorical"]
    edges = [column.edges for column in features.numeric]
    names = [column.categories for column in features.categorical]
    tags = features.multi_valued[0].categories
    outputs: Tensors = {
        "position": np.array(
            [[reference_position(v, e) for v, e in zip(row, edges, strict=True)] for row in numeric]
        ).reshape(numeric.shape),
        "missing": (~np.isfinite(numeric)).astype(np.float32),
        "category": np.array(
            [[reference_code(t, c) for t, c in zip(row, names, strict=True)] for row in categorical]
        ).reshape(categorical.shape),
        "code_tags": np.array(
            [[reference_code(text, tags) for text in row] for row in inputs["multi_tags"]]
        ).reshape(inputs["multi_tags"].shape),
    }
    codes = np.concatenate([outputs["category"], outputs["code_tags"]], 1)
    outputs["unknown"] = (codes == 1).sum(1, keepdims=True)
    return outputs


def assert_equal_but_for_rounding(outputs: Tensors, expected: Tensors) -> None:
    assert outputs.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(outputs[name], values, rtol=0, atol=1e-5, err_msg=name)


TEXTS = st.one_of(st.sampled_from(KNOWN), st.text(max_size=20))


@st.composite
def any_inputs(draw: st.DrawFn) -> Tensors:
    """Any rows of the right dtypes and shapes, from none to a few."""
    rows = draw(st.integers(0, 9))
    numbers = st.one_of(
        st.floats(width=32, allow_subnormal=True),
        st.sampled_from([0.0, -0.0, 1.0, 4.0, 7.0, 3.4028235e38, -3.4028235e38, 1e-45, -1e-45]),
    )
    texts = {
        name: draw(hnp.arrays(np.object_, (rows, width), elements=TEXTS, fill=st.nothing()))
        for name, width in (("categorical", 3), ("multi_tags", 3))
    }
    return {"numeric": draw(hnp.arrays(np.float32, (rows, 4), elements=numbers)), **texts}


@hypothesis.given(any_inputs())
@hypothesis.settings(max_examples=200, deadline=None)
def test_any_input_gets_the_reference_answer(
    session: onnxruntime.InferenceSession, inputs: Tensors
) -> None:
    assert_equal_but_for_rounding(encode(session, inputs), reference(FEATURES, inputs))


@hypothesis.given(inputs=any_inputs(), pick=st.randoms(use_true_random=False))
@hypothesis.settings(max_examples=50, deadline=None)
def test_a_row_depends_on_no_other_row(
    session: onnxruntime.InferenceSession, inputs: Tensors, pick: Any
) -> None:
    rows = len(inputs["numeric"])
    order = pick.sample(range(rows), rows)
    outputs = encode(session, inputs)
    shuffled = encode(session, {name: values[order] for name, values in inputs.items()})
    for name, values in outputs.items():
        np.testing.assert_array_equal(shuffled[name], values[order])


@pytest.mark.parametrize("rows", [0, 1, 64, 1024])
def test_any_number_of_rows_is_encoded(session: onnxruntime.InferenceSession, rows: int) -> None:
    random = np.random.default_rng(rows)
    inputs: Tensors = {
        "numeric": (random.standard_cauchy((rows, 4)) * 3).astype(np.float32),
        "categorical": random.choice(np.array(KNOWN, dtype=object), (rows, 3)),
        "multi_tags": random.choice(np.array(KNOWN, dtype=object), (rows, 3)),
    }
    assert_equal_but_for_rounding(encode(session, inputs), reference(FEATURES, inputs))


@pytest.mark.parametrize("group", ["numeric", "categorical", "multi_valued"])
def test_a_group_without_columns_is_absent(tmp_path: Path, group: str) -> None:
    features = Features(**{group: getattr(FEATURES, group)})
    session = load(features, tmp_path)
    expected = {
        "numeric": ({"numeric"}, {"position", "missing"}),
        "categorical": ({"categorical"}, {"category"}),
        "multi_valued": ({"multi_tags"}, {"code_tags"}),
    }[group]
    assert {tensor.name for tensor in session.get_inputs()} == expected[0]
    assert {tensor.name for tensor in session.get_outputs()} == expected[1] | {"unknown"}
    (tensor,) = session.get_inputs()
    dtype = np.float32 if group == "numeric" else np.object_
    values = np.full((3, tensor.shape[1]), "?" if dtype is np.object_ else 1.0, dtype=dtype)
    unknown = encode(session, {tensor.name: values})["unknown"]
    assert unknown.dtype == np.int32
    assert unknown.tolist() == [[0 if group == "numeric" else 3]] * 3


def test_the_graph_declares_what_the_other_graphs_declare(tmp_path: Path) -> None:
    path = tmp_path / "encode.onnx"
    compile_encoder(FEATURES, path)
    model = onnx.load(path)
    assert {o.domain: o.version for o in model.opset_import} == {"": OPSET, "ai.onnx.ml": ML_OPSET}
    assert model.ir_version == IR_VERSION


def test_fitted_features_encode_their_own_table(tmp_path: Path) -> None:
    table = read_table(shop_recipe(tmp_path))
    parts = split_rows(table, table.recipe.split)
    features = fit_features(table, parts.train, FeatureConfig(num_bins=8))
    outputs = encode(load(features, tmp_path), table.raw_inputs(parts.train))
    sizes = features.sizes
    assert (outputs["position"].max(0) == np.array(sizes.bins)).all()
    np.testing.assert_array_equal(outputs["missing"], np.isnan(table.numeric[parts.train]))
    assert (outputs["category"] < np.array(sizes.categories)).all()
    assert (outputs["code_interests"] < sizes.multi[0]).all()
    assert outputs["unknown"].sum() == 0
    first = features.categorical[0].categories[0]
    assert first == max(set(features.categorical[0].categories), key=_count_of(table, parts.train))


def _count_of(table: Any, rows: NDArray[np.int64]) -> Any:
    texts = table.categorical[0].raw(rows).tolist()
    return texts.count


def test_nothing_is_learnt_from_rows_outside_the_training_part(tmp_path: Path) -> None:
    rows = shop_rows()
    rows["pages"][500:] = 1_000_000
    rows["device"][500:] = ["later"] * 100
    table = read_table(shop_recipe(tmp_path, rows))
    features = fit_features(table, np.arange(500), FeatureConfig())
    assert max(features.numeric[1].edges) < 10
    assert "later" not in features.categorical[0].categories


def test_rare_and_surplus_categories_are_unknown(tmp_path: Path) -> None:
    rows = {"x": ["a"] * 5 + ["b"] * 3 + ["c"] * 2 + ["d"] + [None] * 9, "bought": [0, 1] * 10}
    goals = (Goal(name="purchase", column="bought"),)
    recipe = shop_recipe(tmp_path, rows, columns=Columns(categorical=("x",)), goals=goals)
    table, every = read_table(recipe), np.arange(20)
    often = fit_features(table, every, FeatureConfig(min_category_count=2))
    assert often.categorical[0].categories == ("a", "b", "c")
    few = fit_features(table, every, FeatureConfig(max_categories=2, min_category_count=1))
    assert few.categorical[0].categories == ("a", "b")
    assert few.sizes.categories == (4,)


def test_the_contract_names_what_was_fitted(tmp_path: Path) -> None:
    interests = MultiValuedColumn(name="interests", max_values=3, separator=";")
    columns = replace(shop_recipe(tmp_path).columns, multi_valued=(interests,))
    recipe = shop_recipe(tmp_path, columns=columns)
    table = read_table(recipe)
    features = fit_features(table, np.arange(600), recipe.features)
    contract = features.contract(recipe)
    assert contract.features == ("seconds", "pages", "device", "member", "interests")
    assert contract.goals == ("purchase", "leave")
    assert contract.multi_valued == (MultiValued(name="interests", max_values=3, separator=";"),)
    assert contract.max_batch_size == recipe.budget.max_batch_size
    assert json.loads(json.dumps(features.to_dict()))["numeric"][0]["name"] == "seconds"


@hypothesis.given(
    hnp.arrays(np.float32, st.integers(0, 60), elements=st.floats(width=32)), st.integers(1, 9)
)
@hypothesis.settings(max_examples=200, deadline=None)
def test_edges_rise_and_stay_in_range_whatever_the_column(
    values: NDArray[np.float32], num_bins: int
) -> None:
    edges = np.array(fit_edges(values, num_bins=num_bins))
    assert 1 <= len(edges) <= num_bins + 1
    assert (np.diff(edges) > 0).all()
    np.testing.assert_array_equal(edges, edges.astype(np.float32))
    finite = values[np.isfinite(values)]
    if len(finite):
        assert edges[0] == max(np.float64(finite.min()), np.float64(np.float32(-1e38)))


def test_few_values_are_edges_themselves() -> None:
    values = np.array([3, 1, 2, 2, np.nan, 1], dtype=np.float32)
    assert fit_edges(values, num_bins=32) == (1.0, 2.0, 3.0)


def test_bins_hold_about_as_many_values_each() -> None:
    values = np.random.default_rng(0).exponential(1, 10_000).astype(np.float32)
    edges = fit_edges(values, num_bins=10)
    counts = np.histogram(values, edges)[0]
    np.testing.assert_allclose(counts, 1000, atol=5)


def test_a_frequent_value_costs_one_edge_only() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([np.zeros(8_000), random.exponential(1, 2_000)]).astype(np.float32)
    edges = fit_edges(values, num_bins=16)
    assert len(edges) >= 16
    assert edges[0] == 0.0


def test_a_real_table_encodes_as_the_reference_says(tmp_path: Path) -> None:
    table = read_table(read_recipe(shipped_recipe("telco_churn")))
    rows = np.arange(300, 600)
    features = fit_features(table, np.arange(300), FeatureConfig())
    outputs = encode(load(features, tmp_path), table.raw_inputs(rows))
    edges = [column.edges for column in features.numeric]
    expected = [
        [reference_position(float(v), e) for v, e in zip(row, edges, strict=True)]
        for row in table.numeric[rows]
    ]
    np.testing.assert_allclose(outputs["position"], expected, rtol=0, atol=2e-5)
