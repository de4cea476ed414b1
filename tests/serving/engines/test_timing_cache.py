"""Kept timings: read only as they were written, by a config that plays TensorRT's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.serving.engines.gpus import GPU

from penchant.serving.engines.library import EngineLibrary
from penchant.serving.engines.timing_cache import TimingCache


class Timings:
    """A cache of TensorRT's; its config has to query a GPU and does not work here."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content


class Config:
    """What of IBuilderConfig a timing cache uses."""

    def __init__(self, *, refuses: bytes | None = None) -> None:
        self.refuses = refuses
        self.timings: Timings | None = None

    def create_timing_cache(self, content: bytes) -> Timings:
        return Timings(content)

    def set_timing_cache(self, timings: Timings, _ignore_mismatch: bool) -> bool:
        if timings.content == self.refuses:
            return False
        self.timings = timings
        return True

    def get_timing_cache(self) -> Timings:
        assert self.timings is not None
        return self.timings


@pytest.fixture
def cache(library: EngineLibrary, tmp_path: Path) -> TimingCache:
    return TimingCache(tmp_path, library, GPU, ("TF32",))


def built(cache: TimingCache, measured: bytes) -> None:
    """A build without kept timings."""
    config = Config()
    assert cache.attach(config) is None
    assert config.timings is not None
    assert config.timings.content == b""
    config.timings.content = measured
    cache.keep(config)


def test_the_next_build_has_what_the_last_has_measured(cache: TimingCache) -> None:
    built(cache, b"measured")
    config = Config()
    assert cache.attach(config) is None
    assert config.timings is not None
    assert config.timings.content == b"measured"


def test_each_key_has_its_own_file(
    cache: TimingCache, library: EngineLibrary, tmp_path: Path
) -> None:
    others = [
        TimingCache(tmp_path, replace(library, version="9.9"), GPU, ("TF32",)),
        TimingCache(tmp_path, library, replace(GPU, compute_capability="8.0"), ("TF32",)),
        TimingCache(tmp_path, library, replace(GPU, driver="595.1"), ("TF32",)),
        TimingCache(tmp_path, library, replace(GPU, name="NVIDIA H200"), ("TF32",)),
        TimingCache(tmp_path, library, GPU, ("REFIT", "TF32")),
        TimingCache(tmp_path, library, GPU, ()),
    ]
    assert len({each.path for each in (cache, *others)}) == 7
    assert "NVIDIA_H100_80GB_HBM3-sm9.0-580.95.05-TF32" in cache.path.name


@pytest.mark.parametrize("damage", [slice(0, 20), slice(0, -1), slice(1, None)])
def test_a_damaged_file_is_told_and_measured_anew(cache: TimingCache, damage: slice) -> None:
    built(cache, b"measured")
    cache.path.write_bytes(cache.path.read_bytes()[damage])
    config = Config()
    trouble = cache.attach(config)
    assert trouble is not None
    assert str(cache.path) in trouble
    assert "its SHA-256 is not that of what it holds; it is measured and written anew" in trouble
    assert config.timings is not None
    assert config.timings.content == b""


def test_timings_that_tensorrt_refuses_are_told_and_measured_anew(cache: TimingCache) -> None:
    built(cache, b"of another card")
    config = Config(refuses=b"of another card")
    trouble = cache.attach(config)
    assert trouble is not None
    assert "TensorRT refuses it" in trouble
    assert config.timings is not None
    assert config.timings.content == b""
