"""``python -m bench.measure.training.recognition_worker``: one pre-training or one arm, in a process of its own.

Job: {"task": "pretrain" | "fine_tune", "recipe": {…}, "data": {…}, "condition": {…}, "seed": int, "checkpoint": path}
and for "fine_tune" also {"variant": {…}, "strategy_files": [path, …]}. Events: {"event": "progress", "share": 0…1},
{"event": "note", "message": str}, and last {"event": "result", "samples": {…}}. Whatever goes wrong ends the process
with a traceback whose last line is the reason.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.data.clips import Dataset
from bench.data.datasets import data_version, open_dataset
from bench.measure.training import checkpoint
from bench.measure.training.recognition import FineTuned, fine_tune, pretrain
from bench.measure.training.recognition_checkpoint import checkpoint_key
from bench.models import pretrained_form
from bench.plugins.discovery import load_class
from bench.spec.cases import Condition, Variant
from bench.spec.settings import Data, Recipe
from bench.stats import packed_booleans
from bench.system import environment
from bench.system.workers import Emit, Event, noting, progress, serve


@dataclass(frozen=True)
class _Setting:
    """What a job says, made whole."""

    recipe: Recipe
    condition: Condition
    seed: int
    dataset: Dataset
    data_version: str
    checkpoint: Path

    @classmethod
    def of(cls, job: Event) -> "_Setting":
        recipe, data = Recipe.model_validate(job["recipe"]), Data.model_validate(job["data"])
        condition, seed = Condition.from_json(job["condition"]), job["seed"]
        dataset = open_dataset(condition.dataset, recipe, data, seed)
        return cls(recipe, condition, seed, dataset, data_version(condition.dataset, data), Path(job["checkpoint"]))

    @property
    def form(self) -> str:
        """The 2-D network whose pre-trained weights the condition's network starts from."""
        return pretrained_form(self.condition.backbone)

    @property
    def key(self) -> str:
        """What the checkpoint must have been made from."""
        return checkpoint_key(self.recipe, self.condition.dataset, self.data_version, self.form, self.seed)


def handle(job: Event, emit: Emit) -> None:
    """Do the job and emit its result. Raises Diverged, Unusable, LoadError, or what the strategy raised."""
    task = {"pretrain": _pretrain, "fine_tune": _fine_tune}[job["task"]]
    if samples := task(job, _Setting.of(job), emit):
        emit({"event": "result", "samples": samples})


def _pretrain(job: Event, setting: _Setting, emit: Emit) -> dict[str, Any]:
    if checkpoint.kept(setting.checkpoint, setting.key, noting(emit)) is not None:
        return {"key": setting.key, "reused": True}
    pretrained = pretrain(setting.recipe, setting.dataset, setting.form, setting.seed, progress(emit))
    checkpoint.save(setting.checkpoint, setting.key, pretrained.state)
    return {"key": setting.key, "reused": False, **asdict(pretrained.fit)}


def _fine_tune(job: Event, setting: _Setting, emit: Emit) -> dict[str, Any]:
    condition = setting.condition
    variant = Variant.from_json(job["variant"])
    strategy_class = load_class(variant.strategy, [Path(path) for path in job["strategy_files"]])
    strategy = strategy_class(float(variant.fraction), variant.placement, variant.direction)  # type: ignore[arg-type]
    if reason := strategy.skip(condition.backbone, setting.dataset.frames):
        emit({"event": "skipped", "reason": reason})
        return {}
    state = checkpoint.kept(setting.checkpoint, setting.key, noting(emit))
    if state is None:  # someone cleared the cache between the two stages: the weights come out the same
        pretrained = pretrain(setting.recipe, setting.dataset, setting.form, setting.seed, lambda share: None)
        checkpoint.save(setting.checkpoint, setting.key, pretrained.state)
        state = pretrained.state
    arm = fine_tune(strategy, setting.recipe, setting.dataset, condition, setting.seed, state, progress(emit))
    return {
        **arm_samples(arm),
        "machine": environment.where_trained(),
        "spatial_classes": setting.dataset.spatial_classes,
        "temporal_classes": setting.dataset.temporal_classes,
        "validation_clips": setting.recipe.validation_clips * setting.dataset.temporal_classes,
        "data_version": setting.data_version,
        "judged_on": setting.recipe.judged_on,
    }


def arm_samples(arm: FineTuned) -> dict[str, Any]:
    """An arm as plain JSON. X_correct: one bit per test clip, see ``bits.unpack``; accuracies from 0 to 1."""
    correct = {name: getattr(arm.scores, name) for name in ("spatial", "temporal", "joint")}
    out_of_order = {}
    if arm.shuffled is not None:
        out_of_order = {
            "shuffled_spatial_accuracy": float(arm.shuffled.spatial.mean()),
            "shuffled_temporal_accuracy": float(arm.shuffled.temporal.mean()),
            "shuffled_clips": len(arm.shuffled.spatial),
        }
    early = {}
    if arm.early is not None:
        parts = ("spatial", "temporal", "joint")
        early = {"early": {part: [float(getattr(one, part).mean()) for one in arm.early] for part in parts}}
    curve = asdict(arm.curve)
    return {
        **{f"{name}_accuracy": float(right.mean()) for name, right in correct.items()},
        **{f"{name}_correct": packed_booleans.pack(correct[name]) for name in ("spatial", "temporal")},
        "test_clips": len(arm.scores.spatial),
        **out_of_order,
        **early,
        "clips_seen": curve.pop("clips_seen"),
        "curve": curve,
        "params": arm.params,
        "flops": arm.flops,
        "test_seconds": arm.test_seconds,
        "clips_per_second": arm.clips_per_second,
        **asdict(arm.fit),
    }


if __name__ == "__main__":
    serve(handle)
