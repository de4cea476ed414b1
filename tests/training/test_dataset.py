"""Encoded parts and their batches: the right rows, once an epoch, in an order the seed decides."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from tests.tables import shop_recipe

from penchant.training.dataset import (
    BatchSampler,
    EncodedDataset,
    PropensityDataModule,
    RowsOnDevice,
    encode_part,
)
from penchant.training.encoder import compile_encoder
from penchant.training.features import fit_features
from penchant.training.propensity_net import Batch
from penchant.training.recipe import Columns, FeatureConfig, Goal, read_recipe, shipped_recipe
from penchant.training.split import Parts, split_rows
from penchant.training.table import Table, read_table


class Shop(NamedTuple):
    """A table, how it is divided, and the graph that encodes it."""

    table: Table
    parts: Parts
    encoder: Path


def compile_shop(table: Table, folder: Path) -> Shop:
    parts = split_rows(table, table.recipe.split)
    encoder = folder / "encode.onnx"
    compile_encoder(fit_features(table, parts.train, FeatureConfig()), encoder)
    return Shop(table, parts, encoder)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    return compile_shop(read_table(shop_recipe(folder)), folder)


def numbered(num_rows: int) -> EncodedDataset:
    """Rows whose position is their number."""
    number = np.arange(num_rows, dtype=np.float32)[:, None]
    return EncodedDataset(
        position=number,
        missing=np.zeros_like(number),
        category=np.zeros((num_rows, 0), dtype=np.int32),
        multi=(),
        label=number % 2,
        fold=np.full(num_rows, -1, dtype=np.int32),
        teacher=np.zeros((num_rows, 0, 1), dtype=np.float32),
    )


def epoch_of(sampler: BatchSampler, epoch: int) -> list[NDArray[np.int64]]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_a_batch_holds_the_rows_asked_for(shop: Shop, tmp_path: Path) -> None:
    dataset = encode_part(shop.encoder, shop.table, shop.parts.train, tmp_path / "train")
    assert len(dataset) == len(shop.parts.train)
    index = np.array([5, 0, 5])
    batch = dataset.batch(index)
    rows = shop.parts.train[index]
    np.testing.assert_array_equal(batch.label, shop.table.label[rows])
    np.testing.assert_array_equal(batch.missing, np.isnan(shop.table.numeric[rows]))
    np.testing.assert_array_equal(batch.fold, [-1, -1, -1])
    types = [tensor.dtype for tensor in (batch.position, batch.category, batch.multi[0])]
    assert types == [torch.float32, torch.int32, torch.int32]
    assert [tuple(tensor.shape) for tensor in (batch.position, batch.multi[0])] == [(3, 2), (3, 3)]


def test_rows_keep_the_fold_they_were_encoded_with(shop: Shop) -> None:
    fold = np.arange(len(shop.parts.test), dtype=np.int32) % 3
    dataset = encode_part(shop.encoder, shop.table, shop.parts.test, None, fold=fold)
    np.testing.assert_array_equal(dataset.batch(np.array([4, 2])).fold, [1, 2])


def test_memory_and_disk_hold_the_same(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "test"
    on_disk = encode_part(shop.encoder, shop.table, shop.parts.test, folder)
    in_memory = encode_part(shop.encoder, shop.table, shop.parts.test, None)
    for one, other in zip(on_disk.batch(slice(None)), in_memory.batch(slice(None)), strict=True):
        np.testing.assert_array_equal(one, other)
    stored = [np.load(path) for path in sorted(folder.iterdir())]
    assert any(np.array_equal(array, on_disk.position) for array in stored)
    assert all(len(array) == len(shop.parts.test) for array in stored)


def test_encoding_a_part_again_leaves_the_arrays_in_use_alone(shop: Shop, tmp_path: Path) -> None:
    first = encode_part(shop.encoder, shop.table, shop.parts.train, tmp_path)
    before = first.position.copy()
    encode_part(shop.encoder, shop.table, shop.parts.test, tmp_path)
    np.testing.assert_array_equal(first.position, before)


def test_a_table_without_numbers_or_without_categories_is_encoded(tmp_path: Path) -> None:
    goals = (Goal(name="purchase", column="bought"),)
    for columns in (Columns(numeric=("pages",)), Columns(categorical=("device",))):
        shop = compile_shop(
            read_table(shop_recipe(tmp_path, columns=columns, goals=goals)), tmp_path
        )
        batch = encode_part(shop.encoder, shop.table, shop.parts.test, None).batch(slice(None))
        rows = len(shop.parts.test)
        assert batch.position.shape == (rows, len(columns.numeric))
        assert batch.category.shape == (rows, len(columns.categorical))
        assert batch.category.dtype == torch.int32
        assert batch.multi == ()


def test_an_epoch_holds_every_row_once_in_another_order_each_time() -> None:
    sampler = BatchSampler(numbered(1000), batch_size=64, shuffle=True, seed=1)
    first, second = epoch_of(sampler, 0), epoch_of(sampler, 1)
    assert len(first) == len(sampler) == 16
    np.testing.assert_array_equal(np.sort(np.concatenate(first)), np.arange(1000))
    assert not np.array_equal(first[0], second[0])


def test_seed_and_epoch_alone_decide_the_order() -> None:
    samplers = [
        BatchSampler(numbered(100), batch_size=32, shuffle=True, seed=seed) for seed in (1, 1, 2)
    ]
    epoch_of(samplers[0], 0)
    one, same, other = (np.concatenate(epoch_of(sampler, 3)) for sampler in samplers)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("num_rows", [10, 11, 257])
def test_processes_share_the_rows_and_get_as_many_batches(num_rows: int) -> None:
    dataset = numbered(num_rows)
    shares = [
        BatchSampler(dataset, batch_size=4, shuffle=True, seed=0, num_replicas=3, rank=rank)
        for rank in range(3)
    ]
    batches = [epoch_of(sampler, 2) for sampler in shares]
    assert len({len(share) for share in batches}) == 1
    assert {len(share) for share in batches} == {len(shares[0])}
    assert max(len(batch) for share in batches for batch in share) <= 4
    rows = np.concatenate([batch for share in batches for batch in share])
    np.testing.assert_array_equal(np.sort(rows), np.arange(num_rows))


def test_more_processes_than_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"trainer\.devices: expected at most 2.* got 3"):
        BatchSampler(numbered(2), batch_size=4, shuffle=True, seed=0, num_replicas=3)


def test_rows_that_lie_on_a_device_are_the_rows_of_the_dataset() -> None:
    dataset = numbered(50)
    there = RowsOnDevice(dataset, torch.device("cpu"))
    index = np.random.default_rng(0).permutation(50)[:7]
    expected, found = dataset[index], there[index]
    assert len(there) == 50
    for name, column in found._asdict().items():
        torch.testing.assert_close(column, getattr(expected, name), rtol=0, atol=0, equal_nan=True)
    whole = [column for column in there.rows if isinstance(column, torch.Tensor)]
    assert dataset.num_bytes == sum(column.nbytes for column in whole)


class Recorder(lightning.LightningModule):
    """Learns nothing and remembers which batches came."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list[float]] = {}
        self.validated: list[float] = []

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        assert isinstance(batch, Batch)
        assert isinstance(batch.multi, tuple)
        self.seen.setdefault(self.current_epoch, []).extend(batch.position[:, 0].tolist())
        return (self.weight * batch.position).mean()

    def validation_step(self, batch: Batch, _: int) -> None:
        self.validated = batch.position[:, 0].tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


# Lightning itself asks PyTorch for a class in a way that PyTorch 2.13 warns about.
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")
def test_lightning_takes_whole_batches_without_a_warning(tmp_path: Path) -> None:
    data = PropensityDataModule(numbered(100), numbered(20), batch_size=32, seed=0)
    module = Recorder()
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data)
    assert sorted(module.seen[0]) == sorted(module.seen[1]) == list(range(100))
    assert module.seen[0] != module.seen[1]
    assert module.validated == list(range(20))


def test_an_epoch_of_ten_thousand_rows_costs_next_to_nothing() -> None:
    table = read_table(read_recipe(shipped_recipe("online_shoppers")))
    rows = np.arange(10_000)
    label = table.label[rows]
    dataset = EncodedDataset(
        position=table.numeric[rows],
        missing=np.zeros_like(table.numeric[rows]),
        category=np.stack([column.codes[rows] for column in table.categorical], 1),
        multi=(),
        label=label,
        fold=np.full(len(rows), -1, dtype=np.int32),
        teacher=np.zeros((len(rows), 0, 1), dtype=np.float32),
    )
    data = PropensityDataModule(dataset, dataset, batch_size=256, seed=0)
    loader = data.train_dataloader()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        total = sum(len(batch.label) for batch in loader)
        times.append(time.perf_counter() - start)
        assert total == 10_000
    assert min(times) < 0.1  # some 3 ms on an idle core; a Python loop over rows takes seconds
