"""Where training runs. An executor takes jobs and gives back outcomes; the journal is not its business.

``LocalExecutor`` packs single-threaded jobs on this machine's cores: at this size two processes of one thread beat one
process of two. Training never runs beside a latency measurement. ``cluster`` has an executor for a Ray cluster.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from bench.spec.axes import ValueNotAllowed
from bench.spec.schema import USUAL_LIMITS, ProcessLimits
from bench.store.records import Status
from bench.system import workers

EXECUTORS = ("local", "ray")
WORKER = "bench.measure.training.worker"

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
    runs in it, which is not run again once it has hung or killed a process. module: whose process does it.
    """

    key: str
    payload: dict[str, Any]
    needs: str | None = None
    work: float = 1.0
    culprit: str | None = None
    module: str = WORKER

    @property
    def on_gpu(self) -> bool:
        """It trains on a CUDA device."""
        return bool(self.payload.get("recipe", {}).get("device") == "cuda")


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its raw samples, or the reason why there are none. fatal: its process hung or was killed."""

    job: Job
    status: Status
    samples: dict[str, Any]
    reason: str | None = None
    fatal: bool = False
    wall_seconds: float = 0.0
    notes: tuple[str, ...] = ()


Report = Callable[[Job, float], None]
"""Is given the share of a job that is done."""

GoOn = Callable[[], bool]
"""Asked before a job begins; once it says no, what runs is finished and the rest is left."""


class Executor(Protocol):
    """Runs training jobs somewhere."""

    def run(self, jobs: Sequence[Job], report: Report, go_on: GoOn = lambda: True) -> Iterator[Outcome]:
        """Outcomes in the order in which jobs end."""
        ...


def executor_for(name: str, slots: int, limits: ProcessLimits, address: str | None) -> Executor:
    """The executor called ``name``; slots: of this machine; address: of a Ray cluster. Raises ValueNotAllowed."""
    if name not in EXECUTORS:
        raise ValueNotAllowed(f"unknown executor {name!r}; there are: {', '.join(EXECUTORS)}")
    if name == "ray":
        from bench.measure.cluster import RayExecutor

        return RayExecutor(address, limits)
    if address is not None:
        raise ValueNotAllowed("--ray-address belongs to --executor ray")
    return LocalExecutor(slots, limits)


class Queue:
    """What waits: which jobs may begin, and which never can because of how others ended."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.waiting = list(jobs)
        self._lost: dict[str, str] = {}  # a job's key or a strategy -> why nothing that needs it begins
        self._succeeded: set[str] = set()

    def lost(self) -> Iterator[Outcome]:
        """Outcomes of the jobs that cannot begin any more."""
        for job in list(self.waiting):
            reasons = [self._lost[key] for key in (job.needs, job.culprit) if key in self._lost]
            if reasons:
                self.waiting.remove(job)
                yield Outcome(job, "failed", {}, reasons[0])

    def begin(self, room: int) -> list[Job]:
        """As many jobs as there is room for, first come first served; they wait no more."""
        ready = [job for job in self.waiting if job.needs is None or job.needs in self._succeeded][: max(0, room)]
        self.waiting = [job for job in self.waiting if job not in ready]
        return ready

    def ended(self, outcome: Outcome) -> None:
        """A job that had begun has ended."""
        job = outcome.job
        if outcome.status == "ok":
            self._succeeded.add(job.key)
        else:
            self._lost[job.key] = f"{job.key} failed: {outcome.reason}"
        if outcome.fatal and job.culprit:
            self._lost[job.culprit] = f"not run again after {job.key}: {outcome.reason}"


class LocalExecutor:
    """Jobs on this machine, ``slots`` at a time, each in a process of its own."""

    def __init__(self, slots: int, limits: ProcessLimits = USUAL_LIMITS) -> None:
        self._slots, self._limits = slots, limits

    def run(self, jobs: Sequence[Job], report: Report, go_on: GoOn = lambda: True) -> Iterator[Outcome]:
        """Start what is ready; a job whose need failed fails with it."""
        queue, running = Queue(jobs), set[Future[Outcome]]()
        pool = ThreadPoolExecutor(self._slots)
        try:
            while queue.waiting or running:
                yield from queue.lost()
                for job in queue.begin(self._slots - len(running) if go_on() else 0):
                    running.add(pool.submit(follow, job, self._limits, 1 / self._slots, report))
                if not running:
                    return
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for outcome in (future.result() for future in ended):
                    queue.ended(outcome)
                    yield outcome
        finally:
            if running:
                workers.kill_all()
            pool.shutdown(cancel_futures=True)


def follow(job: Job, limits: ProcessLimits, memory_share: float, report: Report) -> Outcome:
    """Do a job in a process of its own, on this machine, and follow it to its end."""
    start, notes = time.monotonic(), list[str]()
    status: Status = "failed"
    samples, reason, fatal = dict[str, Any](), "it ended without a result", False
    try:
        for event in workers.stream(
            job.module,
            job.payload,
            silence_limit=limits.silence,  # it reports about once a second once its imports are done
            env=_ENVIRONMENT,
            memory_share=None if job.on_gpu else memory_share,
            memory_gib=limits.memory_gib,
        ):
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
