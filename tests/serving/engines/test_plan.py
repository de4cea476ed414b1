"""Plans on the disk: whole or not there, and refused when they are another's or damaged."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.serving.engines.gpus import GPU

from penchant.serving.durable import write_durably
from penchant.serving.engines.builder import build_engine
from penchant.serving.engines.check_plan import check_plan
from penchant.serving.engines.library import EngineLibrary
from penchant.serving.engines.plan import Plan, PlanRecord
from penchant.serving.package import ModelPackage

BUILD = "run: penchant build engine --model tiny_journey --version 3 --precision tf32$"


@pytest.fixture(scope="module")
def rehearsal(tiny: ModelPackage) -> Plan:
    return build_engine(tiny.net, contract=tiny.contract, precision="tf32", package_version=3)


@pytest.fixture
def plan(rehearsal: Plan) -> Plan:
    """As if it had been built for that GPU."""
    return replace(
        rehearsal,
        record=replace(
            rehearsal.record,
            device=GPU.name,
            compute_capability=GPU.compute_capability,
            driver=GPU.driver,
        ),
    )


def test_a_record_is_read_as_it_was_written(plan: Plan) -> None:
    assert PlanRecord.from_json(plan.record.to_json()) == plan.record


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": "journey"}'])
def test_a_text_that_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plan record: expected the JSON object"):
        PlanRecord.from_json(text)


def test_a_saved_plan_is_opened_whole(plan: Plan, tmp_path: Path) -> None:
    path = plan.save(tmp_path)
    assert path.name == f"{plan.record.library}-{plan.record.library_version}-tf32-sm90.json"
    assert Plan.open(path) == plan


def test_plans_of_other_precisions_and_gpus_lie_side_by_side(plan: Plan, tmp_path: Path) -> None:
    others = [{"precision": "fp16"}, {"compute_capability": "8.0"}, {"compute_capability": ""}]
    records: list[PlanRecord] = [replace(plan.record, **other) for other in others]  # type: ignore[arg-type]
    paths = {replace(plan, record=record).save(tmp_path) for record in (plan.record, *records)}
    assert len(paths) == 4
    assert all(Plan.open(path).content == plan.content for path in paths)


def test_a_plan_built_anew_takes_the_place_of_the_last(plan: Plan, tmp_path: Path) -> None:
    plan.save(tmp_path)
    other = Plan(replace(plan.record, sha256=sha256(b"other").hexdigest()), b"other")
    path = other.save(tmp_path)
    assert Plan.open(path) == other
    assert [each.name for each in tmp_path.glob("*.plan")] == [other.record.file_name]


@pytest.mark.parametrize("step", [1, 2])
def test_a_full_disk_leaves_the_plan_that_was_there(
    step: int, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plan.save(tmp_path)
    before = {each.name for each in tmp_path.iterdir()}
    writes = iter(range(1, 3))

    def fails(where: Path, content: bytes) -> None:
        write_durably(where, content[:10])
        if next(writes) == step:
            raise OSError(28, "No space left on device")
        write_durably(where, content)

    monkeypatch.setattr("penchant.serving.engines.plan.write_durably", fails)
    other = Plan(replace(plan.record, sha256=sha256(b"other").hexdigest()), b"other")
    with pytest.raises(OSError, match="No space left"):
        other.save(tmp_path)
    assert Plan.open(path) == plan
    left = {each.name for each in tmp_path.iterdir()} - before
    assert left <= {other.record.file_name}, "no part of a file"


@pytest.mark.parametrize("damage", ["truncated", "changed", "gone"])
def test_a_damaged_plan_is_refused_with_what_builds_it_again(
    damage: str, plan: Plan, tmp_path: Path
) -> None:
    path = plan.save(tmp_path)
    file = tmp_path / plan.record.file_name
    if damage == "gone":
        file.unlink()
    else:
        content = plan.content[:-1] if damage == "truncated" else plan.content[:-1] + b"?"
        file.write_bytes(content)
    with pytest.raises(ValueError, match=BUILD):
        Plan.open(path)


def test_a_missing_or_broken_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a readable record, got FileNotFoundError"):
        Plan.open(tmp_path / "none.json")
    (tmp_path / "broken.json").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="expected a readable record, got UnicodeDecodeError"):
        Plan.open(tmp_path / "broken.json")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"library_version": "1.6.0"}, "expected a plan of tensorrt_rtx .*, got one of .* 1.6.0"),
        ({"library": "tensorrt"}, "got one of tensorrt "),
        ({"compute_capability": "8.0"}, r"capability 9\.0 \(NVIDIA H100.*\), got 8\.0"),
        ({"compute_capability": ""}, "got a rehearsal that was built without a GPU"),
        ({"net_sha256": "0" * 64}, r"expected the plan of .*, got that of 0000000000000000…"),
    ],
)
def test_a_plan_of_another_machine_or_net_is_refused(
    change: dict[str, Any],
    reason: str,
    plan: Plan,
    tiny: ModelPackage,
    library: EngineLibrary,
    tmp_path: Path,
) -> None:
    path = replace(plan, record=replace(plan.record, **change)).save(tmp_path)
    with pytest.raises(ValueError, match=f"{reason}.*{BUILD}"):
        check_plan(path, net=tiny.net, library=library, device=GPU)


def test_without_a_gpu_no_plan_is_served(
    plan: Plan, tiny: ModelPackage, library: EngineLibrary, tmp_path: Path
) -> None:
    path = plan.save(tmp_path)
    with pytest.raises(ValueError, match="expected a GPU to serve it on, got none"):
        check_plan(path, net=tiny.net, library=library)


@pytest.mark.parametrize("content", [b"no plan", None], ids=["another file", "a plan"])
def test_a_plan_that_does_not_load_is_refused_with_the_librarys_words(
    content: bytes | None, plan: Plan, tiny: ModelPackage, library: EngineLibrary, tmp_path: Path
) -> None:
    """A process of its own loads it; without a GPU that is refused whatever it is."""
    if content is not None:
        digest = sha256(content).hexdigest()
        plan = Plan(replace(plan.record, sha256=digest), content)
    path = plan.save(tmp_path)
    said = "expected an engine that loads in a process of its own, got: .*(Cuda|CUDA|magic|engine)"
    with pytest.raises(ValueError, match=f"(?s){said}.*{BUILD}"):
        check_plan(path, net=tiny.net, library=library, device=GPU)
