"""Where training runs. An executor takes jobs and gives back outcomes; the journal is not its business.

``LocalExecutor`` packs single-threaded jobs on this machine's cores: at this size two processes of one thread beat one
process of two. A GPU takes a few at a time. ``RayExecutor`` gives each job to a cluster, as a task of one core (or
GPU), in a process of its own on whatever node has room. What a job needs travels with it: this version of the suite
(as the job's working directory), the files of dropped-in strategies and what they import from beside them, the
pre-trained weights. Packages must be installed on the nodes, and videos lie where they lie on the driver; each node
has a cache of its own, or one in a folder that nodes share. A task whose worker or node is lost runs again elsewhere;
the driver alone writes the folder of the run.

Training never runs beside a latency measurement, and latency is never measured on a cluster.
"""

import logging
import os
import shutil
import socket
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.plugins.discovery import BUILTIN, helpers_of
from bench.spec.axes import ValueNotAllowed
from bench.spec.schema import USUAL_LIMITS, ProcessLimits
from bench.store.records import Status, write_atomically
from bench.system import allocators, workers

_POLL = 1.0  # seconds; by then, newly joined nodes of a cluster are seen
_PATIENCE = 10.0  # seconds, for a cluster to answer
_LIVES = 10  # how often a task of a cluster begins anew after its worker or node was lost
_ON_A_GPU = 4  # trainings at a time, however many cores feed them: they share its memory, some 10 GiB each

_ENVIRONMENT = {"OMP_NUM_THREADS": "1", **allocators.variables("retained")}  # up to a fifth faster on two cores


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
    module: str = "bench.measure.training.worker"

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


Report = Callable[[Job, float], None]  # is given the share of a job that is done
GoOn = Callable[[], bool]  # asked before a job begins; once it says no, what runs is finished and the rest is left


class Executor(ABC):
    """Runs training jobs somewhere. A subclass says where: one job, how many at a time, and the end of all at once."""

    def run(self, jobs: Sequence[Job], report: Report, go_on: GoOn = lambda: True) -> Iterator[Outcome]:
        """Outcomes in the order in which jobs end; what is ready begins where there is room."""
        waiting, running = list(jobs), set[Future[Outcome]]()
        succeeded = set[str]()
        lost: dict[str, str] = {}  # a job's key or a strategy -> why nothing that needs it begins
        pool = ThreadPoolExecutor(max(1, len(jobs)))  # threads that only wait: the work is done in processes
        try:
            while waiting or running:
                for job in list(waiting):
                    if reasons := [lost[key] for key in (job.needs, job.culprit) if key in lost]:
                        waiting.remove(job)
                        yield Outcome(job, "failed", {}, reasons[0])
                room = self._room(jobs) - len(running) if go_on() else 0
                ready = [job for job in waiting if job.needs is None or job.needs in succeeded]
                for job in ready[: max(0, room)]:
                    waiting.remove(job)
                    running.add(pool.submit(self._do, job, report))
                if not running:
                    return
                ended, running = wait(running, _POLL, FIRST_COMPLETED)
                for outcome in (future.result() for future in ended):
                    job = outcome.job
                    if outcome.status == "ok":
                        succeeded.add(job.key)
                    else:
                        lost[job.key] = f"{job.key} failed: {outcome.reason}"
                    if outcome.fatal and job.culprit:
                        lost[job.culprit] = f"not run again after {job.key}: {outcome.reason}"
                    yield outcome
        finally:
            if running:
                self._abandon()
            pool.shutdown(cancel_futures=True)

    @abstractmethod
    def _do(self, job: Job, report: Report) -> Outcome:
        """One job, to its end."""

    @abstractmethod
    def _room(self, jobs: Sequence[Job]) -> int:
        """How many jobs can be done at a time, now."""

    @abstractmethod
    def _abandon(self) -> None:
        """End all jobs that run."""


class LocalExecutor(Executor):
    """Jobs on this machine, ``slots`` at a time, each in a process of its own."""

    def __init__(self, slots: int, limits: ProcessLimits = USUAL_LIMITS) -> None:
        self._slots, self._limits = slots, limits

    def _do(self, job: Job, report: Report) -> Outcome:
        return follow(job, self._limits, 1 / self._slots, report)

    def _room(self, jobs: Sequence[Job]) -> int:
        return min(self._slots, _ON_A_GPU) if any(job.on_gpu for job in jobs) else self._slots

    def _abandon(self) -> None:
        workers.kill_all()


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


class RayExecutor(Executor):
    """Jobs on a Ray cluster, as many at a time as it has cores (or GPUs)."""

    def __init__(self, address: str | None = None, limits: ProcessLimits = USUAL_LIMITS) -> None:
        """address: ``host:port`` of the cluster, or ``auto``; None: a cluster of this machine alone, made for the run.

        Raises ValueNotAllowed where Ray is not installed or the cluster does not answer.
        """
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # nodes use the environment they were started in
        try:
            import ray
        except ImportError:
            raise ValueNotAllowed("--executor ray needs Ray: install the extra cluster, shiftbench[cluster]") from None
        self._ray, self._address, self._limits, self._tasks = ray, address, limits, list[Any]()
        if address is not None:  # a mistake is reported before an hour of other sections
            _require_an_answer(address)
            self._connect(None)
            ray.shutdown()

    def _connect(self, code: str | None) -> None:
        """code: the folder that tasks find themselves in. Connected only while training: daemons disturb timings."""
        try:
            self._ray.init(
                address=self._address,
                runtime_env={"working_dir": code} if code else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=None if self._address else False,
            )
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueNotAllowed(f"there is no Ray cluster at {self._address or 'this machine'}: {first}") from None

    def run(self, jobs: Sequence[Job], report: Report, go_on: GoOn = lambda: True) -> Iterator[Outcome]:
        """The same, while connected; pre-trained weights are kept in the run's folder meanwhile."""
        if not jobs:
            return
        with tempfile.TemporaryDirectory(prefix="shiftbench-code-") as code:
            for package in ("bench", "strategies"):
                source = BUILTIN.parent / package
                shutil.copytree(source, Path(code) / package, ignore=shutil.ignore_patterns("__pycache__"))
            self._connect(code)
            try:
                yield from super().run(jobs, report, go_on)
            finally:
                self._ray.shutdown()

    def _do(self, job: Job, report: Report) -> Outcome:
        """A task. Weights that it made go where a local pre-training leaves them, so that they outlive any node. A
        node that cannot be replaced is no fault of the strategy."""
        report(job, 0.0)
        checkpoint = Path(job.payload.get("checkpoint", ""))
        weights = checkpoint.read_bytes() if checkpoint.is_file() else None
        paths = [Path(path) for path in job.payload.get("strategy_files", ())]
        files = [(path.name, _content(path)) for path in paths]
        task = self._ray.remote(
            num_cpus=1, num_gpus=1 if job.on_gpu else 0, max_retries=_LIVES, retry_exceptions=False
        )(work)
        reference = task.options(name=job.key).remote(job, files, weights, self._limits)
        self._tasks.append(reference)
        try:
            ended: tuple[Outcome, bytes | None] = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            return Outcome(job, "failed", {}, f"the cluster could not do it: {type(error).__name__}: {first}")
        finally:
            self._tasks.remove(reference)
        outcome, made = ended
        if made is not None:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(checkpoint, made)
        return outcome

    def _room(self, jobs: Sequence[Job]) -> int:
        resource = "GPU" if any(job.on_gpu for job in jobs) else "CPU"
        resources: dict[str, float] = self._ray.cluster_resources()
        return max(1, int(resources.get(resource, 0)))

    def _abandon(self) -> None:
        for reference in list(self._tasks):
            self._ray.cancel(reference, force=True)


Shipped = Sequence[tuple[str, dict[str, bytes] | None]]
"""Of each strategy file its name, and the contents by name of it and what it imports from beside it; None: it is built
in, and every node has it."""


def _content(path: Path) -> dict[str, bytes] | None:
    if path.parent == BUILTIN:
        return None
    return {file.name: file.read_bytes() for file in (path, *helpers_of(path))}


def work(job: Job, files: Shipped, weights: bytes | None, limits: ProcessLimits) -> tuple[Outcome, bytes | None]:
    """On a node: unpack, train, and give back the outcome; of a pre-training also its weights."""
    with tempfile.TemporaryDirectory(prefix="shiftbench-") as name:
        checkpoint = Path(name) / "weights.pt"
        local = ("weights", "epoch_state")  # kept where training is local
        own = {key: value for key, value in job.payload.items() if key not in local}
        if "checkpoint" in own:
            own["checkpoint"] = str(checkpoint)
        if weights is not None:
            checkpoint.write_bytes(weights)
        if "strategy_files" in own:
            own["strategy_files"] = _unpacked(files, Path(name))
        outcome = follow(replace(job, payload=own), limits, 1.0 / (os.cpu_count() or 1), lambda *_: None)
        made = own.get("stage") == "pretrain" and outcome.status == "ok"
        return replace(outcome, job=job), checkpoint.read_bytes() if made else None


def _unpacked(files: Shipped, folder: Path) -> list[str]:
    """Where the strategy files lie on this node."""
    paths = []
    for number, (name, contents) in enumerate(files):
        home = BUILTIN
        if contents is not None:
            home = folder / str(number)  # two folders may hold files of one name
            home.mkdir()
            for own, content in contents.items():
                (home / own).write_bytes(content)
        paths.append(str(home / name))
    return paths


def _require_an_answer(address: str) -> None:
    """Somebody listens at ``host:port``: Ray itself would ask for minutes. Raises ValueNotAllowed."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():  # "auto" and the like: Ray knows at once
        return
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise ValueNotAllowed(f"there is no Ray cluster at {address}: {error}") from None


def executor_for(name: str, slots: int, limits: ProcessLimits, address: str | None) -> Executor:
    """The executor called ``name``; slots: of this machine; address: of a Ray cluster. Raises ValueNotAllowed."""
    match name:
        case "local" if address is None:
            return LocalExecutor(slots, limits)
        case "local":
            raise ValueNotAllowed("--ray-address belongs to --executor ray")
        case "ray":
            return RayExecutor(address, limits)
    raise ValueNotAllowed(f"unknown executor {name!r}; there are: local, ray")
