"""``python -m penchant.perf.gpu_check``, which perf/gpu_check.sh runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from penchant.perf.gpu_check.check import check

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="perf/gpu_check.sh", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="the CPU at tiny sizes")
    parser.add_argument("--results", type=Path, required=True, help="folder of the report")
    asked = parser.parse_args()
    check(asked.results, dry_run=asked.dry_run)
