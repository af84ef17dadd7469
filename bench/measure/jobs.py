"""The trials of a section -> training jobs, and a record of how each trial ended.

A job is one trial, or what it starts from and shares with others: a pre-training, or videos that are decoded.
"""

import time
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.data.video_lists import read_video_set
from bench.measure.executors import Executor, Job
from bench.measure.training import TASKS
from bench.spec.axes import PRETRAINED_FORM, ValueNotAllowed
from bench.spec.cases import Training, Trial
from bench.spec.training import RenderedRecipe
from bench.spec.videos import Videos
from bench.store.records import Record, TrainedRecord
from bench.system.progress import Reporter, Shares

_FRAMES = 8  # of a clip, in all data sets that are rendered
_SIZE = 64  # px, of the frames of videos whose speed ``TASKS`` tells
_DECODING = 60.0  # seconds; much less where the cache has most of the videos


def jobs_of(training: Training, trials: Sequence[Trial], strategy_files: Sequence[Path], folder: Path) -> list[Job]:
    """The jobs of ``trials``, which are some of the training's.

    Pre-trained weights lie in ``folder``/pretraining and may be deleted; trained ones, and the state of a training
    after each epoch, are kept where the task says so.
    """
    info, recipe = TASKS[training.section], training.recipe
    jobs: dict[str, Job] = {}
    for trial in trials:
        condition = trial.condition
        common = {
            "section": training.section,
            "recipe": recipe.model_dump(mode="json"),
            "data": training.data.model_dump(mode="json"),
            "condition": asdict(condition),
            "seed": trial.seed,
        }
        source = _source(training, trial, common, folder)
        jobs.setdefault(source.key, source)
        kept = {"weights": info.weights, "epoch_state": info.epoch_states}
        file = f"{trial.label.replace('/', '_')}.pt"
        payload: dict[str, Any] = {
            **common,
            "stage": "fine_tune",
            "variant": trial.variant.to_json(),
            "strategy_files": [str(path) for path in strategy_files],
            "examples": info.examples if trial.seed == training.trials[0].seed else 0,
            **{name: own and str(folder.resolve() / own / file) for name, own in kept.items()},
        }
        if "checkpoint" in source.payload:
            payload["checkpoint"] = source.payload["checkpoint"]
        frames = _frames(training, trial) * _epochs(training, trial) * condition.length_factor
        work = _seconds(training, frames, condition.backbone)
        jobs[trial.key] = Job(trial.key, payload, source.key, work, culprit=trial.variant.strategy)
    return list(jobs.values())


def _source(training: Training, trial: Trial, common: dict[str, Any], folder: Path) -> Job:
    """What a trial needs before: the pre-training of its seed, or all videos in the cache."""
    recipe, condition = training.recipe, trial.condition
    if not isinstance(recipe, RenderedRecipe):
        return Job("decoding", {"data": common["data"]}, work=_DECODING, module="bench.measure.training.video_cache")
    form = PRETRAINED_FORM.get(condition.backbone, condition.backbone)
    key = f"pretraining/{condition.dataset}-{form}-seed{trial.seed}"
    payload = {**common, "stage": "pretrain", "checkpoint": str(folder.resolve() / f"{key}.pt")}
    epochs = sum(value for name, value in recipe if name.startswith("pretrain_epochs"))
    return Job(key, payload, work=_seconds(training, recipe.pretrain_frames * epochs, form))


def _seconds(training: Training, frames: float, backbone: str) -> float:
    info = TASKS[training.section]
    return frames * info.cost.get(backbone, 1.0) / info.frames_per_second[training.recipe.device]


def _frames(training: Training, trial: Trial) -> float:
    """That a trial trains on in an epoch; of videos, as many of ``_SIZE`` as have their pixels."""
    recipe, data = training.recipe, training.data
    if isinstance(recipe, RenderedRecipe):
        return recipe.clips * _FRAMES
    assert isinstance(data, Videos)
    return _training_videos(data, trial.condition.dataset, trial.seed % 2) * data.frames * (data.size / _SIZE) ** 2


def _epochs(training: Training, trial: Trial) -> int:
    """As the recipe says, or a question about videos for itself."""
    data = training.data
    own = data.question(trial.condition.dataset).epochs if isinstance(data, Videos) else None
    return own or training.recipe.epochs


@cache
def _training_videos(videos: Videos, question: str, seed: int) -> int:
    return len(read_video_set(videos, videos.question(question), seed).train)


@dataclass(frozen=True)
class Trainer:
    """Runs trainings, in whatever order they end, and keeps a record of each.

    refused: {strategy: why it is measured no further}. pause_at: of ``time.monotonic``, after which none is begun.
    """

    executor: Executor
    reporter: Reporter
    keep: Callable[[Record], None]
    refused: dict[str, str]
    pause_at: float
    strategy_files: Sequence[Path]
    folder: Path

    def train(self, training: Training, known: Container[str]) -> int:
        """All trials whose records are not ``known``. Returns how many a pause left.

        Raises ValueNotAllowed where their videos cannot be trained on: none of them is on record then.
        """
        left = {trial.key: trial for trial in training.trials if trial.key not in known}
        if reason := TASKS[training.section].missing():
            self.reporter.say(f"{training.section} is skipped: {reason}")
            for key, trial in left.items():
                self.keep(TrainedRecord(id=key, trial=trial, status="skipped", reason=reason))
            return 0
        for key, trial in list(left.items()):
            if reason := self.refused.get(trial.variant.strategy):
                self.keep(TrainedRecord(id=key, trial=left.pop(key), status="failed", reason=reason))
        jobs = jobs_of(training, list(left.values()), self.strategy_files, self.folder)
        progress = Shares(training.section, {job.key: job.work for job in jobs}, self.reporter)
        for outcome in self.executor.run(
            jobs, lambda job, share: progress.report(job.key, share), lambda: time.monotonic() < self.pause_at
        ):
            key = outcome.job.key
            progress.report(key, 1.0)
            for note in outcome.notes:
                self.reporter.say(note)
            if key in left:
                trial = left.pop(key)
                ended = {"status": outcome.status, "reason": outcome.reason, "wall_seconds": outcome.wall_seconds}
                samples = outcome.samples or None
                self.keep(TrainedRecord.model_validate({"id": key, "trial": trial, "samples": samples, **ended}))
                if outcome.reason:
                    self.reporter.say(f"{trial.label} {outcome.status}: {outcome.reason}")
                if state := outcome.job.payload.get("epoch_state"):
                    Path(state).unlink(missing_ok=True)
            elif outcome.status == "skipped":
                raise ValueNotAllowed(f"{outcome.reason}; nothing is lost: go on with run --resume {self.folder}")
        return len(left)
