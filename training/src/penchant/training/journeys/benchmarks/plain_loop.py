"""Sequences a second against a plain loop.

Run it with `python -m penchant.training.journeys.benchmarks.plain_loop`.

The plain loop is what a careful first version looks like: torch's own transformer layers, a
DataLoader that pads each sample in Python, a cross-entropy over all items at every slot that is
told to leave padding out. Ours is the fit's own module, batches and trainer. Both see the same
newest 200 events of the same visitors, with the same width, blocks, heads, feed-forward, dropout,
optimiser and threads, in turns within one process.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from penchant.training.journeys.batches import JourneyBatches
from penchant.training.journeys.benchmarks.movielens import RECIPE
from penchant.training.journeys.benchmarks.public_data import movielens_1m
from penchant.training.journeys.catalogue import FIRST_CODE, Catalogue
from penchant.training.journeys.fit import new_net
from penchant.training.journeys.journey_data_module import JourneyDataModule
from penchant.training.journeys.journey_module import JourneyModule
from penchant.training.journeys.journey_split import JourneyParts
from penchant.training.journeys.journeys import Journeys
from penchant.training.journeys.targets import targets_of
from penchant.training.train_to_best import quiet_lightning

LENGTH = RECIPE.network.window


class PaddedSequences(Dataset[tuple[Tensor, Tensor]]):
    """Inputs and targets (200,) of one visitor, padded in front with 0."""

    def __init__(self, journeys: Journeys) -> None:
        self.items = [
            journeys.item[start:stop].tolist()
            for start, stop in zip(journeys.offsets[:-1], journeys.offsets[1:], strict=True)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        items = self.items[index]
        padding = [0] * (LENGTH - len(items) + 1)
        return torch.tensor(padding + items[:-1]), torch.tensor(padding + items[1:])


class PlainNet(nn.Module):
    """SASRec (Kang and McAuley, 2018) of torch's own layers, with a full softmax."""

    def __init__(self, num_codes: int) -> None:
        super().__init__()
        config = RECIPE.network
        self.item = nn.Embedding(num_codes, config.width, padding_idx=0)
        self.position = nn.Embedding(LENGTH, config.width)
        self.dropout = nn.Dropout(config.dropout)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.num_heads,
            config.feedforward * config.width,
            config.dropout,
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, config.num_blocks, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(config.width)
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)
        self.register_buffer("mask", mask)
        self.mask: Tensor

    def forward(self, item: Tensor) -> Tensor:
        """Logits (B, 200, N) of items (B, 200)."""
        events = self.dropout(self.item(item) + self.position.weight)
        hidden: Tensor = self.norm(self.layers(events, mask=self.mask, is_causal=True))
        return hidden @ self.item.weight.t()


class PlainLoop:
    """The plain loop; a round is one pass over the sequences."""

    def __init__(self, journeys: Journeys, catalogue: Catalogue, *, device: str = "cpu") -> None:
        self.device = device
        self.net = PlainNet(catalogue.num_codes).to(device)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=RECIPE.fit.learning_rate)
        self.loss = nn.CrossEntropyLoss(ignore_index=0)
        self.data = DataLoader(
            PaddedSequences(journeys), batch_size=RECIPE.fit.batch_size, shuffle=True
        )

    def run(self) -> None:
        """Train on every sequence once."""
        self.net.train()
        for item, target in self.data:
            logits = self.net(item.to(self.device))
            loss = self.loss(logits.flatten(0, 1), target.flatten().to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


class OurLoop:
    """The fit's own parts; a round is one pass over the sequences."""

    def __init__(self, journeys: Journeys, catalogue: Catalogue) -> None:
        nothing = targets_of(journeys, np.zeros(journeys.num_events, np.bool_))
        parts = JourneyParts(
            train_until=journeys.lengths,
            test_from=journeys.lengths,
            validation=nothing,
            test=nothing,
            left_out={},
            protocol="",
        )
        net = new_net(journeys, catalogue, parts, RECIPE)
        self.module = JourneyModule(net, RECIPE.fit)
        batches = JourneyBatches(
            journeys=journeys, stop=journeys.offsets[1:], window=LENGTH, profile=0
        )
        self.data = JourneyDataModule(batches, nothing, RECIPE)

    def run(self) -> None:
        """Train on every sequence once."""
        with quiet_lightning():
            pl.Trainer(
                max_epochs=1,
                limit_val_batches=0,
                accelerator="cpu",
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                gradient_clip_val=1.0,
            ).fit(self.module, self.data)


def newest_events(journeys: Journeys, visitors: int, rng: np.random.Generator) -> Journeys:
    """The newest 200 events of visitors drawn at random."""
    chosen = np.sort(rng.choice(len(journeys), visitors, replace=False))
    stop = journeys.offsets[chosen + 1]
    length = np.minimum(journeys.lengths[chosen], LENGTH)
    offsets = np.concatenate([[0], np.cumsum(length)])
    row = np.arange(offsets[-1]) + np.repeat(stop - length - offsets[:-1], length)
    return Journeys(
        visitor_id=journeys.visitor_id[chosen],
        offsets=offsets,
        item=journeys.item[row],
        action=journeys.action[row],
        channel=journeys.channel[row],
        time_s=journeys.time_s[row],
        session=journeys.session[row],
        actions=journeys.actions,
        has_clock=False,
    )


def main(
    folder: Path = Path("plain_loop"), visitors: int = 1024, rounds: int = 3, num_threads: int = 0
) -> None:
    """Train both in turns and print sequences a second and their ratio.

    Args:
        folder: Where result.json goes.
        visitors: Sequences of a round.
        rounds: Rounds of each, after one to warm up; their median counts.
        num_threads: Threads of torch; 0 for as many as it takes.
    """
    if num_threads:
        torch.set_num_threads(num_threads)
    torch.manual_seed(0)
    journeys, catalogue = movielens_1m()
    some = newest_events(journeys, visitors, np.random.default_rng(0))
    assert int(some.item.min()) >= FIRST_CODE
    loops: dict[str, PlainLoop | OurLoop] = {
        "plain": PlainLoop(some, catalogue),
        "ours": OurLoop(some, catalogue),
    }
    speed: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        for name, loop in loops.items():
            started = time.perf_counter()
            loop.run()
            if number:
                speed[name].append(visitors / (time.perf_counter() - started))
    result = {f"{name}_sequences_per_s": median(each) for name, each in speed.items()}
    result["ratio"] = result["ours_sequences_per_s"] / result["plain_sequences_per_s"]
    result |= {"rounds": rounds, "visitors": visitors, "threads": torch.get_num_threads()}
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(
        json.dumps(result | {"each": speed}, indent=2), encoding="utf-8"
    )


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main, as_positional=False)
