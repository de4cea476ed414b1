"""Encoded rows on disk, and the batches that the trainer takes from them.

B rows, n numeric columns, m categorical columns, l slots of a multi-valued column, G goals.
Rows are encoded once, by the very graph that serves; a batch is an index into mapped memory, or
into a GPU's where the whole part fits there.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from penchant.training.device import device_of, fits_on, share_of
from penchant.training.encoder import CODE_PREFIX
from penchant.training.propensity_net import Batch
from penchant.training.table import Table
from penchant.training.whole_batches import whole_batches

ENCODE_ROWS: Final = 1024
"""Rows encoded at a time: the grid of positions holds 32 numbers for each value of a row."""
VALIDATION_ROWS: Final = 4096
"""Rows of a validation batch, in which no gradients are kept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedDataset(Dataset[Batch]):
    """Encoded rows of one part, as arrays mapped into memory."""

    position: NDArray[np.float32]
    """Places on the quantile grids, (B, n)."""
    missing: NDArray[np.float32]
    """1 where a number is missing, (B, n)."""
    category: NDArray[np.int32]
    """Codes of categories, (B, m)."""
    multi: tuple[NDArray[np.int32], ...]
    """Codes of multi-valued columns, (B, l) each."""
    label: NDArray[np.float32]
    """Goals, (B, G), NaN = not observed."""
    fold: NDArray[np.int32]
    """The trunk that never learns from the row, (B,); -1 = all may."""
    teacher: NDArray[np.float32]
    """A teacher's propensities for each trunk, (B, T, G); (B, 0, G) = no teacher."""

    def __len__(self) -> int:
        """B."""
        return len(self.label)

    def __getitem__(self, index: NDArray[np.int64]) -> Batch:
        """The rows of an index array, as `batch`."""
        return self.batch(index)

    def batch(self, index: NDArray[np.int64] | slice) -> Batch:
        """Copy the rows at the given places into tensors; a slice of all is the whole part."""
        return _of_columns(self, lambda column: _tensor(column, index))

    @property
    def num_bytes(self) -> int:
        """Memory that all columns take."""
        alone = (self.position, self.missing, self.category, self.label, self.fold, self.teacher)
        return sum(column.nbytes for column in (*alone, *self.multi))


class RowsOnDevice(Dataset[Batch]):
    """All rows of a part on one device, where batches are gathered: nothing is copied any more."""

    def __init__(self, dataset: EncodedDataset, device: torch.device) -> None:
        self.rows = _of_columns(dataset, lambda column: torch.from_numpy(column).to(device))
        self.device = device

    def __len__(self) -> int:
        """B."""
        return len(self.rows.label)

    def __getitem__(self, index: NDArray[np.int64]) -> Batch:
        """The rows of an index array."""
        place = torch.from_numpy(index).to(self.device, non_blocking=True)
        return _of_columns(self.rows, lambda each: each.index_select(0, place))


def encode_part(
    encoder: Path,
    table: Table,
    rows: NDArray[np.int64],
    folder: Path | None,
    *,
    fold: NDArray[np.int32] | None = None,
) -> EncodedDataset:
    """Run encode.onnx over rows of a table and keep the result, on disk or in memory.

    Args:
        encoder: The compiled graph.
        table: The recipe's table.
        rows: Row numbers (B,), at least one.
        folder: Where the columns are written, one .npy file a tensor; made if need be. None keeps
            them in memory.
        fold: The trunk that never learns from the row (B,); None if all trunks may.
    """
    assert len(rows), "a part without rows is refused where it is cut"
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    session = onnxruntime.InferenceSession(encoder, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    columns: dict[str, NDArray[Any]] = {}
    for start in range(0, len(rows), ENCODE_ROWS):
        part = slice(start, start + ENCODE_ROWS)
        outputs = session.run(names, table.raw_inputs(rows[part]))
        for number, (name, values) in enumerate(zip(names, outputs, strict=True)):
            if name not in columns:
                shape = (len(rows), values.shape[1])
                columns[name] = _create(folder, str(number), values.dtype, shape)
            columns[name][part] = values
    label = _create(folder, "label", table.label.dtype, (len(rows), table.label.shape[1]))
    label[:] = table.label[rows]
    absent = np.empty((len(rows), 0), dtype=np.float32)
    return EncodedDataset(
        position=columns.get("position", absent),
        missing=columns.get("missing", absent),
        category=columns.get("category", absent.astype(np.int32)),
        multi=tuple(columns[CODE_PREFIX + column.name] for column in table.multi_valued),
        label=label,
        fold=np.full(len(rows), -1, dtype=np.int32) if fold is None else fold,
        teacher=np.empty((len(rows), 0, label.shape[1]), dtype=np.float32),
    )


class BatchSampler(DistributedSampler[NDArray[np.int64]]):
    """Index arrays of whole batches; each of several processes gets its own share of the rows.

    The order depends on seed and epoch alone, so that a resumed run goes on in the same order.
    Lightning leaves a sampler of this base class as it is and tells it the epoch.
    """

    def __init__(
        self,
        dataset: EncodedDataset,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        if len(dataset) < num_replicas:
            raise ValueError(
                f"trainer.devices: expected at most {len(dataset)}, the rows of the smallest part, "
                f"got {num_replicas}; ask for fewer"
            )
        super().__init__(dataset, num_replicas, rank, shuffle=shuffle, seed=seed)
        self.num_rows = len(dataset)
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        """Yield this process' index arrays, as many as every other process gets."""
        order = np.arange(self.num_rows)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
        own = order[self.rank :: self.num_replicas]
        if self.num_replicas > 1:  # with a row more or less, this one would need a batch less
            yield from np.array_split(own, len(self))
            return
        for start in range(0, len(own), self.batch_size):
            yield own[start : start + self.batch_size]

    def __len__(self) -> int:
        """Number of batches a process gets."""
        return math.ceil(self.num_samples / self.batch_size)


class PropensityDataModule(lightning.LightningDataModule):
    """Batches of the training part, shuffled, and of the validation part, in order."""

    def __init__(
        self, train: EncodedDataset, validation: EncodedDataset, *, batch_size: int, seed: int
    ) -> None:
        """Take two encoded parts.

        Args:
            train: Training part.
            validation: Part that decides when to stop.
            batch_size: Training rows a step and device.
            seed: Seed of the order of the training rows.
        """
        super().__init__()
        self.train, self.validation = train, validation
        self.batch_size, self.seed = batch_size, seed
        self._placed: dict[int, RowsOnDevice] = {}

    def train_dataloader(self) -> DataLoader[Batch]:
        """Whole training batches, in another order each epoch."""
        return self._loader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Whole validation batches."""
        return self._loader(self.validation, batch_size=VALIDATION_ROWS, shuffle=False)

    def _loader(
        self, dataset: EncodedDataset, *, batch_size: int, shuffle: bool
    ) -> DataLoader[Batch]:
        rank, world_size = share_of(self.trainer)
        sampler = BatchSampler(
            dataset,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=self.seed,
            num_replicas=world_size,
            rank=rank,
        )
        device = device_of(self.trainer)
        rows = self._on_device(dataset, device)
        return whole_batches(
            dataset if rows is None else rows, device, is_there=rows is not None, sampler=sampler
        )

    def _on_device(self, dataset: EncodedDataset, device: torch.device) -> RowsOnDevice | None:
        """The part as a whole on a GPU; None where it does not fit there, or there is none."""
        known = self._placed.get(id(dataset))
        if known is None and fits_on(device, dataset.num_bytes):
            known = self._placed[id(dataset)] = RowsOnDevice(dataset, device)
        return known


def _of_columns(rows: Any, change: Callable[[Any], torch.Tensor]) -> Batch:
    """A batch of the changed columns of another batch, or of encoded rows."""
    return Batch(
        position=change(rows.position),
        missing=change(rows.missing),
        category=change(rows.category),
        multi=tuple(change(code) for code in rows.multi),
        label=change(rows.label),
        fold=change(rows.fold),
        teacher=change(rows.teacher),
    )


def _create(
    folder: Path | None, name: str, dtype: np.dtype[Any], shape: tuple[int, int]
) -> NDArray[Any]:
    if folder is None:
        return np.empty(shape, dtype)
    # Renamed at once, so that another process that writes the same part does not cut this one's
    # file short under its mapping: devices that train together each run this.
    path = folder / f"{name}.{os.getpid()}.npy"
    mapped = np.lib.format.open_memmap(path, "w+", dtype, shape)
    path.replace(folder / f"{name}.npy")
    # A plain array over the mapped memory: indexing np.memmap itself costs several times as much.
    return np.asarray(mapped)


def _tensor(column: NDArray[Any], index: NDArray[np.int64] | slice) -> torch.Tensor:
    return torch.from_numpy(np.array(column[index]) if isinstance(index, slice) else column[index])
