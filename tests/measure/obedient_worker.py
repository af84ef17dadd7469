"""A training worker that does what its job says; ``LocalExecutor`` is given it in the place of the real one."""

import os
from typing import Any

from bench.system import workers


def obey(job: dict[str, Any], emit: workers.Emit) -> None:
    if job["do"] == "die":
        os._exit(0)
    if job["do"] == "raise":
        raise RuntimeError("as asked")
    if job["do"] == "skip":
        emit({"event": "skipped", "reason": "not for this network"})
    if job["do"] == "work":
        emit({"event": "progress", "share": 0.5})
        emit({"event": "result", "samples": {"answer": job["answer"]}})


if __name__ == "__main__":
    workers.serve(obey)
