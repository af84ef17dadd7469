"""Training on a Ray cluster: each job a task of one core (or GPU), in a process of its own on whatever node has room.

What a job needs travels with it: this version of the suite (as the job's working directory), the files of dropped-in
strategies, the pre-trained weights. Packages must be installed on the nodes. A task whose worker or node is lost runs
again elsewhere; the driver alone writes the run's folder. Latency is never measured here.
"""

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.measure.executors import GoOn, Job, Outcome, Queue, Report, follow
from bench.plugins.discovery import BUILTIN
from bench.spec.axes import ValueNotAllowed
from bench.spec.schema import USUAL_LIMITS, ProcessLimits
from bench.store.records import write_atomically

_ROOT = BUILTIN.parent
_LIVES = 10  # how often a task begins anew after its worker or node was lost
_PATIENCE = 10.0  # seconds, for a cluster to answer
_POLL = 1.0  # seconds; by then, newly joined nodes are seen


@dataclass(frozen=True)
class Payload:
    """What travels with a job. files: (name, content) of its strategy files; None: the node has it, as built in."""

    files: tuple[tuple[str, bytes | None], ...]
    weights: bytes | None

    @classmethod
    def of(cls, job: Job, weights: bytes | None) -> "Payload":
        """The job's files, read here."""
        paths = [Path(path) for path in job.payload.get("strategy_files", ())]
        files = [(path.name, None if path.parent == BUILTIN else path.read_bytes()) for path in paths]
        return cls(tuple(files), weights)

    def unpack(self, folder: Path) -> list[str]:
        """Where the strategy files lie on this node."""
        paths = []
        for number, (name, content) in enumerate(self.files):
            path = BUILTIN / name
            if content is not None:
                path = folder / str(number) / name  # two folders may hold files of one name
                path.parent.mkdir()
                path.write_bytes(content)
            paths.append(str(path))
        return paths


def work(job: Job, payload: Payload, limits: ProcessLimits) -> tuple[Outcome, bytes | None]:
    """On a node: unpack, train, and give back the outcome; of a pre-training also its weights."""
    with tempfile.TemporaryDirectory(prefix="shiftbench-") as name:
        weights = Path(name) / "weights.pt"
        own = {key: value for key, value in job.payload.items() if key != "weights"}  # kept where training is local
        if "checkpoint" in own:
            own["checkpoint"] = str(weights)
        if payload.weights is not None:
            weights.write_bytes(payload.weights)
        if "strategy_files" in own:
            own["strategy_files"] = payload.unpack(Path(name))
        outcome = follow(replace(job, payload=own), limits, 1.0 / (os.cpu_count() or 1), lambda *_: None)
        made = own.get("stage") == "pretrain" and outcome.status == "ok"
        return replace(outcome, job=job), weights.read_bytes() if made else None


class RayExecutor:
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
        self._ray, self._address, self._limits = ray, address, limits
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
        """Begin what is ready as the cluster has room; pre-trained weights are kept in the run's folder meanwhile."""
        if not jobs:
            return
        with tempfile.TemporaryDirectory(prefix="shiftbench-code-") as code:
            for package in ("bench", "strategies"):
                shutil.copytree(_ROOT / package, Path(code) / package, ignore=shutil.ignore_patterns("__pycache__"))
            self._connect(code)
            yield from self._run(jobs, report, go_on)

    def _run(self, jobs: Sequence[Job], report: Report, go_on: GoOn) -> Iterator[Outcome]:
        ray, queue = self._ray, Queue(jobs)
        running: dict[Any, Job] = {}
        try:
            while queue.waiting or running:
                yield from queue.lost()
                for job in queue.begin(self._room(jobs) - len(running) if go_on() else 0):
                    report(job, 0.0)
                    running[self._begin(job)] = job
                if not running:
                    if not go_on() or not queue.waiting:
                        return
                    continue
                for reference in ray.wait(list(running), num_returns=1, timeout=_POLL)[0]:
                    job = running.pop(reference)
                    outcome = self._end(job, reference)
                    report(job, 1.0)
                    queue.ended(outcome)
                    yield outcome
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
            ray.shutdown()

    def _room(self, jobs: Sequence[Job]) -> int:
        """How many jobs the cluster can do at a time, now."""
        resource = "GPU" if any(job.on_gpu for job in jobs) else "CPU"
        resources: dict[str, float] = self._ray.cluster_resources()
        return max(1, int(resources.get(resource, 0)))

    def _begin(self, job: Job) -> Any:
        checkpoint = Path(job.payload.get("checkpoint", ""))
        payload = Payload.of(job, checkpoint.read_bytes() if checkpoint.is_file() else None)
        task = self._ray.remote(
            num_cpus=1, num_gpus=1 if job.on_gpu else 0, max_retries=_LIVES, retry_exceptions=False
        )(work)
        return task.options(name=job.key).remote(job, payload, self._limits)

    def _end(self, job: Job, reference: Any) -> Outcome:
        """What came of a task; weights that it made go where a local pre-training leaves them, so that they outlive
        any node. A node that cannot be replaced is no fault of the strategy."""
        try:
            outcome, made = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            return Outcome(job, "failed", {}, f"the cluster could not do it: {type(error).__name__}: {first}")
        if made is not None:
            checkpoint = Path(job.payload["checkpoint"])
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(checkpoint, made)
        ended: Outcome = outcome
        return ended


def _require_an_answer(address: str) -> None:
    """Somebody listens at ``host:port``: Ray itself would ask for minutes. Raises ValueNotAllowed."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():  # "auto" and the like: Ray knows at once
        return
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise ValueNotAllowed(f"there is no Ray cluster at {address}: {error}") from None
