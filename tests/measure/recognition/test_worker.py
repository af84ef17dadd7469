"""The worker's jobs and events, in this process and as the process that it is meant to be."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.measure.training.recognition_worker import handle
from bench.plugins.discovery import LoadError, strategy_files
from bench.spec.cases import BASELINE_VARIANT, Condition
from bench.spec.settings import Data, Recipe
from bench.stats.packed_booleans import unpack
from bench.system import workers

Events = list[dict[str, Any]]


@pytest.fixture
def job(recipe: Recipe, tmp_path: Path) -> dict[str, Any]:
    return {
        "recipe": recipe.model_dump(mode="json"),
        "data": Data().model_dump(mode="json"),
        "condition": asdict(Condition()),
        "seed": 1,
        "checkpoint": str(tmp_path / "pretrained.pt"),
        "variant": BASELINE_VARIANT.to_json(),
        "strategy_files": [str(path) for path in strategy_files()],
    }


def run(job: dict[str, Any], task: str) -> Events:
    events: Events = []
    handle(job | {"task": task}, events.append)
    return json.loads(json.dumps(events))  # type: ignore[no-any-return]


def test_checkpoint_is_made_reused_and_made_again_when_torn(job: dict[str, Any]) -> None:
    path = Path(job["checkpoint"])
    first = run(job, "pretrain")
    assert [event["event"] for event in first[-2:]] == ["progress", "result"]
    assert first[-1]["samples"]["reused"] is False and len(first[-1]["samples"]["train_loss"]) == 2
    whole = path.read_bytes()
    assert [event["event"] for event in run(job, "pretrain")] == ["result"]
    assert path.read_bytes() == whole

    path.write_bytes(whole[: len(whole) // 2])
    events = run(job, "pretrain")
    assert events[0]["event"] == "note" and "cannot be read" in events[0]["message"]
    assert events[-1]["samples"]["train_loss"] == first[-1]["samples"]["train_loss"]
    assert [event["event"] for event in run(job, "pretrain")] == ["result"]

    assert "another recipe" in run(job | {"seed": 2}, "pretrain")[0]["message"]


def test_fine_tune_result(job: dict[str, Any], recipe: Recipe) -> None:
    run(job, "pretrain")
    samples = run(job, "fine_tune")[-1]["samples"]
    assert samples["test_clips"] == 4 * recipe.test_clips and samples["temporal_accuracy"] == 0.25
    both = [unpack(samples[f"{name}_correct"], samples["test_clips"]) for name in ("spatial", "temporal")]
    assert [bits.mean() for bits in both] == [samples["spatial_accuracy"], samples["temporal_accuracy"]]
    assert (both[0] & both[1]).mean() == samples["joint_accuracy"]


def test_a_record_says_how_it_came_about(job: dict[str, Any], recipe: Recipe) -> None:
    run(job, "pretrain")
    samples = run(job, "fine_tune")[-1]["samples"]
    assert samples["clips_seen"] == [recipe.clips, 2 * recipe.clips]
    assert {len(samples["curve"][part]) for part in ("spatial", "temporal", "joint")} == {recipe.epochs}
    assert samples["curve"]["temporal"] == [0.25, 0.25] and samples["validation_clips"] == 4 * recipe.validation_clips
    assert samples["shuffled_clips"] == recipe.test_clips
    assert (samples["judged_on"], samples["spatial_classes"], samples["temporal_classes"]) == ("test", 10, 4)
    parts = [samples[f"{name}_seconds"] for name in ("data", "forward", "backward", "update")]
    assert all(part > 0 for part in parts) and sum(parts) <= samples["train_seconds"]


def test_a_record_says_what_a_causal_arm_knew_early(job: dict[str, Any]) -> None:
    offline = {"strategy": "copy_shift", "fraction": "1/8", "placement": "residual", "direction": "bidirectional"}
    variants = (BASELINE_VARIANT.to_json(), {**offline, "direction": "unidirectional"}, offline)
    run(job, "pretrain")
    baseline, shift, not_causal = (run(job | {"variant": v}, "fine_tune")[-1]["samples"] for v in variants)
    assert "early" not in not_causal
    for samples in (baseline, shift):
        for part in ("spatial", "temporal", "joint"):
            assert len(samples["early"][part]) == 8
            assert samples["early"][part][-1] == samples[f"{part}_accuracy"], "at the end all of the clip was seen"


def test_a_cleared_cache_is_filled_again(job: dict[str, Any]) -> None:
    run(job, "pretrain")
    first = run(job, "fine_tune")[-1]["samples"]
    Path(job["checkpoint"]).unlink()
    again = run(job, "fine_tune")[-1]["samples"]
    assert Path(job["checkpoint"]).exists()
    assert (first["train_loss"], first["spatial_correct"]) == (again["train_loss"], again["spatial_correct"])


def test_a_foreign_checkpoint_is_not_used(job: dict[str, Any]) -> None:
    run(job, "pretrain")
    events = run(job | {"seed": 2}, "fine_tune")
    assert "another recipe" in events[0]["message"] and events[-1]["event"] == "result"


def test_fine_tune_needs_its_strategy(job: dict[str, Any]) -> None:
    run(job, "pretrain")
    with pytest.raises(LoadError):
        run(job | {"strategy_files": []}, "fine_tune")


def test_as_a_process(job: dict[str, Any]) -> None:
    events = list(
        workers.stream("bench.measure.training.recognition_worker", job | {"task": "pretrain"}, silence_limit=60)
    )
    assert [event["event"] for event in events[-3:]] == ["progress", "result", "done"]
    assert Path(job["checkpoint"]).exists()
