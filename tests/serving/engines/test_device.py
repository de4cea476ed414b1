"""The GPU as the driver's library tells; a library that Python plays stands for it here."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serving.engines.gpus import GPU, Driver

from penchant.serving.engines import device
from penchant.serving.engines.device import Device, this_device

L4 = Device("NVIDIA L4", "8.9", 24 << 30, 5 << 30, "580.95.05")


@pytest.fixture
def module_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "version"
    path.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
        "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
    )
    monkeypatch.setattr(device, "DRIVER_FILE", path)
    return path


def test_a_gpu_is_described(module_version: Path) -> None:
    driver = Driver(gpu=L4)
    assert this_device(driver) == L4
    assert driver.num_contexts == 0, "its context is given back"


def test_where_the_kernel_does_not_tell_the_driver_says_its_cuda(module_version: Path) -> None:
    module_version.unlink()
    found = this_device(Driver())
    assert found is not None
    assert found.driver == "cuda-13.2"


def test_a_gpu_too_busy_for_a_context_has_no_free_memory(module_version: Path) -> None:
    found = this_device(Driver(fails="cuDevicePrimaryCtxRetain"))
    assert found is not None
    assert (found.free_bytes, found.memory_bytes) == (0, GPU.memory_bytes)


@pytest.mark.parametrize("driver", [Driver(count=0), Driver(fails="cuInit")])
def test_no_gpu_is_none(driver: Driver) -> None:
    assert this_device(driver) is None


def test_neither_is_a_machine_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "DRIVER_LIBRARY", "libno_such_driver.so.1")
    assert this_device() is None
