"""JourneyModule: trains an injected JourneyNet with Lightning.

Letters: B windows, W slots, T targets, V visitors, N item codes, D width, Z hidden numbers.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional

from penchant.training.averaging_module import AveragingModule
from penchant.training.device import is_scaled
from penchant.training.journeys.batches import JourneyBatch
from penchant.training.journeys.catalogue import FIRST_CODE
from penchant.training.journeys.history_batch import HistoryBatch
from penchant.training.journeys.journey_net import JourneyNet
from penchant.training.journeys.journey_recipe import JourneyFitConfig
from penchant.training.journeys.losses import (
    draw_candidates,
    full_softmax_loss,
    sampled_softmax_loss,
)
from penchant.training.journeys.ranking import gains, hits, rank_chunk, rank_on_device
from penchant.training.precision import in_full_precision

FULL_SOFTMAX_ITEMS: Final = 50_000
"""Most items over which the automatic choice is the full softmax."""
MONITOR: Final = "validation/ndcg_10"
WARM_UP_STEPS: Final = 100


class JourneyModule(AveragingModule[JourneyNet, JourneyFitConfig]):
    """AdamW on the softmax over items and the other heads; `averaged` is what to keep.

    The moving average of the weights is what validation scores, so that the best checkpoint by
    `validation/ndcg_10` holds the best `averaged`.
    """

    def __init__(
        self,
        net: JourneyNet,
        config: JourneyFitConfig,
        *,
        action_weight: Tensor | None = None,
        average_decay: float = 0.995,
    ) -> None:
        """Take the net to train.

        Args:
            net: The net; its weights change in place.
            config: Loss, step size and weights.
            action_weight: (actions + 1,) weight of a target by its action code; 1 when None.
            average_decay: Share of the average that a step keeps, in [0, 1).
        """
        super().__init__(net, config, average_decay=average_decay)
        if action_weight is None:
            action_weight = torch.ones(net.sizes.num_actions + 1)
        self.action_weight: Tensor
        self.register_buffer("action_weight", action_weight, persistent=False)
        items = net.sizes.num_item_codes - FIRST_CODE
        auto_full = config.loss == "auto" and items <= FULL_SOFTMAX_ITEMS
        self.is_full = config.loss == "full" or auto_full
        self._is_shared = False
        self._ranks: list[npt.NDArray[np.int64]] = []

    def on_fit_start(self) -> None:
        """See who trains along, and compile the net, where that is asked for, for any length."""
        self._is_shared = self.trainer.world_size > 1
        self.compile_net(dynamic=True)

    def training_step(self, batch: JourneyBatch, _: int) -> Tensor:
        """Mean loss of a batch over its targets."""
        if self.is_full:
            table = self.net.items()
            loss, hidden = self._full(batch, table)
        else:
            loss, hidden = self._sampled(batch)
        self.losses.append(loss.detach())
        if self.config.head_weight:
            with in_full_precision(hidden.device):
                heads = head_losses(self.net, hidden.to(loss.dtype), batch)
            loss = loss + self.config.head_weight * heads
        if self._is_shared:  # processes wait for each other's gradients of all parameters
            loss = loss + sum(p.flatten()[0] * 0.0 for p in self.net.parameters())
        return loss

    def _full(self, batch: JourneyBatch, table: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self._hidden(batch, table, batch.item, batch.profile)
        query, target, weight = self._targets(batch, hidden)
        answers = self.net.answers(table[FIRST_CODE:])
        loss = full_softmax_loss(query, answers, target - FIRST_CODE, weight)
        return loss / weight.sum().clamp(min=1e-6), hidden

    def _sampled(self, batch: JourneyBatch) -> tuple[Tensor, Tensor]:
        """The same with vectors of only those items that the step is about."""
        chosen = batch.next_item[batch.next_item >= FIRST_CODE].to(torch.int64)
        candidate, bias = draw_candidates(
            chosen,
            num_codes=self.net.sizes.num_item_codes,
            first_code=FIRST_CODE,
            num_negatives=self.config.num_negatives,
            in_batch_share=self.config.in_batch_share,
        )
        needed = [batch.item.flatten(), batch.profile.flatten(), batch.next_item.flatten()]
        code = torch.unique(torch.cat([*(each.to(torch.int64) for each in needed), candidate]))
        table = self.net.items(code)

        def place(codes: Tensor) -> Tensor:
            return torch.searchsorted(code, codes.to(torch.int64))

        hidden = self._hidden(batch, table, place(batch.item), place(batch.profile))
        query, target, weight = self._targets(batch, hidden)
        answers = self.net.answers(table)
        loss = sampled_softmax_loss(
            query,
            functional.embedding(place(candidate), answers),
            functional.embedding(place(target), answers),
            candidate=candidate,
            bias=bias,
            target=target,
            weight=weight,
        )
        return loss / weight.sum().clamp(min=1e-6), hidden

    def _hidden(self, batch: JourneyBatch, table: Tensor, item: Tensor, profile: Tensor) -> Tensor:
        met = (batch.item > 0).to(table.dtype).unsqueeze(2)
        older = (batch.profile > 0).to(table.dtype).unsqueeze(2)
        channel = batch.channel if self.net.sizes.num_channels else None
        hidden: Tensor = self.net(
            (functional.embedding(profile, table) * older).sum(1),
            older.sum(1),
            functional.embedding(item, table) * met,
            batch.action,
            channel,
            batch.age,
            batch.now_hour,
        )
        return hidden

    def _targets(self, batch: JourneyBatch, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (T, D), codes (T,) and weights (T,) of the slots that have a target."""
        slot = (batch.next_item.flatten() >= FIRST_CODE).nonzero().squeeze(1)
        action = batch.next_action.flatten()[slot]
        query = self.net.query(hidden.flatten(0, 1).index_select(0, slot), action)
        target = batch.next_item.flatten()[slot].to(torch.int64)
        return query, target, self.action_weight[action.to(torch.int64)]

    def on_train_batch_start(self, *_: object) -> None:
        """Let chance depend on seed and step alone: a resumed fit goes on as if never stopped."""
        seed = np.random.SeedSequence((self.config.seed, self.global_step, self.global_rank))
        torch.manual_seed(int(seed.generate_state(1)[0]))

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation; what validation scores is one table of item vectors."""
        self._ranks.clear()
        self._served = (self.averaged.folded(),)  # in a tuple, so that no checkpoint holds it

    def validation_step(self, batch: HistoryBatch, _: int) -> None:
        """Rank each target among all items that may be answered, in the precision that serves."""
        with in_full_precision(self.device):
            logits = target_logits(self._served[0], batch)
        if logits.is_cuda:  # ranks are brought back, not scores of all items
            rank = rank_on_device(logits, batch.target, *batch.met).cpu().numpy()
        else:
            rank = rank_chunk(logits.numpy(), batch.target.numpy(), *batch.met)
        self._ranks.append(rank)

    def on_validation_epoch_end(self) -> None:
        """Log `validation/ndcg_10` and `validation/hr_10` over the targets of all devices."""
        rank = np.concatenate(self._ranks)
        sums = torch.tensor([gains(rank, 10).sum(), hits(rank, 10).sum(), len(rank)])
        gain, hit, count = self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum")
        self.log(MONITOR, gain / count, batch_size=1)
        self.log("validation/hr_10", hit / count, batch_size=1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW after a warm-up; weights of one axis (biases, norms) are spared from decay."""
        parameters = [p for p in self.net.parameters() if p.requires_grad]
        groups = [
            {
                "params": [p for p in parameters if p.dim() > 1],
                "weight_decay": self.config.weight_decay,
            },
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(
            groups, lr=self.config.learning_rate, fused=not is_scaled(self)
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / WARM_UP_STEPS)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


@torch.inference_mode()
def target_logits(net: JourneyNet, batch: HistoryBatch) -> Tensor:
    """Item logits (B, N) after the histories of a batch, asked for the actions that came next."""
    return net.item_logits(net.query(net.last(*batch.history), batch.target_action))


def head_losses(net: JourneyNet, hidden: Tensor, batch: JourneyBatch) -> Tensor:
    """Sum of the mean losses of the heads that have something to learn from in a batch."""
    flat = hidden.flatten(0, 1)  # (B * W, Z)
    total = hidden.new_zeros(())
    if net.sizes.num_category_codes > 2:
        category = functional.embedding(
            batch.next_item.flatten(), net.items.code_of("category").unsqueeze(1)
        )[:, 0]
        slot = (category >= FIRST_CODE).nonzero().squeeze(1)
        if len(slot):
            total = total + functional.cross_entropy(net.intent_logits(flat[slot]), category[slot])
    if net.channel is not None:
        channel = batch.next_channel.flatten().to(torch.int64) - 1
        slot = (channel >= 0).nonzero().squeeze(1)
        if len(slot):
            total = total + functional.cross_entropy(net.channel_logits(flat[slot]), channel[slot])
    if net.hour is not None:
        hour = batch.next_hour.flatten().to(torch.int64)
        slot = (hour >= 0).nonzero().squeeze(1)
        if len(slot):
            total = total + functional.cross_entropy(net.hour_logits(flat[slot]), hour[slot])
    if net.purchase is not None:
        slot = (~batch.purchase.flatten().isnan()).nonzero().squeeze(1)
        if len(slot):
            logit = net.purchase_logit(flat[slot])[:, 0]
            label = batch.purchase.flatten()[slot]
            total = total + functional.binary_cross_entropy_with_logits(logit, label)
    return total
