"""TensorRT's timings of kernels, kept from build to build: they turn minutes into seconds.

Timings hold for one GPU, driver, library and set of builder flags, so each such key has a file of
its own. The file begins with the SHA-256 of the rest: TensorRT need never see a damaged one.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Any

from penchant.serving.durable import write_durably
from penchant.serving.engines.device import Device
from penchant.serving.engines.library import EngineLibrary

_DIGEST_BYTES = 32


class TimingCache:
    """The file of one key."""

    def __init__(
        self, folder: Path, library: EngineLibrary, device: Device, flags: tuple[str, ...]
    ) -> None:
        """Nothing is read yet.

        Args:
            folder: where caches are kept.
            library: what builds.
            device: what it builds for.
            flags: builder flags, which decide what kernels are timed.
        """
        words = (
            library.name,
            library.version,
            device.name,
            f"sm{device.compute_capability}",
            device.driver,
            *flags,
        )
        name = "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", word) for word in words)
        self.path = folder / f"{name}.timings"

    def attach(self, config: Any) -> str | None:
        """Give a builder's config the kept timings, or an empty cache.

        Returns:
            Why kept timings were not used; None where they were, or there were none.
        """
        kept, trouble = self._read()
        cache = config.create_timing_cache(kept) if kept else None
        if kept and (cache is None or not config.set_timing_cache(cache, False)):
            trouble, cache = "TensorRT refuses it", None
        if cache is None:
            config.set_timing_cache(config.create_timing_cache(b""), False)
        if trouble is None:
            return None
        return f"timing cache {self.path}: {trouble}; it is measured and written anew"

    def keep(self, config: Any) -> None:
        """Write what a build has added; whole or not at all."""
        content = bytes(config.get_timing_cache().serialize())
        partial = self.path.with_suffix(".partial")
        write_durably(partial, sha256(content).digest() + content)
        partial.replace(self.path)

    def _read(self) -> tuple[bytes, str | None]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return b"", None
        except OSError as error:
            return b"", f"expected a readable file, got {type(error).__name__}"
        digest, kept = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if sha256(kept).digest() != digest:
            return b"", "its SHA-256 is not that of what it holds"
        return kept, None
