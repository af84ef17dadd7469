"""Where training runs. An executor takes jobs and gives back outcomes; it writes nothing.

``LocalExecutor`` packs single-threaded jobs on this machine's cores: at this size two processes of one thread beat one
process of two. Training never runs beside a latency measurement.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from bench import workers
from bench.records import Status

_SILENCE_LIMIT = 180.0  # seconds; a training worker reports about once a second once its imports are done


_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    # glibc returns every large tensor to the system and gets it back page by page; keeping the pages makes a training
    # step faster, by up to a fifth on a 2-core Xeon. Other C libraries do not read these.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # bytes; the largest value that glibc accepts
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}


@dataclass(frozen=True)
class Job:
    """One worker's job.

    needs: the key of the job that must have succeeded before. work: expected seconds. culprit: the strategy whose code
    runs in it, which is not run again once it has hung or killed a process.
    """

    key: str
    payload: dict[str, Any]
    needs: str | None = None
    work: float = 1.0
    culprit: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its raw samples, or the reason why there are none."""

    job: Job
    status: Status
    samples: dict[str, Any]
    reason: str | None = None
    fatal: bool = False
    wall_seconds: float = 0.0
    notes: tuple[str, ...] = ()


Report = Callable[[Job, float], None]


class Executor(Protocol):
    """Runs training jobs somewhere."""

    def run(self, jobs: Sequence[Job], report: Report, go_on: Callable[[], bool] = lambda: True) -> Iterator[Outcome]:
        """Outcomes in the order in which jobs end; ``report`` is told (job, share done) meanwhile.

        go_on: asked before a job begins; once it says no, what runs is finished and the rest is left.
        """
        ...


class LocalExecutor:
    """Jobs on this machine, ``slots`` at a time, each in a process of its own."""

    def __init__(self, slots: int, module: str = "bench.accuracy.worker") -> None:
        self._slots, self._module = slots, module

    def run(self, jobs: Sequence[Job], report: Report, go_on: Callable[[], bool] = lambda: True) -> Iterator[Outcome]:
        """Start what is ready, first come first served; a job whose need failed fails with it."""
        waiting, lost, succeeded = list(jobs), dict[str, str](), set[str]()
        running: set[Future[Outcome]] = set()
        pool = ThreadPoolExecutor(self._slots)
        try:
            while waiting or running:
                for job in [job for job in waiting if job.needs in lost or job.culprit in lost]:
                    waiting.remove(job)
                    why = next(lost[key] for key in (job.needs, job.culprit) if key in lost)
                    yield Outcome(job, "failed", {}, why)
                ready = [job for job in waiting if job.needs is None or job.needs in succeeded]
                for job in ready[: self._slots - len(running) if go_on() else 0]:
                    waiting.remove(job)
                    running.add(pool.submit(self._work, job, report))
                if not running:
                    return
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for outcome in (future.result() for future in ended):
                    if outcome.status == "ok":
                        succeeded.add(outcome.job.key)
                    else:
                        lost[outcome.job.key] = f"{outcome.job.key} failed: {outcome.reason}"
                    if outcome.fatal and outcome.job.culprit:
                        lost[outcome.job.culprit] = f"not run again after {outcome.job.key}: {outcome.reason}"
                    yield outcome
        finally:
            if running:
                workers.kill_all()
            pool.shutdown(cancel_futures=True)

    def _work(self, job: Job, report: Report) -> Outcome:
        """Follow one worker to its end."""
        start, notes = time.monotonic(), list[str]()
        status: Status = "failed"
        samples, reason, fatal = dict[str, Any](), "it ended without a result", False
        try:
            events = workers.stream(self._module, job.payload, silence_limit=_SILENCE_LIMIT, env=_ENVIRONMENT)
            for event in events:
                match event["event"]:
                    case "progress":
                        report(job, event["share"])
                    case "note":
                        notes.append(event["message"])
                    case "skipped":
                        status, reason = "skipped", event["reason"]
                    case "result":
                        status, samples = "ok", event["samples"]
        except workers.WorkerDied as death:
            status, samples, reason, fatal = "failed", {}, str(death), death.fatal
        wall = time.monotonic() - start
        return Outcome(job, status, samples, None if status == "ok" else reason, fatal, wall, tuple(notes))
