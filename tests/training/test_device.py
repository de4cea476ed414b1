"""What a recipe's trainer options leave open: device, precision, and how several devices share."""

import pytest
import torch
from pytorch_lightning.strategies import DDPStrategy

from penchant.training.device import fits_on, share_of, trainer_options
from penchant.training.recipe_checks import check_trainer


def pretend_cards(monkeypatch: pytest.MonkeyPatch, *capabilities: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda card: capabilities[card])


def test_one_device_unless_more_are_asked_for() -> None:
    options = trainer_options({"max_epochs": 3})
    assert options == {"max_epochs": 3, "devices": 1, "use_distributed_sampler": False}


@pytest.mark.parametrize("devices", [2, "2", [0, 1], "0,1"])
def test_several_devices_are_processes_that_share_the_gradient(devices: object) -> None:
    options = trainer_options({"accelerator": "cpu", "devices": devices})
    assert isinstance(options["strategy"], DDPStrategy)
    assert options["strategy"]._ddp_kwargs == {"broadcast_buffers": False}


def test_bfloat16_where_every_card_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cards(monkeypatch, (9, 0), (8, 0))
    assert trainer_options({})["precision"] == "bf16-mixed"
    assert trainer_options({"precision": "32-true"})["precision"] == "32-true"
    assert "precision" not in trainer_options({"accelerator": "cpu"})
    assert "strategy" not in trainer_options({"accelerator": "cpu", "devices": "auto"})
    assert isinstance(trainer_options({"devices": -1})["strategy"], DDPStrategy)
    pretend_cards(monkeypatch, (9, 0), (7, 5))
    assert "precision" not in trainer_options({})


def test_data_take_at_most_half_of_what_a_gpu_has_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (900, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 200)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 100)
    card = torch.device("cuda")
    assert [fits_on(card, size) for size in (500, 501)] == [True, False]
    assert not fits_on(torch.device("cpu"), 1), "they are gathered where they are"


def test_without_a_trainer_there_is_one_process() -> None:
    assert share_of(None) == (0, 1)


def test_other_ways_to_share_a_network_are_refused() -> None:
    check_trainer({"strategy": "ddp", "devices": 2})
    with pytest.raises(ValueError, match=r"trainer\.strategy: expected auto or ddp, got 'fsdp'"):
        check_trainer({"strategy": "fsdp"})
