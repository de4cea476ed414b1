"""Journeys from a log: order, codes, sessions, batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.journeys.small_logs import log_of

from penchant.training.journeys import build
from penchant.training.journeys.build import build_journeys
from penchant.training.journeys.catalogue import (
    PRICE_BUCKETS,
    UNKNOWN_CODE,
    Catalogue,
    price_codes,
)
from penchant.training.journeys.journeys import Journeys

ROWS = [
    ("zoë", 90_000, "view", "coat"),
    ("ali", 7200, "view", "کفش"),
    ("ali", 100, "view", "boots"),
    ("ali", 100, "purchase", "boots"),
    ("ali", 1901, "search", None),
    ("ali", 1900, "view", "ghost"),
    ("zoë", 10, "view", "boots"),
]
ITEMS: list[dict[str, Any]] = [
    {"item_id": "کفش", "category": "shoes"},
    {"item_id": "boots", "category": "shoes"},
    {"item_id": "coat", "category": "coats"},
    {"item_id": "hat", "category": None},
]


def test_events_are_ordered_and_coded(tmp_path: Path) -> None:
    journeys, catalogue = build_journeys(log_of(ROWS, items=ITEMS), tmp_path)
    assert catalogue.item_id.tolist() == ["boots", "coat", "hat", "کفش"]
    assert catalogue.categories == ("coats", "shoes")
    assert catalogue.category_of_code.tolist() == [0, 0, 3, 2, 0, 3]
    assert journeys.visitor_id.tolist() == ["ali", "zoë"]
    assert journeys.offsets.tolist() == [0, 5, 7]
    assert journeys.actions == ("view", "purchase", "search")
    assert sorted(journeys.action[:2].tolist()) == [1, 2], "in one moment in either order"
    assert journeys.action[2:].tolist() == [1, 3, 1, 1, 1]
    assert journeys.item.tolist() == [2, 2, 1, 0, 5, 2, 3]
    assert journeys.time_s.tolist() == [100, 100, 1900, 1901, 7200, 10, 90_000]
    assert journeys.session.tolist() == [0, 0, 0, 0, 1, 0, 1]
    assert (journeys.channels, journeys.channel.tolist()) == ((), [0] * 7)
    assert isinstance(journeys.item, np.memmap)
    assert journeys.has_clock


def test_brands_and_prices_are_coded_and_kept(tmp_path: Path) -> None:
    items = [
        {"item_id": f"i{at}", "category": "coats", "brand": brand, "price": price}
        for at, (brand, price) in enumerate(
            [("ekö", 9.0), ("ekö", 30.0), ("ekö", None), ("rare", 90.0), (None, 1.0)]
        )
    ]
    _, catalogue = build_journeys(log_of(ROWS, items=items), tmp_path)
    assert catalogue.brands == ("ekö",)
    assert catalogue.brand_of_code is not None
    assert catalogue.brand_of_code.tolist() == [0, 0, 2, 2, 2, UNKNOWN_CODE, 0]
    assert catalogue.price_of_code is not None
    assert catalogue.price_of_code.tolist() == [0, 0, 4, 7, 0, 9, 2]
    assert (catalogue.num_brand_codes, catalogue.num_price_codes) == (3, PRICE_BUCKETS + 1)
    opened = Catalogue.open(tmp_path)
    assert opened.brands == catalogue.brands
    np.testing.assert_array_equal(opened.brand_of_code, catalogue.brand_of_code)
    np.testing.assert_array_equal(opened.price_of_code, catalogue.price_of_code)


@pytest.mark.parametrize(
    "more", [{}, {"brand": None, "price": np.nan}, {"brand": "alone", "price": 0.0}]
)
def test_items_without_brands_or_prices_have_no_codes_of_them(
    more: dict[str, Any], tmp_path: Path
) -> None:
    items = [{**ITEMS[0], **more}]
    _, catalogue = build_journeys(log_of(ROWS, items=items), tmp_path)
    assert (catalogue.num_brand_codes, catalogue.num_price_codes) == (0, 0)
    opened = Catalogue.open(tmp_path)
    assert (opened.brand_of_code, opened.price_of_code) == (None, None)


def test_a_price_is_a_rank_within_its_category() -> None:
    category = np.repeat([0, 2, 3], [1, 20, 20]).astype(np.int32)
    price = np.concatenate([[5.0], np.arange(1.0, 21.0), np.arange(1.0, 21.0) * 1e6])
    code = price_codes(price, category)
    assert code[0] == 6
    assert code[1:21].tolist() == sorted([*range(1, PRICE_BUCKETS + 1)] * 2)
    assert code[21:].tolist() == code[1:21].tolist()
    equal = price_codes(np.full(41, 3.5), category)
    assert equal.tolist() == [6] * 41
    price[1:5] = [np.nan, np.inf, -1.0, 0.0]
    assert price_codes(price, category)[1:5].tolist() == [0] * 4
    assert (price_codes(price, category)[5:] > 0).all()


def random_rows(count: int) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(0)
    return [
        (int(rng.integers(0, 9)), int(rng.integers(0, 50_000)), name, int(rng.integers(0, 20)), way)
        for name, way in zip(
            rng.choice(["view", "cart", "purchase"], count).tolist(),
            rng.choice(np.array(["web", "e-mail", None]), count).tolist(),
            strict=True,
        )
    ]


@pytest.mark.parametrize("batch_rows", [1, 7, 500_000])
def test_agrees_with_a_plain_loop_whatever_the_batches(
    batch_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "BATCH_ROWS", batch_rows)
    rows = list({row[:4]: row for row in random_rows(300)}.values())
    log = log_of(rows, columns=("visitor_id", "time", "action", "item_id", "channel"))
    journeys, catalogue = build_journeys(log, tmp_path)
    ordered = sorted(rows, key=lambda row: row[:4])
    assert len(journeys) == len({row[0] for row in rows})
    visitor = np.repeat(journeys.visitor_id, journeys.lengths)
    codes = catalogue.encode(np.array([row[3] for row in ordered]))
    session = 0
    for place, row in enumerate(ordered):
        before = ordered[place - 1] if place and ordered[place - 1][0] == row[0] else None
        session = 0 if before is None else session + (row[1] - before[1] > 1800)
        assert visitor[place] == row[0]
        assert journeys.time_s[place] == row[1]
        assert journeys.actions[journeys.action[place] - 1] == row[2]
        assert ("", *journeys.channels)[journeys.channel[place]] == (row[4] or "")
        assert journeys.item[place] == codes[place]
        assert journeys.session[place] == session


def test_a_moment_cuts_the_log_and_a_catalogue_may_be_given(tmp_path: Path) -> None:
    log = log_of(ROWS)
    early, small = build_journeys(log, tmp_path / "early", before_s=1900)
    assert early.time_s.max() == 100
    assert small.item_id.tolist() == ["boots"]
    every, same = build_journeys(log, tmp_path / "all", catalogue=small)
    assert same is small
    assert every.item.tolist() == [2, 2, 1, 0, 1, 2, 1]
    opened = Journeys.open(tmp_path / "all")
    assert opened.actions == every.actions
    assert np.array_equal(opened.item, every.item)
    with pytest.raises(ValueError, match="expected at least one before time 3, got none"):
        build_journeys(log, tmp_path / "none", before_s=3)


def test_a_log_without_a_clock_has_one_session(tmp_path: Path) -> None:
    journeys, _ = build_journeys(log_of(ROWS, unit="order"), tmp_path)
    assert not journeys.has_clock
    assert not journeys.session.any()


def test_too_many_actions_are_refused(tmp_path: Path) -> None:
    rows = [("v", at, f"action {at}", "item") for at in range(256)]
    with pytest.raises(ValueError, match=r"events\.columns\.action: expected at most 255"):
        build_journeys(log_of(rows), tmp_path)


def test_an_interrupted_build_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_journeys(log_of(ROWS), tmp_path)

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build._Writer, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        build_journeys(log_of(ROWS), tmp_path)
    with pytest.raises(FileNotFoundError):
        Journeys.open(tmp_path)


@pytest.mark.parametrize(
    ("ids", "wanted"),
    [
        (np.array([30, 10, 20]), [[2, 0], [1, 3]]),
        (np.array(["30", "ده", "20"], dtype=object), [[2, 0], [1, 3]]),
    ],
)
def test_encode(ids: np.ndarray, wanted: list[list[int]], tmp_path: Path) -> None:
    catalogue = Catalogue(
        item_id=ids,
        category=np.array([2, 0, 2], np.int32),
        categories=("کفش",),
        title=("a", "", "b"),
    )
    integer = catalogue.has_integer_ids
    none, unknown = (-1, 77) if integer else ("", "x")
    given = np.array([[ids[0], none], [unknown, ids[1]]])
    assert catalogue.encode(given).tolist() == wanted
    missing = given.astype(object)
    missing[0, 1] = None
    assert catalogue.encode(missing).tolist() == wanted
    assert catalogue.encode(given[:0]).shape == (0, 2)
    catalogue.save(tmp_path)
    opened = Catalogue.open(tmp_path)
    assert opened.item_id.tolist() == ids.tolist()
    assert opened.item_id.dtype == ids.dtype
    assert (opened.categories, opened.title) == (catalogue.categories, catalogue.title)
    assert opened.category.tolist() == [2, 0, 2]
    with pytest.raises(ValueError, match="item_id: expected"):
        catalogue.encode(np.array(["1"]) if integer else np.array([1]))
