"""One pre-training or one arm of the detection section, in a process of its own.

Job: {"task": "pretrain" | "fine_tune", "recipe": {…}, "data": {…}, "seed": int, "checkpoint": path}, for "fine_tune"
also {"variant": {…}, "strategy_files": [path, …], "examples": int, "weights": path} (where the trained ones are kept;
null: nowhere). Events as those of ``bench.measure.training.recognition_worker``.
"""

import base64
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import data, models
from bench.data.scenes import ClutteredDigits, data_version
from bench.data.speed import SPEEDS
from bench.measure import training
from bench.measure.training import checkpoint
from bench.measure.training.detection import Trained, fine_tune, pretrain
from bench.measure.training.detection_fitting import targets_of
from bench.plugins.discovery import load_class
from bench.spec.axes import TRAINED_DETECTOR
from bench.spec.cases import Variant
from bench.spec.detection_settings import ClutteredDigitsData, DetectionRecipe
from bench.system import environment
from bench.system.workers import Emit, Event, noting, progress, serve

_SHOWN = 0.2  # score below which an example's detection is not kept
_DIGITS = 3  # of what is kept of a detection


@dataclass(frozen=True)
class _Setting:
    """What a job says, made whole."""

    recipe: DetectionRecipe
    data: ClutteredDigitsData
    seed: int
    dataset: ClutteredDigits
    checkpoint: Path

    @classmethod
    def of(cls, job: Event) -> "_Setting":
        recipe = DetectionRecipe.model_validate(job["recipe"])
        data, seed = ClutteredDigitsData.model_validate(job["data"]), job["seed"]
        return cls(recipe, data, seed, ClutteredDigits.split(recipe, data, seed), Path(job["checkpoint"]))

    @property
    def key(self) -> str:
        """What the pre-trained weights must have been made from."""
        depends_on = ("train_share", "validation_share", "weight_decay", "bf16", "device")
        recipe = self.recipe.model_dump(mode="json")
        relevant = {name: recipe[name] for name in recipe if name in depends_on or name.startswith("pretrain_")}
        return checkpoint.key_of([relevant, data_version(self.data), self.seed], (training, models, data))


def handle(job: Event, emit: Emit) -> None:
    """Do the job and emit its result. Raises Diverged, NotTheSame, LoadError, or what the strategy raised."""
    task = {"pretrain": _pretrain, "fine_tune": _fine_tune}[job["task"]]
    if samples := task(job, _Setting.of(job), emit):
        emit({"event": "result", "samples": samples})


def _pretrain(job: Event, setting: _Setting, emit: Emit) -> dict[str, Any]:
    if checkpoint.kept(setting.checkpoint, setting.key, noting(emit)) is not None:
        return {"key": setting.key, "reused": True}
    made = pretrain(setting.recipe, setting.dataset, setting.seed, progress(emit))
    checkpoint.save(setting.checkpoint, setting.key, made.state)
    return {"key": setting.key, "reused": False, **asdict(made.fit)}


def _fine_tune(job: Event, setting: _Setting, emit: Emit) -> dict[str, Any]:
    variant = Variant.from_json(job["variant"])
    strategy_class = load_class(variant.strategy, [Path(path) for path in job["strategy_files"]])
    strategy = strategy_class(float(variant.fraction), variant.placement, variant.direction)  # type: ignore[arg-type]
    if reason := strategy.skip(TRAINED_DETECTOR, setting.dataset.frames):
        emit({"event": "skipped", "reason": reason})
        return {}
    state = checkpoint.kept(setting.checkpoint, setting.key, noting(emit))
    if state is None:  # someone cleared the cache between the two stages: the weights come out the same
        made = pretrain(setting.recipe, setting.dataset, setting.seed, lambda share: None)
        checkpoint.save(setting.checkpoint, setting.key, made.state)
        state = made.state
    arm = fine_tune(strategy, setting.recipe, setting.dataset, setting.seed, state, progress(emit))
    if job.get("weights"):
        checkpoint.save(Path(job["weights"]), variant.label, arm.state)
    return {
        **arm_samples(arm, job.get("examples", 0)),
        "machine": environment.where_trained(),
        "data_version": data_version(setting.data),
        "judged_on": setting.recipe.judged_on,
    }


def arm_samples(arm: Trained, examples: int) -> dict[str, Any]:
    """An arm as plain JSON: average precisions from 0 to 1, None where nothing was asked for; frames to look at."""
    score = arm.score
    return {
        "map": _known(score.all),
        **{f"map_{name}": _known(value) for name, value in zip(SPEEDS, score.by_speed, strict=True)},
        "by_class": [_known(value) for value in score.by_class],
        **{f"asked_{name}": count for name, count in zip(SPEEDS, score.asked, strict=True)},
        "test_clips": len(arm.judged),
        "played_clips": arm.played_clips,
        "examples": _examples(arm, examples),
        "params": arm.params,
        "test_seconds": arm.test_seconds,
        **asdict(arm.fit),
    }


def _examples(arm: Trained, count: int) -> dict[str, Any]:
    """The last frame of the first ``count`` clips: grey values as bytes, what is to be found, what was found."""
    frames = arm.judged.pixels.shape[1]
    last = [clip * frames + frames - 1 for clip in range(min(count, len(arm.judged)))]
    truth = targets_of(arm.judged)
    scenes = arm.judged
    speeds = [
        [int(scenes.speeds[number]) for number in scenes.objects(clip) if scenes.asked[number, -1]]
        for clip in range(len(last))
    ]
    grey = (255 * np.clip(scenes.pixels[: len(last), -1, 0], 0, 1)).astype(np.uint8)
    return {
        "shape": list(grey.shape),
        "grey": base64.b85encode(zlib.compress(grey.tobytes(), 9)).decode(),
        "truth": [_listed(truth[number], speeds=own) for number, own in zip(last, speeds, strict=True)],
        "found": [_listed({k: v[arm.found[n]["scores"] >= _SHOWN] for k, v in arm.found[n].items()}) for n in last],
    }


def _listed(found: Any, speeds: list[int] | None = None) -> dict[str, Any]:
    rounded = {
        name: np.round(value.double().numpy(), _DIGITS).tolist() if name != "labels" else value.tolist()
        for name, value in found.items()
    }
    return rounded if speeds is None else {**rounded, "speeds": speeds}


def _known(value: float) -> float | None:
    return None if value != value else value


if __name__ == "__main__":
    serve(handle)
