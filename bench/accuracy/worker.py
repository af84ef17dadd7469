"""``python -m bench.accuracy.worker``: one pre-training or one arm, in a process of its own.

Job: {"task": "pretrain" | "fine_tune", "recipe": {…}, "dataset": str, "seed": int, "checkpoint": path} and for
"fine_tune" also {"variant": {…}, "strategy_files": [path, …]}. Events: {"event": "progress", "share": 0…1},
{"event": "note", "message": str}, and last {"event": "result", "samples": {…}}. Whatever goes wrong ends the process
with a traceback whose last line is the reason.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.accuracy import checkpoint, evaluation
from bench.accuracy.clips import Dataset
from bench.accuracy.datasets import open_dataset
from bench.accuracy.fitting import Report
from bench.accuracy.training import FineTuned, fine_tune, pretrain
from bench.axes import ACCURACY_BACKBONE
from bench.discovery import load_class
from bench.settings import Recipe
from bench.sweep import Variant
from bench.workers import Emit, Event, serve

_PROGRESS_EVERY = 1.0  # seconds; a person watches this


def handle(job: Event, emit: Emit) -> None:
    """Do the job and emit its result. Raises Diverged, Unusable, LoadError, or what the strategy raised."""
    recipe = Recipe.model_validate(job["recipe"])
    dataset = open_dataset(job["dataset"], recipe.train_share, job["seed"])
    task = {"pretrain": _pretrain, "fine_tune": _fine_tune}[job["task"]]
    if samples := task(job, recipe, dataset, emit):
        emit({"event": "result", "samples": samples})


def _pretrain(job: Event, recipe: Recipe, dataset: Dataset, emit: Emit) -> dict[str, Any]:
    path, key = Path(job["checkpoint"]), checkpoint.checkpoint_key(recipe, job["dataset"], job["seed"])
    try:
        checkpoint.load(path, key)
        return {"key": key, "reused": True}
    except FileNotFoundError:
        pass
    except checkpoint.Unusable as why:
        emit({"event": "note", "message": f"pre-training again: {why}"})
    pretrained = pretrain(recipe, dataset, job["seed"], _progress(emit))
    checkpoint.save(path, key, pretrained.state)
    return {"key": key, "reused": False, **asdict(pretrained.fit)}


def _fine_tune(job: Event, recipe: Recipe, dataset: Dataset, emit: Emit) -> dict[str, Any]:
    key = checkpoint.checkpoint_key(recipe, job["dataset"], job["seed"])
    state = checkpoint.load(Path(job["checkpoint"]), key)
    variant = Variant.from_json(job["variant"])
    strategy_class = load_class(variant.strategy, [Path(path) for path in job["strategy_files"]])
    strategy = strategy_class(float(variant.fraction), variant.placement, variant.direction)  # type: ignore[arg-type]
    if reason := strategy.skip(ACCURACY_BACKBONE, dataset.frames):
        emit({"event": "skipped", "reason": reason})
        return {}
    return arm_samples(fine_tune(strategy, recipe, dataset, job["seed"], state, _progress(emit)))


def arm_samples(arm: FineTuned) -> dict[str, Any]:
    """An arm as plain JSON. X_correct: one bit per test clip, see ``evaluation.unpack``; accuracies from 0 to 1."""
    correct = {name: getattr(arm.scores, name) for name in ("spatial", "temporal", "joint")}
    return {
        **{f"{name}_accuracy": float(bits.mean()) for name, bits in correct.items()},
        **{f"{name}_correct": evaluation.pack(correct[name]) for name in ("spatial", "temporal")},
        "test_clips": len(arm.scores.spatial),
        "params": arm.params,
        "flops": arm.flops,
        "test_seconds": arm.test_seconds,
        "clips_per_second": arm.clips_per_second,
        **asdict(arm.fit),
    }


def _progress(emit: Emit) -> Report:
    """Pass on the share done, at most once a second, and always the end."""
    last = 0.0

    def report(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if share >= 1 or now - last >= _PROGRESS_EVERY:
            last = now
            emit({"event": "progress", "share": share})

    return report


if __name__ == "__main__":
    serve(handle)
