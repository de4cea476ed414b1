import math
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from penchant.training.network_config import FeatureSizes, NetworkConfig
from penchant.training.propensity_module import PropensityModule, clip_by_trunk
from penchant.training.propensity_net import Batch, PropensityNet, log_probabilities
from penchant.training.recipe import FitConfig

SIZES = FeatureSizes(bins=(10, 10), categories=(4,))
NET = NetworkConfig(trunks=2, members=2, width=16, embedding_size=4)


def keep(batch: Batch) -> Batch:
    return batch


def loader(
    rows: int, *, seed: int, size: int = 64, folds: int = 0, flipped: int = -1
) -> DataLoader[Batch]:
    """Rows whose goal is likelier the higher the first number is; a tenth of labels unknown.

    With `folds`, each row has one; labels of the fold `flipped` are the wrong way round.
    """
    draw = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(rows // size):
        position = torch.rand(size, 2, generator=draw) * 10
        likely = torch.sigmoid(position[:, :1] - 5)
        label = (torch.rand(size, 1, generator=draw) < likely).float()
        label[torch.rand(size, 1, generator=draw) < 0.1] = torch.nan
        category = torch.randint(0, 4, (size, 1), generator=draw, dtype=torch.int32)
        fold = torch.arange(size, dtype=torch.int32) % folds if folds else torch.full((size,), -1)
        label = torch.where(fold.unsqueeze(1) == flipped, 1 - label, label) if folds else label
        batches.append(Batch(position, torch.zeros(size, 2), category, (), label, fold))
    return DataLoader(batches, batch_size=None, collate_fn=keep)  # type: ignore[arg-type]


def module(**changes: float) -> PropensityModule:
    torch.manual_seed(0)
    config = FitConfig(batch_size=64, learning_rate=5e-3)
    return PropensityModule(PropensityNet(SIZES, num_goals=1, config=NET), config, **changes)


def trainer(folder: Path, **arguments: object) -> pl.Trainer:
    return pl.Trainer(
        **{
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "default_root_dir": folder,
            "max_epochs": 6,
            **arguments,
        }  # type: ignore[arg-type]
    )


pytestmark = [
    # Lightning 2.6 asks torch in the old way whether a tree is a leaf.
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]


def ensemble_logloss(net: PropensityNet, batches: DataLoader[Batch]) -> float:
    loss, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            yes, no = log_probabilities(net.eval()(*batch[:3]))
            seen = ~batch.label.isnan()
            loss -= torch.where(batch.label == 1, yes, no)[seen].sum().item()
            count += int(seen.sum())
    return loss / count


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_learns_and_validates_the_ensemble(tmp_path: Path, precision: str) -> None:
    model, validation = module(average_decay=0.9), loader(512, seed=1)
    fit = trainer(tmp_path, precision=precision, gradient_clip_val=1.0)

    fit.fit(model, loader(2048, seed=0), validation)

    logged = fit.callback_metrics
    assert logged["validation/logloss"] < 0.45 < math.log(2)
    assert logged["train/loss"] < 0.55
    if precision == "32-true":
        expected = ensemble_logloss(model.averaged, validation)
        assert logged["validation/logloss"].item() == pytest.approx(expected, abs=1e-6)


def test_the_head_stays_in_full_precision_and_so_does_validation() -> None:
    net = module().net.eval()
    (batch,) = loader(64, seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = net(*batch[:3])
    whole = net(*batch[:3])
    assert mixed.dtype == torch.float32
    assert 0 < (mixed - whole).abs().max() < 0.05


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_step_has_the_gradient_and_the_names_of_a_plain_one() -> None:
    plain, compiled = (module().eval() for _ in range(2))  # nothing at random
    compiled.net.compile(fullgraph=True, backend="eager")
    assert list(compiled.state_dict()) == list(plain.state_dict())
    for batch in loader(128, seed=0):
        for each in (plain, compiled):
            each.zero_grad()
            torch.autograd.backward(each.training_step(batch, 0))
        for one, other in zip(plain.net.parameters(), compiled.net.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize(("largest", "algorithm"), [(1e-3, "norm"), (1e3, "norm"), (1e-3, "value")])
def test_a_trunk_learns_nothing_from_its_fold(
    tmp_path: Path, largest: float, algorithm: str
) -> None:
    nets = []
    for flipped in (-1, 1):
        model, train = module(), loader(512, seed=0, folds=2, flipped=flipped)
        clip = {"gradient_clip_val": largest, "gradient_clip_algorithm": algorithm}
        trainer(tmp_path, max_epochs=2, **clip).fit(model, train, train)
        nets.append(model)

    for kind in ("net", "averaged"):
        one, other = (dict(getattr(model, kind).named_parameters()) for model in nets)
        assert all(torch.equal(weight[1], other[name][1]) for name, weight in one.items())
        assert not torch.equal(one["first.weight"][0], other["first.weight"][0])


def test_validation_asks_the_trunk_that_never_saw_the_row(tmp_path: Path) -> None:
    model, batches = module(), loader(256, seed=0, folds=2)
    fit = trainer(tmp_path, max_epochs=1)

    fit.fit(model, batches, batches)

    loss, count = 0.0, 0
    for batch in batches:
        for row, trunk in enumerate(batch.fold.tolist()):
            if not batch.label[row].isnan():
                inputs = [column[row : row + 1] for column in batch[:3]]
                members = model.averaged.eval()(*inputs)[:, 2 * trunk : 2 * trunk + 2]
                yes = torch.sigmoid(members).mean().item()
                loss -= math.log(yes if batch.label[row] == 1 else 1 - yes)
                count += 1
    logged = fit.callback_metrics["validation/logloss"].item()
    assert logged == pytest.approx(loss / count, abs=1e-6)


def test_each_trunks_gradient_is_clipped_alone() -> None:
    one, two = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 1, 2, requires_grad=True)
    one.grad, two.grad = torch.tensor([[3.0, 0, 0], [0.3, 0, 0]]), torch.zeros(2, 1, 2)
    two.grad[0, 0, 1], two.grad[1, 0, 0] = 4.0, 0.4

    clip_by_trunk([one, two], 1.0)

    torch.testing.assert_close(one.grad[:, 0], torch.tensor([0.6, 0.3]))
    torch.testing.assert_close(two.grad.flatten(), torch.tensor([0.0, 0.8, 0.4, 0.0]))


def test_no_decay_keeps_the_weights_themselves(tmp_path: Path) -> None:
    model = module(average_decay=0.0)

    trainer(tmp_path, max_epochs=1).fit(model, loader(256, seed=0), loader(128, seed=1))

    for averaged, current in zip(model.averaged.parameters(), model.net.parameters(), strict=True):
        torch.testing.assert_close(averaged, current)


def test_a_checkpoint_restores_the_averaged_net_and_training_goes_on(tmp_path: Path) -> None:
    parts = (loader(512, seed=0), loader(256, seed=1))

    def checkpoint(name: str) -> ModelCheckpoint:
        return ModelCheckpoint(
            tmp_path / name, monitor="validation/logloss", save_last=True, filename="best"
        )

    kept = checkpoint("first")
    arguments = {"enable_checkpointing": True}
    trainer(tmp_path, max_epochs=2, callbacks=[kept], **arguments).fit(module(), *parts)

    resumed = trainer(tmp_path, max_epochs=4, callbacks=[checkpoint("second")], **arguments)
    resumed.fit(module(), *parts, ckpt_path=kept.last_model_path, weights_only=False)
    best = module()
    best.load_state_dict(torch.load(kept.best_model_path, weights_only=False)["state_dict"])

    assert resumed.current_epoch == 4
    score = ensemble_logloss(best.averaged, parts[1])
    assert score == pytest.approx(float(kept.best_model_score or 0), abs=1e-6)


def test_prediction_gives_the_averaged_nets_member_logits(tmp_path: Path) -> None:
    model, batches = module(), loader(128, seed=0)

    predicted = trainer(tmp_path).predict(model, batches)

    assert predicted is not None
    first = next(iter(batches))
    np.testing.assert_allclose(predicted[0], model.averaged.eval()(*first[:3]).detach(), atol=1e-6)


def test_validation_without_a_label_is_refused(tmp_path: Path) -> None:
    empty = [
        batch._replace(label=torch.full_like(batch.label, torch.nan))
        for batch in loader(128, seed=1)
    ]
    validation: DataLoader[Batch] = DataLoader(empty, batch_size=None, collate_fn=keep)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="expected at least one row with a label"):
        trainer(tmp_path, num_sanity_val_steps=0).fit(module(), loader(128, seed=0), validation)


def test_a_decay_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"average_decay: expected a share in \[0, 1\), got 1"):
        module(average_decay=1.0)
