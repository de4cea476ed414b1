"""The GPU that this process would use, as the CUDA driver tells.

The driver's own library is asked, not NVML: it honours CUDA_VISIBLE_DEVICES and MIG, is there
wherever CUDA runs, and needs no package.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DRIVER_LIBRARY: Final = "libcuda.so.1"
DRIVER_FILE: Final = Path("/proc/driver/nvidia/version")

_CAPABILITY_MAJOR: Final = 75
_CAPABILITY_MINOR: Final = 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h."""


@dataclass(frozen=True)
class Device:
    """One GPU."""

    name: str
    """As the maker calls it, such as ``NVIDIA H100 80GB HBM3``."""
    compute_capability: str
    """``9.0``: what its kernels have to be built for."""
    memory_bytes: int
    """All of its memory."""
    free_bytes: int
    """What of it nobody holds now."""
    driver: str
    """Version of the driver, such as ``580.95.05``."""


def load_driver() -> Any:
    """The driver's library; None where it is not installed."""
    try:
        return ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        return None


def this_device(cuda: Any = None) -> Device | None:
    """The first GPU that this process may use; None where there is none, or no driver.

    Args:
        cuda: the driver's library; by default the installed one.
    """
    cuda = cuda or load_driver()
    if cuda is None:
        return None
    count, device = ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    if cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, len(name), device)
    free_bytes, memory_bytes = _memory(cuda, device)
    return Device(
        name=name.value.decode("utf-8", "replace"),
        compute_capability=".".join(
            str(_attribute(cuda, device, number))
            for number in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR)
        ),
        memory_bytes=memory_bytes,
        free_bytes=free_bytes,
        driver=_driver(cuda),
    )


def _attribute(cuda: Any, device: ctypes.c_int, number: int) -> int:
    value = ctypes.c_int()
    cuda.cuDeviceGetAttribute(ctypes.byref(value), number, device)
    return value.value


def _memory(cuda: Any, device: ctypes.c_int) -> tuple[int, int]:
    """Free and all bytes; only a context knows what is free, and takes some itself."""
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device)
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return 0, total.value
    try:
        cuda.cuCtxPushCurrent_v2(context)
        cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)
    return free.value, total.value


def _driver(cuda: Any) -> str:
    """The kernel module's version; that of CUDA which the driver speaks where it does not tell."""
    try:
        found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", DRIVER_FILE.read_text())
    except OSError:
        found = None
    if found:
        return found[1]
    version = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    return f"cuda-{version.value // 1000}.{version.value % 1000 // 10}"
