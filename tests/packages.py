"""A hand-made package, small and without training, for tests that need something to serve.

Two goals over two numeric, two categorical and one multi-valued column: a linear model whose
reasons are its own terms. ``score`` says in NumPy what the graphs must answer.
Shapes: B rows, G goals, F features, n numeric columns, V words, l slots.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from penchant.clients.contract import Contract, MultiValued
from penchant.clients.wire_contract import WireContract
from penchant.serving.decode import IR_VERSION, ML_OPSET, OPSET, write_decode
from penchant.serving.golden import Tensors, write_golden
from penchant.serving.package import ModelPackage

CONTRACT: Final = Contract(
    model="tiny",
    goals=("purchase", "unsubscribe"),
    numeric=("age_days", "basket_value"),
    categorical=("channel", "country"),
    multi_valued=(MultiValued(name="interests", max_values=3),),
    max_batch_size=64,
)
LOW: Final = np.array([0.0, 10.0], np.float32)
WIDTH: Final = np.array([30.0, 25.0], np.float32)
NUM_BINS: Final = 8.0
WORDS: Final = {
    "channel": ["email", "web", "متجر", "sklep"],
    "country": ["pl", "cz", "ایران", "🇨🇿"],
    "interests": ["shoes", "coats", "boty", "أحذية"],
}
MISSING, UNKNOWN_WORD = 0, 1

_random = np.random.default_rng(7)
NUMERIC_WEIGHT: Final = _random.normal(0, 0.2, (2, 2)).astype(np.float32)  # (n, G)
MISSING_WEIGHT: Final = _random.normal(0, 0.5, (2, 2)).astype(np.float32)  # (n, G)
WORD_WEIGHT: Final = {
    name: _random.normal(0, 0.5, (len(words) + 2, 2)).astype(np.float32)  # (V, G)
    for name, words in WORDS.items()
}
for _weight in WORD_WEIGHT.values():
    _weight[MISSING] = 0.0
BASE_LOGIT: Final = np.array([-1.5, -2.5], np.float32)  # (G,)


def raw_rows(num_rows: int, seed: int = 0) -> Tensors:
    """Random raw rows, some of them with missing values and unknown words."""
    random = np.random.default_rng(seed)
    numeric = random.normal(60, 60, (num_rows, 2)).astype(np.float32)
    numeric[random.random((num_rows, 2)) < 0.1] = np.nan
    columns = {
        name: random.choice(np.array([*words, "", "never seen"]), (num_rows, 1))
        for name, words in WORDS.items()
    }
    interests = np.array([*WORDS["interests"], "", "", "nowhere"])
    return {
        "numeric": numeric,
        "categorical": np.concatenate([columns["channel"], columns["country"]], axis=1),
        "multi_interests": random.choice(interests, (num_rows, 3)),
    }


def score(inputs: Tensors) -> Tensors:
    """What the model answers, without ONNX."""
    numeric = inputs["numeric"]
    missing = ~np.isfinite(numeric)
    position = np.clip((np.where(missing, LOW, numeric) - LOW) / WIDTH, 0, NUM_BINS)
    reason = position[:, :, None] * NUMERIC_WEIGHT + missing[:, :, None] * MISSING_WEIGHT
    codes = {
        "channel": _codes("channel", inputs["categorical"][:, :1]),
        "country": _codes("country", inputs["categorical"][:, 1:]),
        "interests": _codes("interests", inputs["multi_interests"]),
    }
    words = np.stack([WORD_WEIGHT[name][code].sum(axis=1) for name, code in codes.items()], axis=1)
    reason = np.concatenate([reason, words], axis=1).transpose(0, 2, 1)  # (B, G, F)
    base = np.broadcast_to(BASE_LOGIT, (len(numeric), 2))
    logit = base + reason.sum(axis=2)
    unknown = sum((code == UNKNOWN_WORD).sum(axis=1) for code in codes.values())
    return {
        "propensity": (1 / (1 + np.exp(-logit))).astype(np.float32),
        "reason": reason.astype(np.float32),
        "base": base.astype(np.float32),
        "unknown": np.asarray(unknown, np.int32)[:, None],
    }


def write_tiny_package(folder: Path, num_golden: int = 80) -> ModelPackage:
    """Write and seal the package in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / "encode.onnx", _encode_graph())
    _save(folder / "net.onnx", _net_graph())
    write_decode(folder / "decode.onnx", CONTRACT)
    inputs = raw_rows(num_golden, seed=1)
    write_golden(folder / "golden.npz", inputs, score(inputs))
    (folder / "report").mkdir(exist_ok=True)
    (folder / "report" / "report.html").write_text("<title>tiny</title>")
    return ModelPackage.seal(
        folder,
        contract=CONTRACT,
        data_fingerprint="none",
        code_revision="none",
        metrics={"purchase/auc": 0.5},
        calibration={},
    )


def sealed(folder: Path, contract: WireContract = CONTRACT) -> ModelPackage:
    """Seal whatever lies there now, with nothing said about how it was made."""
    return ModelPackage.seal(
        folder,
        contract=contract,
        data_fingerprint="",
        code_revision="",
        metrics={},
        calibration={},
    )


def _codes(name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    table = {"": MISSING} | {word: index + 2 for index, word in enumerate(WORDS[name])}
    flat = [table.get(str(value), UNKNOWN_WORD) for value in values.ravel()]
    return np.array(flat, np.int64).reshape(values.shape)


def _encode_graph() -> onnx.GraphProto:
    node = helper.make_node
    nodes = [
        node("IsNaN", ["numeric"], ["is_nan"]),
        node("IsInf", ["numeric"], ["is_inf"]),
        node("Or", ["is_nan", "is_inf"], ["is_missing"]),
        node("Cast", ["is_missing"], ["missing"], to=TensorProto.FLOAT),
        node("Where", ["is_missing", "low", "numeric"], ["filled"]),
        node("Sub", ["filled", "low"], ["shifted"]),
        node("Div", ["shifted", "width"], ["scaled"]),
        node("Clip", ["scaled", "zero", "num_bins"], ["position"]),
    ]
    for index, name in enumerate(CONTRACT.categorical):
        nodes.append(node("Gather", ["categorical", f"index_{index}"], [f"text_{name}"], axis=1))
        nodes.append(_label_encoder(name, f"text_{name}"))
    nodes += [
        _label_encoder("interests", "multi_interests"),
        node("Concat", ["long_channel", "long_country"], ["long_category"], axis=1),
        node("Concat", ["long_category", "long_interests"], ["long_all"], axis=1),
        node("Equal", ["long_all", "unknown_word"], ["is_unknown"]),
        node("Cast", ["is_unknown"], ["one_if_unknown"], to=TensorProto.INT32),
        node("ReduceSum", ["one_if_unknown", "axis_1"], ["unknown"], keepdims=1),
        node("Cast", ["long_category"], ["category"], to=TensorProto.INT32),
        node("Cast", ["long_interests"], ["code_interests"], to=TensorProto.INT32),
    ]
    constants = {
        "low": LOW,
        "width": WIDTH,
        "zero": np.float32(0),
        "num_bins": np.float32(NUM_BINS),
        "index_0": np.array([0]),
        "index_1": np.array([1]),
        "unknown_word": np.array(UNKNOWN_WORD),
        "axis_1": np.array([1]),
    }
    text, float_, int_ = TensorProto.STRING, TensorProto.FLOAT, TensorProto.INT32
    inputs = [
        helper.make_tensor_value_info("numeric", float_, ["batch", 2]),
        helper.make_tensor_value_info("categorical", text, ["batch", 2]),
        helper.make_tensor_value_info("multi_interests", text, ["batch", 3]),
    ]
    outputs = [
        helper.make_tensor_value_info("position", float_, ["batch", 2]),
        helper.make_tensor_value_info("missing", float_, ["batch", 2]),
        helper.make_tensor_value_info("category", int_, ["batch", 2]),
        helper.make_tensor_value_info("code_interests", int_, ["batch", 3]),
        helper.make_tensor_value_info("unknown", int_, ["batch", 1]),
    ]
    return _graph("encode", nodes, inputs, outputs, constants)


def _label_encoder(name: str, source: str) -> onnx.NodeProto:
    return helper.make_node(
        "LabelEncoder",
        [source],
        [f"long_{name}"],
        domain="ai.onnx.ml",
        keys_strings=["", *WORDS[name]],
        values_int64s=[MISSING, *range(2, len(WORDS[name]) + 2)],
        default_int64=UNKNOWN_WORD,
    )


def _net_graph() -> onnx.GraphProto:
    node = helper.make_node
    nodes = [
        node("MatMul", ["position", "numeric_weight"], ["from_position"]),
        node("MatMul", ["missing", "missing_weight"], ["from_missing"]),
        node("Unsqueeze", ["position", "axis_2"], ["position_3"]),
        node("Unsqueeze", ["missing", "axis_2"], ["missing_3"]),
        node("Mul", ["position_3", "numeric_weight"], ["reason_position"]),
        node("Mul", ["missing_3", "missing_weight"], ["reason_missing"]),
        node("Add", ["reason_position", "reason_missing"], ["reason_numeric"]),
        node("Gather", ["category", "index_0"], ["code_channel"], axis=1),
        node("Gather", ["category", "index_1"], ["code_country"], axis=1),
    ]
    for name in WORDS:
        nodes += [
            node("Gather", [f"weight_{name}", f"code_{name}"], [f"slots_{name}"]),  # (B, l, G)
            node("ReduceSum", [f"slots_{name}", "axis_1"], [f"term_{name}"], keepdims=1),
            node("Squeeze", [f"term_{name}", "axis_1"], [f"flat_{name}"]),
        ]
    terms = ["from_position", "from_missing", *(f"flat_{name}" for name in WORDS)]
    reasons = ["reason_numeric", *(f"term_{name}" for name in WORDS)]
    nodes += [
        node("Sum", terms, ["sum_terms"]),
        node("Add", ["sum_terms", "base_logit"], ["logit"]),
        node("Sigmoid", ["logit"], ["propensity"]),
        node("Concat", reasons, ["reason_by_feature"], axis=1),  # (B, F, G)
        node("Transpose", ["reason_by_feature"], ["reason"], perm=[0, 2, 1], name="reasons"),
        node("Shape", ["sum_terms"], ["shape"]),
        node("Expand", ["base_logit", "shape"], ["base"]),
    ]
    constants = {
        "numeric_weight": NUMERIC_WEIGHT,
        "missing_weight": MISSING_WEIGHT,
        "base_logit": BASE_LOGIT,
        "index_0": np.array([0]),
        "index_1": np.array([1]),
        "axis_1": np.array([1]),
        "axis_2": np.array([2]),
    } | {f"weight_{name}": weight for name, weight in WORD_WEIGHT.items()}
    float_, int_ = TensorProto.FLOAT, TensorProto.INT32
    inputs = [
        helper.make_tensor_value_info("position", float_, ["rows", 2]),
        helper.make_tensor_value_info("missing", float_, ["rows", 2]),
        helper.make_tensor_value_info("category", int_, ["rows", 2]),
        helper.make_tensor_value_info("code_interests", int_, ["rows", 3]),
    ]
    outputs = [
        helper.make_tensor_value_info("propensity", float_, ["rows", 2]),
        helper.make_tensor_value_info("reason", float_, ["rows", 2, 5]),
        helper.make_tensor_value_info("base", float_, ["rows", 2]),
    ]
    return _graph("net", nodes, inputs, outputs, constants)


def _graph(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, Any],
) -> onnx.GraphProto:
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    return helper.make_graph(nodes, name, inputs, outputs, tensors)


def _save(path: Path, graph: onnx.GraphProto) -> None:
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
