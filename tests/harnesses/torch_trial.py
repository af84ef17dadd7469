"""``torch.utils.benchmark`` as people use it: one process, one Timer after the other, medians compared.

Job: ``deadline`` (system-wide monotonic seconds). What is left of the time after the start is divided equally between
base, twin and effect. Events: ``case`` with its raw seconds per call.
"""

import time
from typing import Any

from torch.utils.benchmark import Timer

from bench.system import workers
from bench.validation.worker import stack
from tests.harnesses.cases import LAYERS, THREADS

AT_LEAST = 0.2  # seconds for each case, blocked_autorange's own default, where a rehearsal leaves less


def _answer(job: dict[str, Any], emit: workers.Emit) -> None:
    for done, (case, layers) in enumerate(LAYERS.items()):
        share = (job["deadline"] - time.monotonic()) / (len(LAYERS) - done)
        timer = Timer("call()", globals={"call": stack(layers)}, num_threads=THREADS)
        measured = timer.blocked_autorange(min_run_time=max(AT_LEAST, share))
        emit({"event": "case", "case": case, "seconds": measured.times})


if __name__ == "__main__":
    workers.serve(_answer)
