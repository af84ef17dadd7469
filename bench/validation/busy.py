"""A process that keeps one core busy, beside those that measure. No torch."""

import time

from bench.system import workers


def _burn(job: workers.Event, emit: workers.Emit) -> None:
    """job: seconds."""
    emit({"event": "ready"})
    end = time.monotonic() + job["seconds"]
    while time.monotonic() < end:
        pass


if __name__ == "__main__":
    workers.serve(_burn)
