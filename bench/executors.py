"""Where training runs. An executor takes jobs and gives back outcomes; it writes nothing.

``LocalExecutor`` packs single-threaded jobs on this machine's cores: at this size two processes of one thread beat one
process of two. Training never runs beside a latency measurement.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench import workers

_SILENCE_LIMIT = 180.0  # seconds; a training worker reports about once a second once its imports are done


@dataclass(frozen=True)
class Job:
    """One worker's job. ``needs``: the key of the job that must have succeeded before. ``work``: expected seconds."""

    key: str
    payload: dict[str, Any]
    needs: str | None = None
    work: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its raw samples, or the reason why there are none."""

    job: Job
    samples: dict[str, Any] | None
    reason: str | None = None
    wall_seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())


Report = Callable[[Job, float], None]


class Executor(Protocol):
    """Runs training jobs somewhere."""

    def run(self, jobs: Sequence[Job], report: Report) -> Iterator[Outcome]:
        """Outcomes in the order in which jobs end; ``report`` is told (job, share done) meanwhile."""
        ...


class LocalExecutor:
    """Jobs on this machine, ``slots`` at a time, each in a process of its own."""

    def __init__(self, slots: int, module: str = "bench.accuracy.worker") -> None:
        self._slots, self._module = slots, module

    def run(self, jobs: Sequence[Job], report: Report) -> Iterator[Outcome]:
        """Start what is ready, first come first served; a job whose need failed fails with it."""
        waiting, failed, succeeded = list(jobs), dict[str, str](), set[str]()
        running: dict[str, threading.Thread] = {}
        finished: queue.Queue[Outcome] = queue.Queue()
        try:
            while waiting or running:
                for job in [job for job in waiting if job.needs in failed]:
                    waiting.remove(job)
                    failed[job.key] = failed[job.needs or ""]
                    yield Outcome(job, None, f"{job.needs} failed: {failed[job.key]}")
                ready = [job for job in waiting if job.needs is None or job.needs in succeeded]
                for job in ready[: self._slots - len(running)]:
                    waiting.remove(job)
                    running[job.key] = threading.Thread(target=self._work, args=(job, report, finished), daemon=True)
                    running[job.key].start()
                if running:
                    outcome = finished.get()
                    running.pop(outcome.job.key).join()
                    if outcome.samples is None:
                        failed[outcome.job.key] = outcome.reason or "no reason given"
                    else:
                        succeeded.add(outcome.job.key)
                    yield outcome
        finally:
            if running:
                workers.kill_all()

    def _work(self, job: Job, report: Report, finished: "queue.Queue[Outcome]") -> None:
        """Follow one worker to its end."""
        start, samples, notes = time.monotonic(), None, []
        try:
            events = workers.stream(
                self._module, job.payload, silence_limit=_SILENCE_LIMIT, env={"OMP_NUM_THREADS": "1"}
            )
            for event in events:
                match event["event"]:
                    case "progress":
                        report(job, event["share"])
                    case "note":
                        notes.append(event["message"])
                    case "result":
                        samples = event["samples"]
            reason = None if samples is not None else "ended without a result"
        except workers.WorkerDied as death:
            samples, reason = None, str(death)
        finished.put(Outcome(job, samples, reason, time.monotonic() - start, tuple(notes)))
