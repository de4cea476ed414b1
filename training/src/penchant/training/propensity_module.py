"""PropensityModule: trains an injected PropensityNet with Lightning.

Letters: B rows, T trunks, k members of a trunk, G goals.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from penchant.training.averaging_module import AveragingModule
from penchant.training.device import is_scaled
from penchant.training.precision import in_full_precision
from penchant.training.propensity_net import (
    Batch,
    PropensityNet,
    TrunkLinear,
    held_out_members,
    log_probabilities,
    soft_target,
    trunk_losses,
)
from penchant.training.recipe import FitConfig


def clip_by_trunk(parameters: Iterable[Tensor], largest: float) -> None:
    """Scale each trunk's gradient, the first axis of every parameter, to a norm of at most largest.

    Args:
        parameters: All parameters (T, ...), with their gradients.
        largest: The largest norm of one trunk's gradient.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    squares = [gradient.flatten(1).square().sum(1) for gradient in gradients]
    norm = torch.stack(squares).sum(0).sqrt()  # (T,)
    scale = (largest / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))


class PropensityModule(AveragingModule[PropensityNet, FitConfig]):
    """AdamW on the mean of the members' losses; `averaged` follows the weights and is what to keep.

    The moving average of the weights is what validation scores, so the best checkpoint by
    `validation/logloss` holds the best `averaged`. That is the log loss, averaged over goals, of
    the members that never learnt from a row: one trunk's where rows have a fold, else all.
    """

    def __init__(
        self, net: PropensityNet, config: FitConfig, *, average_decay: float = 0.998
    ) -> None:
        """Take the net to train.

        Args:
            net: The net; its weights change in place.
            config: Step size and weight decay.
            average_decay: Share of the average that a step keeps, in [0, 1); 0 keeps no average.

        Raises:
            ValueError: If `average_decay` is out of range.
        """
        super().__init__(net, config, average_decay=average_decay)
        self.loss_sum: Tensor
        self.loss_count: Tensor
        for name in ("loss_sum", "loss_count"):
            zeros = torch.zeros(net.num_goals)
            self.register_buffer(name, zeros, persistent=False)  # (G,)

    def on_fit_start(self) -> None:
        """Compile the net, where that is asked for."""
        self.compile_net()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the sum of the trunks' losses on a batch: each learns as if it were alone."""
        logits = self.net(batch.position, batch.missing, batch.category, batch.multi)
        trunks = self.net.config.trunks
        target = soft_target(batch.label, batch.teacher, share=self.config.distillation)
        losses = trunk_losses(
            logits.float(), batch.label, batch.fold, num_trunks=trunks, target=target
        )
        self.losses.append(losses.detach().mean())
        return losses.sum()

    def clip_norm(self, largest: float) -> None:
        """Clip the norm of each trunk's own gradient: a common norm would tell of other folds."""
        clip_by_trunk(self.net.parameters(), largest)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.loss_sum.zero_()
        self.loss_count.zero_()

    def validation_step(self, batch: Batch, _: int) -> None:
        """Add up the log loss by goal of the members that a row was held out from."""
        with in_full_precision(self.device):
            logits = self.averaged(batch.position, batch.missing, batch.category, batch.multi)
        trunks = self.net.config.trunks
        held_out = held_out_members(logits.float(), batch.fold, num_trunks=trunks)
        log_yes, log_no = log_probabilities(held_out)
        observed = ~batch.label.isnan()
        label = batch.label.nan_to_num()
        loss = -(label * log_yes + (1.0 - label) * log_no)  # (B, G)
        self.loss_sum += (loss * observed).sum(0)
        self.loss_count += observed.sum(0)

    def on_validation_epoch_end(self) -> None:
        """Log `validation/logloss` over the rows of all devices."""
        loss = self.trainer.strategy.reduce(self.loss_sum.clone(), reduce_op="sum")
        count = self.trainer.strategy.reduce(self.loss_count.clone(), reduce_op="sum")
        seen = count > 0
        if not bool(seen.any()):
            raise ValueError(
                "validation: expected at least one row with a label, got none; "
                "give the validation part more rows"
            )
        self.log("validation/logloss", (loss[seen] / count[seen]).mean(), batch_size=1)

    def predict_step(self, batch: Batch, _: int) -> Tensor:
        """Members' logits (B, T * k, G) of the averaged net."""
        logits: Tensor = self.averaged(batch.position, batch.missing, batch.category, batch.multi)
        return logits

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW that spares biases, embeddings' lines and the members' scalings from decay."""
        decayed = [m.weight for m in self.net.modules() if isinstance(m, TrunkLinear)]
        decayed.append(self.net.head)
        chosen = {id(parameter) for parameter in decayed}
        spared = [p for p in self.net.parameters() if id(p) not in chosen]
        return torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": self.config.weight_decay},
                {"params": spared, "weight_decay": 0.0},
            ],
            lr=self.config.learning_rate,
            fused=self.device.type == "cuda" and not is_scaled(self),
        )
