"""The worker's jobs and events, in this process and as the process that it is meant to be."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import workers
from bench.accuracy.checkpoint import Unusable
from bench.accuracy.evaluation import unpack
from bench.accuracy.worker import handle
from bench.discovery import LoadError, strategy_files
from bench.settings import Recipe
from bench.sweep import BASELINE_VARIANT

Events = list[dict[str, Any]]


@pytest.fixture
def job(recipe: Recipe, tmp_path: Path) -> dict[str, Any]:
    return {
        "recipe": recipe.model_dump(mode="json"),
        "dataset": "ring_digits",
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


def test_fine_tune_needs_its_checkpoint_and_its_strategy(job: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError):
        run(job, "fine_tune")
    run(job, "pretrain")
    with pytest.raises(LoadError):
        run(job | {"strategy_files": []}, "fine_tune")
    with pytest.raises(Unusable):
        run(job | {"seed": 2}, "fine_tune")


def test_as_a_process(job: dict[str, Any]) -> None:
    events = list(workers.stream("bench.accuracy.worker", job | {"task": "pretrain"}, silence_limit=60))
    assert [event["event"] for event in events[-3:]] == ["progress", "result", "done"]
    assert Path(job["checkpoint"]).exists()
