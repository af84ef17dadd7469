"""A busy process that belongs to nobody: what an ordinary machine does to a measurement, on purpose.

It is killed when the block that started it is left. Should this process be killed before it can do so, the busy one
notices that its parent is gone, and ends; and it never outlives its time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOOK_EVERY = 20_000  # turns of the loop, about a millisecond: it must be busy, and still notice its end


@contextmanager
def busy_process(at_most: float) -> Iterator[int]:
    """A process that spins on one core while the block runs, at most so many seconds. Yields its id."""
    command = [sys.executable, "-m", "bench.validation.foreign", str(os.getpid()), str(at_most)]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield child.pid
    finally:
        child.kill()
        child.wait()


def _spin(parent: int, at_most: float) -> None:
    end = time.monotonic() + at_most
    while os.getppid() == parent and time.monotonic() < end:
        for _ in range(_LOOK_EVERY):
            pass


if __name__ == "__main__":
    _spin(int(sys.argv[1]), float(sys.argv[2]))
