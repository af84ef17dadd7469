"""A worker without torch: it answers with simulated superblocks, or does what the script says is its turn.

The environment variable names a folder; ``script`` in it lists what the first, second, … process does: ok, die, fail,
interrupt (sends the parent a Ctrl-C). Beyond its end: ok.
"""

import os
import random
import signal
import time
from pathlib import Path

from bench.system import workers

FOLDER = "SHIFTBENCH_TEST_SCRIPT"


def _turn() -> str:
    folder = Path(os.environ[FOLDER])
    script = (folder / "script").read_text().split()
    turn = len(list(folder.glob("*.turn")))
    (folder / f"{turn}.turn").touch()
    return script[turn] if turn < len(script) else "ok"


def answer(job: workers.Event, emit: workers.Emit) -> None:
    turn = _turn()
    emit({"event": "ready", "backend": {}})
    if turn == "die":
        os._exit(3)
    if turn == "fail":
        emit({"event": "failed", "case": 0, "reason": "the output is not finite"})
    if turn == "interrupt":
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
    rng, calls = random.Random(job["seed"]), job.get("calls") or [[200, 0.0] for _ in job["cases"]]  # stacks, networks
    for _ in range(job.get("order", job)["superblocks"]):
        order = rng.sample(range(len(calls)), len(calls))
        seconds = [(0.0005 + 0.00005 * layers + burn) * rng.uniform(0.99, 1.01) for layers, burn in calls]
        slots = [[case, position, seconds[case]] for position, case in enumerate(order + order[::-1])]
        emit({"event": "superblock", "slots": slots, "wall": 0.001, "waited": 0.0, "disturbance": {"foreign": 0.0}})


if __name__ == "__main__":
    workers.serve(answer)
