"""A GPU that is not here, and a driver that plays its part with this machine's memory."""

from __future__ import annotations

import ctypes
from typing import Any

from penchant.serving.engines.device import Device

GPU = Device(
    name="NVIDIA H100 80GB HBM3",
    compute_capability="9.0",
    memory_bytes=80 << 30,
    free_bytes=79 << 30,
    driver="580.95.05",
)


class Driver:
    """Answers as libcuda.so.1 does, through pointers; code 0 unless told to fail."""

    def __init__(self, *, count: int = 1, fails: str = "", gpu: Device = GPU) -> None:
        self.count, self.fails, self.gpu = count, fails, gpu
        self.num_contexts = 0
        self.memory: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            if name == self.fails:
                return 2
            answer = getattr(type(self), f"_{name}", None)
            if answer is not None:
                answer(self, *arguments)
            return 0

        return call

    def _cuDeviceGetCount(self, count: Any) -> None:  # noqa: N802
        count._obj.value = self.count

    def _cuDeviceGetName(self, name: Any, _size: int, _device: Any) -> None:  # noqa: N802
        name.value = self.gpu.name.encode()

    def _cuDeviceGetAttribute(self, value: Any, number: int, _device: Any) -> None:  # noqa: N802
        major, minor = self.gpu.compute_capability.split(".")
        value._obj.value = {75: int(major), 76: int(minor)}[number]

    def _cuDeviceTotalMem_v2(self, total: Any, _device: Any) -> None:  # noqa: N802
        total._obj.value = self.gpu.memory_bytes

    def _cuMemGetInfo_v2(self, free: Any, total: Any) -> None:  # noqa: N802
        free._obj.value, total._obj.value = self.gpu.free_bytes, self.gpu.memory_bytes

    def _cuDevicePrimaryCtxRetain(self, _context: Any, _device: Any) -> None:  # noqa: N802
        self.num_contexts += 1

    def _cuDevicePrimaryCtxRelease_v2(self, _device: Any) -> None:  # noqa: N802
        self.num_contexts -= 1

    def _cuDriverGetVersion(self, version: Any) -> None:  # noqa: N802
        version._obj.value = 13_020

    def _cuStreamCreate(self, stream: Any, _flags: int) -> None:  # noqa: N802
        stream._obj.value = 1

    def _cuMemAlloc_v2(self, address: Any, num_bytes: Any) -> None:  # noqa: N802
        buffer = ctypes.create_string_buffer(num_bytes.value)
        address._obj.value = ctypes.addressof(buffer)
        self.memory[address._obj.value] = buffer

    def _cuMemFree_v2(self, address: Any) -> None:  # noqa: N802
        del self.memory[address.value]

    def _cuMemcpyHtoD_v2(self, address: Any, source: Any, num_bytes: Any) -> None:  # noqa: N802
        assert num_bytes.value <= len(self.memory[address.value])
        ctypes.memmove(address.value, source, num_bytes.value)

    def _cuMemcpyDtoH_v2(self, target: Any, address: Any, num_bytes: Any) -> None:  # noqa: N802
        assert num_bytes.value <= len(self.memory[address.value])
        ctypes.memmove(target, address.value, num_bytes.value)
