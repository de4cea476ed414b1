"""A GPU that is not here."""

from __future__ import annotations

from penchant.serving.engines.device import Device

GPU = Device(
    name="NVIDIA H100 80GB HBM3",
    compute_capability="9.0",
    memory_bytes=80 << 30,
    free_bytes=79 << 30,
    driver="580.95.05",
)
