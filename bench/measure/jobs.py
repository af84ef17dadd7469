"""The trials of a section -> training jobs, and a record of how each trial ended.

A job is one trial, or the pre-training that it starts from and shares with others.
"""

import time
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.measure.executors import Executor, Job
from bench.measure.training import TASKS
from bench.spec.axes import PRETRAINED_FORM
from bench.spec.cases import Training, Trial
from bench.store.records import Record, TrainedRecord
from bench.system.progress import Reporter, Shares

_FRAMES = 8  # of a clip, in all data sets


def jobs_of(training: Training, trials: Sequence[Trial], strategy_files: Sequence[Path], folder: Path) -> list[Job]:
    """The jobs of ``trials``, which are some of the training's.

    Pre-trained weights lie in ``folder``/pretraining and may be deleted; trained ones are kept where the task says so.
    """
    info, recipe = TASKS[training.section], training.recipe
    speed = info.frames_per_second[recipe.device]
    pretraining_epochs = sum(value for name, value in recipe if name.startswith("pretrain_epochs"))
    jobs: dict[str, Job] = {}
    for trial in trials:
        condition = trial.condition
        form = PRETRAINED_FORM.get(condition.backbone, condition.backbone)
        source = f"pretraining/{condition.dataset}-{form}-seed{trial.seed}"
        common = {
            "section": training.section,
            "recipe": recipe.model_dump(mode="json"),
            "data": training.data.model_dump(mode="json"),
            "condition": asdict(condition),
            "seed": trial.seed,
            "checkpoint": str(folder.resolve() / f"{source}.pt"),
        }
        work = recipe.pretrain_frames * pretraining_epochs * info.cost.get(form, 1.0) / speed
        jobs.setdefault(source, Job(source, {"stage": "pretrain", **common}, work=work))
        weights = info.weights and folder.resolve() / info.weights / f"{trial.label.replace('/', '_')}.pt"
        payload = {
            "stage": "fine_tune",
            **common,
            "variant": trial.variant.to_json(),
            "strategy_files": [str(file) for file in strategy_files],
            "examples": info.examples if trial.seed == training.trials[0].seed else 0,
            "weights": weights and str(weights),
        }
        clips = recipe.clips * recipe.epochs * condition.length_factor
        work = clips * _FRAMES * info.cost.get(condition.backbone, 1.0) / speed
        jobs[trial.key] = Job(trial.key, payload, source, work, culprit=trial.variant.strategy)
    return list(jobs.values())


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
        """All trials whose records are not ``known``. Returns how many a pause left."""
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
        return len(left)
