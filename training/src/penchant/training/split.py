"""Dividing a table's rows: who is learnt from, who decides, who calibrates and who judges."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from penchant.training.recipe import Split
from penchant.training.table import Table

Rows = NDArray[np.int64]
"""Row numbers of a table, (B,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """Row numbers of four parts; only validation and calibration may hold the same rows.

    A cross-fitted network learns from the first three alike (`penchant.training.cross_fit`).
    """

    train: Rows
    """Rows that features and network are fitted on."""
    validation: Rows
    """Rows that decide when to stop, and choose the penalty of the logistic regression."""
    calibration: Rows
    """Rows that fit the calibration."""
    test: Rows
    """Rows that nothing but the evaluation sees."""


def split_rows(table: Table, split: Split) -> Parts:
    """Divide all rows as the recipe says.

    Raises:
        ValueError: A part would be empty or would miss one of a goal's two values.
    """
    rows = np.arange(table.num_rows)
    shares = (split.validation, split.calibration, split.test)
    train, validation, calibration, test = _cut(table, rows, shares, split=split, seed=split.seed)
    return _checked(
        table, split, Parts(train=train, validation=validation, calibration=calibration, test=test)
    )


def seen_rows(parts: Parts) -> Rows:
    """Every row outside the test part, in the table's order."""
    return np.unique(np.concatenate([parts.train, parts.validation, parts.calibration]))


def deal(table: Table, rows: Rows, k: int) -> NDArray[np.int32]:
    """Deal rows out at random to k folds of nearly the same size.

    Where it is known whose rows they are, no visitor is in two folds, and a fold stays empty where
    there are fewer visitors than folds. Else folds have each combination of goals in its
    proportion.

    Args:
        table: The recipe's table.
        rows: Row numbers (B,).
        k: Number of folds, at least 1.

    Returns:
        The fold of each row (B,), 0 to k - 1.
    """
    generator, shares = np.random.default_rng(table.recipe.split.seed), [1 / k] * (k - 1)
    if table.visitor is None:
        parts = _cut_stratified(table.label, rows, shares, generator)
    else:
        parts = _cut_by_group(table.visitor, rows, shares, generator)
    fold = np.empty(table.num_rows, dtype=np.int32)
    for number, part in enumerate(parts):
        fold[part] = number
    return fold[rows]


def folds(table: Table, k: int, *, seed: int) -> Iterator[Parts]:
    """Divide all rows k times, so that the test parts have no row in common.

    Stratified folds are scikit-learn's StratifiedKFold(k, shuffle=True, random_state=seed) on the
    first goal; a fold by time tests one of k later periods and trains on all that came before.
    Validation and calibration keep their proportion to the training rows.

    Raises:
        ValueError: k is below 2, or a part would be empty or miss one of a goal's two values.
    """
    if k < 2:
        raise ValueError(f"folds: expected at least 2, got {k}")
    split = table.recipe.split
    rest = 1.0 - split.test
    shares = (split.validation / rest, split.calibration / rest)
    for learnt, test in _folds(table, k, by=split.by, seed=seed):
        train, validation, calibration = _cut(table, learnt, shares, split=split, seed=seed)
        yield _checked(
            table,
            split,
            Parts(train=train, validation=validation, calibration=calibration, test=test),
        )


def _folds(table: Table, k: int, *, by: str, seed: int) -> Iterator[tuple[Rows, Rows]]:
    # Rows without the first goal are a class of their own.
    target = np.nan_to_num(table.label[:, 0], nan=2.0).astype(np.int64)
    if by == "stratified":
        yield from StratifiedKFold(k, shuffle=True, random_state=seed).split(target, target)
    elif by == "group":
        grouped = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
        yield from grouped.split(target, target, groups=table.key)
    else:
        rows = np.arange(table.num_rows)
        periods = _cut_by_time(_key(table), rows, [1 / (k + 1)] * k)
        for last in range(1, k + 1):
            yield np.concatenate(periods[:last]), periods[last]


def _cut(
    table: Table, rows: Rows, shares: Sequence[float], *, split: Split, seed: int
) -> list[Rows]:
    """Cut rows into a first part with what the shares leave, then one part a share."""
    generator = np.random.default_rng(seed)
    if split.by == "time":
        return _cut_by_time(_key(table), rows, shares)
    if split.by == "group":
        return _cut_by_group(_key(table), rows, shares, generator)
    return _cut_stratified(table.label, rows, shares, generator)


def _cut_stratified(
    label: NDArray[np.float32], rows: Rows, shares: Sequence[float], generator: np.random.Generator
) -> list[Rows]:
    """Cut at random, each combination of goals in its proportion, so far as whole rows allow."""
    goals = np.nan_to_num(label[rows], nan=2.0)
    combination = np.unique(goals, axis=0, return_inverse=True)[1].ravel()
    shuffled = generator.permutation(len(rows))
    ordered = shuffled[np.argsort(combination[shuffled], kind="stable")]
    # Neighbours go to different parts in turn: part p takes each row at which its quota grows.
    part = np.zeros(len(rows), dtype=np.int64)
    place = np.arange(len(rows) + 1)
    free = np.arange(len(rows))
    for number, share in enumerate(shares, 1):
        wanted = round(share * len(rows))
        quota = place[: len(free) + 1] * wanted // max(len(free), 1)
        taken = np.diff(quota) > 0
        part[ordered[free[taken]]] = number
        free = free[~taken]
    return [rows[part == number] for number in range(len(shares) + 1)]


def _cut_by_group(
    key: NDArray[np.int64], rows: Rows, shares: Sequence[float], generator: np.random.Generator
) -> list[Rows]:
    """Cut between groups in random order, as near to the shares as the groups' sizes allow."""
    group, size = np.unique(key[rows], return_counts=True)
    order = generator.permutation(len(group))
    middle = np.cumsum(size[order]) - size[order] / 2
    part_of = np.empty(len(group), dtype=np.int64)
    part_of[order] = np.searchsorted(_bounds(shares) * len(rows), middle, side="right")
    part = part_of[np.searchsorted(group, key[rows])]
    return [rows[part == number] for number in range(len(shares) + 1)]


def _cut_by_time(key: NDArray[np.int64], rows: Rows, shares: Sequence[float]) -> list[Rows]:
    """Cut the rows, oldest first, between different times only.

    A part with a share has one time at least, so far as there are as many times as parts.
    """
    ordered = rows[np.argsort(key[rows], kind="stable")]
    times = key[ordered]
    wanted = np.minimum(np.rint(_bounds(shares) * len(rows)).astype(np.int64), len(rows) - 1)
    before = np.searchsorted(times, times[wanted], side="left")
    after = np.searchsorted(times, times[wanted], side="right")
    cuts = np.where(wanted - before <= after - wanted, before, after)
    begins = np.append(np.unique(times, return_index=True)[1], len(ordered))
    place = np.searchsorted(begins, cuts)
    end = len(begins) - 1
    for part in reversed(range(len(shares))):
        place[part] = max(min(place[part], end - bool(shares[part])), 0)
        end = place[part]
    return np.split(ordered, begins[place])


def _bounds(shares: Sequence[float]) -> NDArray[np.float64]:
    """Where the parts of the shares begin, in [0, 1]; what comes before is the first part."""
    return 1.0 - np.cumsum(shares[::-1])[::-1]


def _key(table: Table) -> NDArray[np.int64]:
    assert table.key is not None
    return table.key


def _checked(table: Table, split: Split, parts: Parts) -> Parts:
    """The parts, calibration filled in when it has no share, each with something to learn from."""
    if not split.calibration:
        parts = Parts(
            train=parts.train,
            validation=parts.validation,
            calibration=parts.validation,
            test=parts.test,
        )
    for name, rows in vars(parts).items():
        label = table.label[rows]
        both = (label == 0).any(0) & (label == 1).any(0)
        if both.all() or (name != "train" and both.any()):
            continue
        goal = table.recipe.goals[int(np.argmin(both))].name
        raise ValueError(
            f"split: the {name} part has {len(rows)} rows, in which goal '{goal}' is not both 0 "
            f"and 1; take more rows, a larger split.{name} or another split.by"
        )
    return parts
