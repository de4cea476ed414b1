"""A version against the champion, in a process of its own: what it costs the caller is time.

Run as ``python -m penchant.serving.rollout.trial`` it reads a request and writes findings as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from penchant.serving.holdout import HoldoutRows
from penchant.serving.package import ModelPackage
from penchant.serving.preflight import offer_to_end_first
from penchant.serving.rollout.gates import BLOCK, Finding, Gates, LatencyGate, QualityGate

_LOAD_S: Final = 300.0
"""Longest time that loading both may take, on top of what the gates may."""


def run_trial(new: ModelPackage, champion: ModelPackage | None, gates: Gates) -> list[Finding]:
    """What the quality and the latency gate find of a version.

    Args:
        new: the version that is to be served.
        champion: the version that is served, if any.
        gates: which gates, and how strict.
    """
    request = {
        "new": str(new.folder),
        "champion": str(champion.folder) if champion else None,
        "quality": asdict(gates.quality),
        "latency": asdict(gates.latency),
    }
    timeout_s = _LOAD_S + 2 * (gates.quality.most_s + gates.latency.most_s)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "penchant.serving.rollout.trial"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        return [_failed(f"it took longer than {timeout_s:g} s")]
    if done.returncode != 0:
        said = done.stderr.strip()[-1000:] or f"it ended with code {done.returncode}"
        return [_failed(said)]
    return [Finding(**finding) for finding in json.loads(done.stdout)]


def _failed(why: str) -> Finding:
    reason = f"tried beside the champion in a process of its own, {why}"
    return Finding(gate="trial", metric="", outcome=BLOCK, reason=reason)


def main() -> None:
    """The child's side of :func:`run_trial`."""
    offer_to_end_first()
    request = json.load(sys.stdin)
    new = ModelPackage.open(Path(request["new"]))
    champion = ModelPackage.open(Path(request["champion"])) if request["champion"] else None
    quality, latency = QualityGate(**request["quality"]), LatencyGate(**request["latency"])
    findings = _findings(new, champion, quality, latency)
    json.dump([finding.as_dict() for finding in findings], sys.stdout)


def _findings(
    new: ModelPackage,
    champion: ModelPackage | None,
    quality: QualityGate,
    latency: LatencyGate,
) -> list[Finding]:
    from penchant.serving.rollout.contender import Contender
    from penchant.serving.rollout.latency import compare_latency
    from penchant.serving.rollout.quality import compare_quality, not_compared

    contenders = [Contender(package) for package in (new, champion) if package]
    other = contenders[1] if champion else None
    found: list[Finding] = []
    if other and champion and quality.enabled:
        rows = held_out(new, champion)
        if rows is None:
            found.append(not_compared("neither package carries held-out rows; train it again"))
        else:
            found += compare_quality(rows, new.contract, contenders[0].ask, other.ask, quality)
    if latency.enabled:
        golden = new.golden()
        found += compare_latency(
            contenders[0].caller(golden),
            other.caller(golden) if other else None,
            budget_ms=new.contract.latency_budget_ms,
            gate=latency,
        )
    return found


def held_out(new: ModelPackage, champion: ModelPackage) -> HoldoutRows | None:
    """Held-out rows of the package that was sealed last, else of the other; None where none are."""
    last, first = sorted((new, champion), key=lambda each: each.manifest.created_at, reverse=True)
    return last.holdout() or first.holdout()


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
