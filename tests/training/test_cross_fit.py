"""Cross-fitting: which trunk learns from which row, and that the fit keeps to it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tables import shop_recipe

from penchant.training.cross_fit import assign_roles
from penchant.training.fit import fit_propensity
from penchant.training.network_config import NetworkConfig
from penchant.training.recipe import FitConfig, Recipe, Split
from penchant.training.split import seen_rows, split_rows
from penchant.training.table import Table, read_table

NET = NetworkConfig(trunks=3, members=2, width=16, embedding_size=4)
BY_GROUP = Split(by="group", column="visitor")
BY_TIME = Split(by="time", column="day")
TRUNK = 1

pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")


def shop(folder: Path, split: Split) -> Recipe:
    fit = FitConfig(max_epochs=1)
    return shop_recipe(folder, split=split, network=NET, fit=fit)


def in_time(folder: Path) -> Table:
    """Rows of visitors who come again, to be divided by time."""
    visitor = read_table(shop(folder, BY_GROUP)).visitor
    return replace(read_table(shop(folder, BY_TIME)), visitor=visitor)


@pytest.mark.parametrize("split", [Split(), BY_GROUP, BY_TIME], ids=lambda split: split.by)
def test_every_row_outside_the_test_part_is_held_out_from_one_trunk(
    tmp_path: Path, split: Split
) -> None:
    table = in_time(tmp_path) if split.by == "time" else read_table(shop(tmp_path, split))
    parts = split_rows(table, split)

    roles = assign_roles(table, parts, trunks=3)
    again = assign_roles(table, parts, trunks=3)

    assert roles.train is roles.validation is roles.calibration
    np.testing.assert_array_equal(roles.train.rows, seen_rows(parts))
    share = np.bincount(roles.train.fold) / len(roles.train.rows)
    np.testing.assert_allclose(share, 1 / 3, atol=0.02)
    np.testing.assert_array_equal(roles.train.fold, again.train.fold)


def test_folds_hold_each_combination_of_goals_in_its_proportion(tmp_path: Path) -> None:
    table = read_table(shop(tmp_path, Split()))

    seen = assign_roles(table, split_rows(table, Split()), trunks=3).train

    for both in ([0, 0], [0, 1], [1, 0], [1, 1]):
        fold = seen.fold[(table.label[seen.rows] == both).all(1)]
        assert np.ptp(np.bincount(fold, minlength=3)) <= 2  # whole rows only


@pytest.mark.parametrize("split", [BY_GROUP, BY_TIME], ids=lambda split: split.by)
def test_no_visitor_is_in_two_folds(tmp_path: Path, split: Split) -> None:
    table = in_time(tmp_path) if split.by == "time" else read_table(shop(tmp_path, split))
    assert table.visitor is not None

    seen = assign_roles(table, split_rows(table, split), trunks=3).train

    pairs = np.unique(np.stack([table.visitor[seen.rows], seen.fold], 1), axis=0)
    assert len(pairs) == len(np.unique(table.visitor[seen.rows]))
    np.testing.assert_array_equal(np.unique(seen.fold), [0, 1, 2])


@pytest.mark.parametrize(("split", "trunks"), [(BY_TIME, 3), (Split(), 1)])
def test_by_time_of_unknown_visitors_or_with_one_trunk_the_parts_keep_their_roles(
    tmp_path: Path, split: Split, trunks: int
) -> None:
    table = read_table(shop(tmp_path, split))
    parts = split_rows(table, split)

    roles = assign_roles(table, parts, trunks=trunks)

    for role, rows in (
        (roles.train, parts.train),
        (roles.validation, parts.validation),
        (roles.calibration, parts.calibration),
    ):
        np.testing.assert_array_equal(role.rows, rows)
        assert (role.fold == -1).all()


def flipped(table: Table, rows: np.ndarray) -> Table:
    label = table.label.copy()
    label[rows] = 1 - label[rows]
    return replace(table, label=label)


@pytest.mark.parametrize("whose", ["group", "time of visitors", "time"])
def test_a_fit_keeps_to_the_roles(tmp_path: Path, whose: str) -> None:
    """Labels that a trunk must not learn from change nothing in it, not by a bit.

    None of the splits looks at labels, and with one epoch there is none to choose.
    """
    split = BY_GROUP if whose == "group" else BY_TIME
    recipe = shop(tmp_path, split)
    table = in_time(tmp_path) if whose == "time of visitors" else read_table(recipe)
    parts = split_rows(table, split)
    roles = assign_roles(table, parts, trunks=NET.trunks)
    hidden = roles.train.rows[roles.train.fold == TRUNK]
    if whose == "time":
        hidden = parts.calibration

    plain = fit_propensity(table, parts, recipe, tmp_path / "plain")
    wrong = fit_propensity(flipped(table, hidden), parts, recipe, tmp_path / "wrong")

    weights = dict(plain.served.net.named_parameters())
    assert all(
        torch.equal(weight[TRUNK], weights[name][TRUNK])
        for name, weight in wrong.served.net.named_parameters()
    )
    before, after = plain.served.calibration, wrong.served.calibration
    assert not torch.equal(before.shift, after.shift)
