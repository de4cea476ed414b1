"""A trunk's teachers know nothing of the rows that the trunk must not learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tables import shop_recipe

from penchant.training.cross_fit import FoldedRows, assign_roles
from penchant.training.propensity_net import soft_target, trunk_losses
from penchant.training.split import split_rows
from penchant.training.table import Table, read_table
from penchant.training.teacher import soft_labels

TRUNKS = 3


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return read_table(shop_recipe(tmp_path))


def _learnt(table: Table) -> FoldedRows:
    return assign_roles(table, split_rows(table, table.recipe.split), trunks=TRUNKS).train


def test_each_trunk_is_taught_all_rows_but_its_own_fold(table: Table) -> None:
    learnt = _learnt(table)
    answers = soft_labels(table, learnt, trunks=TRUNKS, seed=0)
    assert answers.shape == (len(learnt.rows), TRUNKS, 2)
    own = learnt.fold[:, None] == np.arange(TRUNKS)
    np.testing.assert_array_equal(np.isnan(answers).all(axis=2), own)
    taught = answers[~own]
    assert ((taught > 0) & (taught < 1)).all()


def test_labels_of_a_fold_move_no_answer_for_the_trunk_that_must_not_see_it(table: Table) -> None:
    learnt = _learnt(table)
    before = soft_labels(table, learnt, trunks=TRUNKS, seed=0)
    hidden = learnt.rows[learnt.fold == 1]
    table.label[hidden] = 1 - table.label[hidden]
    after = soft_labels(table, learnt, trunks=TRUNKS, seed=0)
    np.testing.assert_array_equal(after[:, 1], before[:, 1])
    others = learnt.fold == 2
    assert not np.array_equal(after[others, 0], before[others, 0])


def test_a_target_is_the_mix_of_label_and_teacher() -> None:
    label = torch.tensor([[1.0], [0.0], [float("nan")]])
    teacher = torch.tensor([[[0.5], [0.9]], [[0.5], [float("nan")]], [[0.3], [0.3]]])
    mixed = soft_target(label, teacher, share=0.8)
    torch.testing.assert_close(mixed[0, :, 0], torch.tensor([0.6, 0.92]))
    torch.testing.assert_close(mixed[1, 0, 0], torch.tensor(0.4))
    without = soft_target(label, torch.empty(3, 0, 1), share=0.8)
    torch.testing.assert_close(without[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]))


def test_the_loss_is_least_where_a_trunk_says_what_its_own_teacher_said() -> None:
    label, fold = torch.tensor([[1.0]]), torch.tensor([-1])
    target = torch.tensor([[[0.2], [0.7]]])
    right = torch.logit(target).reshape(1, 2, 1)
    best = trunk_losses(right, label, fold, num_trunks=2, target=target)
    for shift in (-0.1, 0.1):
        worse = trunk_losses(right + shift, label, fold, num_trunks=2, target=target)
        assert bool((worse > best).all())
