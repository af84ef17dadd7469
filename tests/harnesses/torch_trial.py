"""``torch.utils.benchmark`` in one process, medians compared: as people use it, or with the cases in turns.

Job: ``deadline`` (system-wide monotonic seconds), ``in_turns``. As people use it: one Timer after the other, what is
left of the time after the start divided equally between base, twin and effect. In turns: a block of each Timer, again
and again, in one order. Events: ``case`` with its raw seconds per call, a value for each block.
"""

import math
import time
from typing import Any

from torch.utils.benchmark import Timer

from bench.system import workers
from bench.validation.worker import stack
from tests.harnesses.cases import BASE, LAYERS, THREADS

AT_LEAST = 0.2  # seconds for each case, blocked_autorange's own default, where a rehearsal leaves less
BLOCK = 0.1  # seconds; each block begins with two calls that do not count, which would be most of a shorter one


def _one_after_the_other(timers: dict[str, Timer], deadline: float) -> dict[str, list[float]]:
    found = {}
    for done, (case, timer) in enumerate(timers.items()):
        share = (deadline - time.monotonic()) / (len(timers) - done)
        found[case] = timer.blocked_autorange(min_run_time=max(AT_LEAST, share)).times
    return found


def _in_turns(timers: dict[str, Timer], deadline: float) -> dict[str, list[float]]:
    calls = max(1, math.ceil(BLOCK / timers[BASE].blocked_autorange(min_run_time=AT_LEAST).median))
    found: dict[str, list[float]] = {case: [] for case in timers}
    while not found[BASE] or time.monotonic() < deadline:
        for case, timer in timers.items():
            found[case] += timer.timeit(calls).times
    return found


def _answer(job: dict[str, Any], emit: workers.Emit) -> None:
    timers = {
        case: Timer("call()", globals={"call": stack(layers)}, num_threads=THREADS) for case, layers in LAYERS.items()
    }
    measure = _in_turns if job["in_turns"] else _one_after_the_other
    for case, seconds in measure(timers, job["deadline"]).items():
        emit({"event": "case", "case": case, "seconds": seconds})


if __name__ == "__main__":
    workers.serve(_answer)
