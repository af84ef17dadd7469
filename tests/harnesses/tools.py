"""One trial of each tool: at most so many seconds of wall time, start-up included -> raw samples. No torch here.

torch, in turns or not: {case: seconds per call of each block}. pyperf: {case: one list per worker process of seconds
per call of each value}. shiftbench: one list per process of its superblocks.
"""

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.system import workers
from tests.harnesses.cases import LAYERS, THREADS

TORCH, TURNS, PYPERF, OURS = "torch.utils.benchmark", "torch Timer in turns", "pyperf", "ShiftBench"
TOOLS = (TORCH, TURNS, PYPERF, OURS)
"""``TURNS`` against ``TORCH`` tells what interleaving alone gains, ``OURS`` against ``TURNS`` what else does."""

PROCESSES = 5
"""Processes of this harness in one trial of 60 s. The method asks for at least five. Each start costs 3 to 5 s: five
leave more than half of the minute for slots, and Student's factor is 2.8; ten would spend most of it on starting, and
three would widen the interval by half (4.3)."""

SECONDS_EACH = 12.0
"""What a process needs to be worth its start: a shorter trial (a rehearsal) has fewer processes, but two at least."""

PYPERF_PROCESSES = 3
"""Worker processes of pyperf for each of its three benchmarks. Three is the least that its own ``--fast`` allows ("to
benchmark 3 different (randomized) hash functions"); its default, 20, would need 60 starts of torch: 4 minutes."""

PYPERF_STARTS_AT_MOST = 0.85  # of the time: where even three processes leave less for measuring, two, then one
PYPERF_MIN_TIME = 0.1  # seconds of a raw value: pyperf's default

_READINGS = ("foreign", "steal", "major_faults", "pressure_memory")  # what the rules of bench.stats.exclusion look at
SILENCE = 300.0  # seconds without a sign of life after which a trial is given up
_SCRIPT = Path(__file__).with_name("pyperf_trial.py")


@dataclass(frozen=True)
class PyperfPlan:
    """What pyperf is told. Loops are given rather than calibrated, which saves it three processes a trial."""

    processes: int
    values: int
    loops: int


def plan_pyperf(seconds: float, start_up: float, slot: float) -> PyperfPlan:
    """The values that fill ``seconds``: three benchmarks, each with processes that take ``start_up`` seconds to start
    and ``slot`` seconds for one forward. One warm-up value a process, as is pyperf's default."""
    affordable = int(PYPERF_STARTS_AT_MOST * seconds / (len(LAYERS) * start_up))
    processes = max(1, min(PYPERF_PROCESSES, affordable))
    loops = 2 ** max(0, math.ceil(math.log2(PYPERF_MIN_TIME / slot)))
    left = seconds / (len(LAYERS) * processes) - start_up
    return PyperfPlan(processes, max(1, int(left / (loops * slot)) - 1), loops)


def torch(seconds: float, *, in_turns: bool = False) -> dict[str, list[float]]:
    """One process, one case after the other, or a block of each in turns."""
    job = {"deadline": time.monotonic() + seconds, "in_turns": in_turns}
    events = workers.stream("tests.harnesses.torch_trial", job, silence_limit=seconds + SILENCE)
    return {event["case"]: event["seconds"] for event in events if event["event"] == "case"}


def pyperf(plan: PyperfPlan) -> dict[str, list[list[float]]]:
    """pyperf's own processes, started by itself."""
    from pyperf import BenchmarkSuite

    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "pyperf.json"
        options = ["-p", plan.processes, "-n", plan.values, "-l", plan.loops, "-w", 1, "-o", results]
        _run_alone([sys.executable, str(_SCRIPT), *map(str, options), "--quiet", "--copy-env"])
        suite = BenchmarkSuite.load(str(results))
        return {case: [list(run.values) for run in suite.get_benchmark(case).get_runs()] for case in LAYERS}


def _run_alone(command: list[str]) -> None:
    """Run to the end. Where this process is stopped meanwhile, nothing that was started may disturb what comes next."""
    environment = {**os.environ, **workers._bytecode_cache()}  # they start as fast as the other tools' processes
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if code:
        raise subprocess.CalledProcessError(code, command)


def pyperf_start_up(wall: float, plan: PyperfPlan, raw: dict[str, list[list[float]]]) -> float:
    """Seconds that each worker process of a finished trial took beside its values and its warm-up."""
    measuring = plan.loops * sum(sum(values) * (1 + 1 / len(values)) for runs in raw.values() for values in runs)
    return (wall - measuring) / (len(LAYERS) * plan.processes)


def processes_of_ours(seconds: float, at_most: int = PROCESSES) -> int:
    """So many of this harness's processes go into ``seconds``."""
    return max(2, min(at_most, int(seconds / SECONDS_EACH)))


def shiftbench(seconds: float, seed: int, processes: int, layers: list[int] | None = None) -> list[list[Any]]:
    """Fresh processes one after the other, each with its share of the time. The quiet-machine gate is off: waiting
    would be time that the other tools use."""
    start, found = time.monotonic(), []
    depths = layers or list(LAYERS.values())
    for process in range(processes):
        job = {
            "threads": THREADS,
            "calls": [[depth, 0.0] for depth in depths],  # none of them burns time on top
            "seed": seed + process,
            "deadline": start + seconds * (process + 1) / processes,
            "superblocks": None,
            "gate_seconds": 0.0,
        }
        events = workers.stream("bench.validation.worker", job, silence_limit=seconds + SILENCE)
        found.append([_compact(event, len(depths)) for event in events if event["event"] not in ("ready", "done")])
    return found


def _compact(event: dict[str, Any], cases: int) -> dict[str, Any]:
    """A superblock as it is stored: seconds of each case's slots, and what the declared rules look at."""
    if event["event"] != "superblock":
        raise RuntimeError(f"a stack failed: {event}")
    seconds: list[list[float]] = [[] for _ in range(cases)]
    for case, _, value, *_ in event["slots"]:
        seconds[case].append(round(value, 8))
    readings = {name: round(event["disturbance"].get(name, 0.0), 4) for name in _READINGS}
    return {"seconds": seconds, "wall": round(event["wall"], 4), "readings": readings}
