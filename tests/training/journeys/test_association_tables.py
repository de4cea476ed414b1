"""Association tables: what they keep, and that NumPy, PyTorch and ONNX give one score."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest
import torch

from penchant.training.journeys.association_tables import (
    AssociationScores,
    AssociationTables,
    association_tables,
)
from penchant.training.journeys.catalogue import Catalogue
from penchant.training.net_export import NET_OPSET, quiet_exporter

ITEMS = 12
CATALOGUE = Catalogue(
    item_id=np.array([f"i{at}" for at in range(ITEMS)], dtype=object),
    category=np.zeros(ITEMS, np.int32),
)


def pairs_of(seed: int, count: int = 80) -> pa.Table:
    rng = np.random.default_rng(seed)
    every = rng.permutation((ITEMS + 2) ** 2)[:count]  # two ids are in no catalogue
    return pa.table(
        {
            "item_id": [f"i{at // (ITEMS + 2)}" for at in every],
            "other_id": [f"i{at % (ITEMS + 2)}" for at in every],
            "weight": rng.exponential(3.0, count),
        }
    )


PAIRS = {"bought_together": pairs_of(0), "viewed_together": pairs_of(1)}
POPULAR = pa.table({"item_id": ["i3", "i99", "i0"], "weight": [5.0, 9.0, 1.5]})
TABLES = association_tables(
    PAIRS,
    num_codes=CATALOGUE.num_codes,
    encode=CATALOGUE.encode_arrow,
    neighbours=4,
    popular=POPULAR,
)


def history(rows: int = 7, length: int = 15) -> np.ndarray:
    item = np.random.default_rng(4).integers(0, ITEMS + 2, (rows, length)).astype(np.int32)
    item[0] = 0
    item[1, :-1] = 0
    return item


def test_scores_agree_with_a_plain_loop() -> None:
    item = history()
    found = TABLES.scores(item)
    assert TABLES.names == ("bought_together", "viewed_together", "popular")
    wanted = np.zeros_like(found)
    for place, table in enumerate(PAIRS.values()):
        rows = table.to_pylist()
        for case, codes in enumerate(item.tolist()):
            for back, code in enumerate(reversed(codes[-10:])):
                mine = [
                    row
                    for row in rows
                    if row["item_id"] == f"i{code - 2}"
                    and row["other_id"] in CATALOGUE.item_id
                    and row["other_id"] != row["item_id"]
                ]
                for row in sorted(mine, key=lambda row: -row["weight"])[:4] if code > 1 else []:
                    other = int(row["other_id"][1:]) + 2
                    wanted[case, place, other] += 0.8**back * row["weight"]
    wanted[:, 2, [5, 2]] = 5.0, 1.5
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert found[1:, :2].any()
    assert not found[0, :2].any()
    assert not found[..., :2].any()


def test_pytorch_and_onnx_give_the_same_scores(tmp_path: Path) -> None:
    module = AssociationScores(TABLES)
    item = history()
    wanted = TABLES.scores(item)[:, :2]
    np.testing.assert_allclose(module(torch.from_numpy(item)).numpy(), wanted, rtol=1e-5)
    path = tmp_path / "scores.onnx"
    with quiet_exporter():
        program = torch.onnx.export(
            module,
            (torch.from_numpy(item[:3]),),
            dynamo=True,
            input_names=["item_code"],
            output_names=["score"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            opset_version=NET_OPSET,
            verbose=False,
        )
    assert program is not None
    onnx.save(program.model_proto, path)
    operators = {node.op_type for node in program.model_proto.graph.node}
    assert {"Gather", "ScatterElements"} <= operators
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows in (1, 7):
        (found,) = session.run(None, {"item_code": item[:rows]})
        np.testing.assert_allclose(found, wanted[:rows], rtol=1e-5)


@pytest.mark.parametrize("length", [1, 3])
def test_histories_shorter_than_what_is_looked_at(length: int) -> None:
    item = history(length=length)
    found = AssociationScores(TABLES)(torch.from_numpy(item)).numpy()
    np.testing.assert_allclose(found, TABLES.scores(item)[:, :2], rtol=1e-5)


def test_tables_survive_a_file_and_can_be_thinned(tmp_path: Path) -> None:
    TABLES.save(tmp_path / "tables.npz")
    opened = AssociationTables.open(tmp_path / "tables.npz")
    assert opened.names == TABLES.names
    np.testing.assert_array_equal(opened.scores(history()), TABLES.scores(history()))
    thin = TABLES.keep(("viewed_together",))
    np.testing.assert_array_equal(thin.scores(history()), TABLES.scores(history())[:, 1:2])
    popular = TABLES.keep(("popular",))
    np.testing.assert_array_equal(popular.scores(history()), TABLES.scores(history())[:, 2:])


def test_no_pairs_at_all() -> None:
    tables = association_tables(
        {"bought_together": pairs_of(0)[:0]},
        num_codes=CATALOGUE.num_codes,
        encode=CATALOGUE.encode_arrow,
        neighbours=4,
    )
    assert not tables.scores(history()).any()
