"""Soft answers of gradient boosting that the network learns from beside the 0s and 1s.

A label is one draw, a propensity is what it was drawn from: a small table says more through the
answers of a model that reads it well (distillation: Hinton, Vinyals and Dean, 2015, arXiv
1503.02531). Only training sees the teacher; what is served is the network alone.

Letters: B rows, G goals, T trunks.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from penchant.training.baselines import fit_lightgbm
from penchant.training.cross_fit import FoldedRows
from penchant.training.table import Table


def soft_labels(table: Table, learnt: FoldedRows, *, trunks: int, seed: int) -> NDArray[np.float32]:
    """Answers, for each trunk, of teachers that saw neither the row nor what the trunk must not.

    The teacher that answers trunk t for a row of fold f is fitted without the folds t and f. So the
    rows of fold t stay unseen by trunk t, also through its teachers, and no teacher repeats a label
    that it learnt by heart. It takes T (T - 1) / 2 teachers a goal.

    Args:
        table: What the recipe read.
        learnt: Rows outside the test part, each with its fold in [0, T).
        trunks: T, at least 3, so that something is left to fit a teacher on.
        seed: Seed of the teachers.

    Returns:
        Propensities (B, T, G); NaN where trunk t does not learn from the row.
    """
    answers = np.full((len(learnt.rows), trunks, table.label.shape[1]), np.nan, dtype=np.float32)
    for one, other in combinations(range(trunks), 2):
        kept = learnt.rows[(learnt.fold != one) & (learnt.fold != other)]
        teacher = fit_lightgbm(table, kept, seed=seed)
        for fold, trunk in ((one, other), (other, one)):
            asked = learnt.fold == fold
            answers[asked, trunk] = teacher.predict(table, learnt.rows[asked])
    return answers
