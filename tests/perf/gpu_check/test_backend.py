"""Whether the Triton that is here can run engines."""

from pathlib import Path

import pytest

from penchant.perf.gpu_check.triton import require_backend


def test_a_triton_without_the_backend_serves_on_the_cpu_for_a_reason(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    with pytest.raises(ValueError, match="expected one with the tensorrt backend, got none in"):
        require_backend(tmp_path)
    (tmp_path / "tensorrt").mkdir()
    require_backend(tmp_path)
