"""The GPU as the driver's library tells; a library that Python plays stands for it here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penchant.serving.engines import device
from penchant.serving.engines.device import Device, this_device


class Driver:
    """Answers as libcuda.so.1 does, through pointers."""

    def __init__(self, *, count: int = 1, fails: str = "") -> None:
        self.count, self.fails = count, fails
        self.contexts = 0

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            if name == self.fails:
                return 999
            answer = getattr(type(self), f"_{name}", None)
            if answer is not None:
                answer(self, *arguments)
            return 0

        return call

    def _cuDeviceGetCount(self, count: Any) -> None:  # noqa: N802
        count._obj.value = self.count

    def _cuDeviceGetName(self, name: Any, _size: int, _device: Any) -> None:  # noqa: N802
        name.value = b"NVIDIA L4"

    def _cuDeviceGetAttribute(self, value: Any, number: int, _device: Any) -> None:  # noqa: N802
        value._obj.value = {75: 8, 76: 9}[number]

    def _cuDeviceTotalMem_v2(self, total: Any, _device: Any) -> None:  # noqa: N802
        total._obj.value = 24 << 30

    def _cuMemGetInfo_v2(self, free: Any, total: Any) -> None:  # noqa: N802
        free._obj.value, total._obj.value = 5 << 30, 24 << 30

    def _cuDevicePrimaryCtxRetain(self, _context: Any, _device: Any) -> None:  # noqa: N802
        self.contexts += 1

    def _cuDevicePrimaryCtxRelease_v2(self, _device: Any) -> None:  # noqa: N802
        self.contexts -= 1

    def _cuDriverGetVersion(self, version: Any) -> None:  # noqa: N802
        version._obj.value = 13_020


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
    driver = Driver()
    expected = Device("NVIDIA L4", "8.9", 24 << 30, 5 << 30, "580.95.05")
    assert this_device(driver) == expected
    assert driver.contexts == 0, "its context is given back"


def test_where_the_kernel_does_not_tell_the_driver_says_its_cuda(module_version: Path) -> None:
    module_version.unlink()
    found = this_device(Driver())
    assert found is not None
    assert found.driver == "cuda-13.2"


def test_a_gpu_too_busy_for_a_context_has_no_free_memory(module_version: Path) -> None:
    found = this_device(Driver(fails="cuDevicePrimaryCtxRetain"))
    assert found is not None
    assert (found.free_bytes, found.memory_bytes) == (0, 24 << 30)


@pytest.mark.parametrize("driver", [Driver(count=0), Driver(fails="cuInit")])
def test_no_gpu_is_none(driver: Driver) -> None:
    assert this_device(driver) is None


def test_neither_is_a_machine_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "DRIVER_LIBRARY", "libno_such_driver.so.1")
    assert this_device() is None
