"""The trainings of a section, wherever the executor runs them: what is left of them, in whatever order they end."""

import time
from collections.abc import Callable, Container
from dataclasses import dataclass

from bench.measure.executors import Executor, Job
from bench.measure.record_factories import training_record
from bench.spec.cases import Arm
from bench.store.records import Record
from bench.system.progress import Reporter, Shares

JobsFor = Callable[[tuple[Arm, ...]], list[Job]]


@dataclass(frozen=True)
class Trainer:
    """Trains arms and keeps a record of each.

    refused: {strategy: why it is measured no further}. pause_at: of ``time.monotonic``, after which none is begun.
    """

    executor: Executor
    reporter: Reporter
    keep: Callable[[Record], None]
    refused: dict[str, str]
    pause_at: float

    def train(self, section: str, arms: dict[str, Arm], known: Container[str], jobs_for: JobsFor) -> int:
        """All of ``arms`` (by the ids of their records) that are not ``known``. Returns how many a pause left."""
        left = {key: arm for key, arm in arms.items() if key not in known}
        for key, arm in list(left.items()):
            if arm.variant.strategy in self.refused:
                self.keep(training_record(key, left.pop(key), "failed", self.refused[arm.variant.strategy]))
        jobs = jobs_for(tuple(left.values()))
        progress = Shares(section, {job.key: job.work for job in jobs}, self.reporter)
        for outcome in self.executor.run(
            jobs, lambda job, share: progress.report(job.key, share), go_on=lambda: time.monotonic() < self.pause_at
        ):
            key = outcome.job.key
            progress.report(key, 1.0)
            for note in outcome.notes:
                self.reporter.say(note)
            if key in left:
                arm = left.pop(key)
                self.keep(
                    training_record(key, arm, outcome.status, outcome.reason, outcome.samples, outcome.wall_seconds)
                )
                if outcome.reason:
                    self.reporter.say(f"{arm.label} {outcome.status}: {outcome.reason}")
        return len(left)
