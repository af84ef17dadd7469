"""What moving bytes costs on this machine: the copy-bandwidth curve, and the price of a fresh page of memory."""

import mmap
import resource
import time

import torch

from bench.measure.latency.clocks import Clock

_LEAST_MEBIBYTES = 16  # a small copy is repeated until it has moved this much, so that the clock can see it
_FRESH = 16 << 20  # bytes of fresh pages that are touched
_PAGE = mmap.PAGESIZE


class CopyCurve:
    """Copies between two buffers in several sizes; small ones stay in the caches, as small activations do.

    The buffers live as long as the process, so that no copy pays for fresh pages.
    """

    def __init__(self, torch_device: str, mebibytes: tuple[int, ...]) -> None:
        largest = max(mebibytes, default=0) << 20
        self._mebibytes = mebibytes
        self._source = torch.ones(largest, dtype=torch.uint8, device=torch_device)
        self._target = torch.ones_like(self._source)

    def measure(self, clock: Clock) -> dict[str, float]:
        """{MiB copied: seconds}. A copy reads that much and writes that much."""
        return {str(size): self._one(clock, size) for size in self._mebibytes}

    def _one(self, clock: Clock, mebibytes: int) -> float:
        source, target = self._source[: mebibytes << 20], self._target[: mebibytes << 20]
        repeats = max(1, _LEAST_MEBIBYTES // mebibytes)

        def copies() -> None:
            for _ in range(repeats):
                target.copy_(source)

        target.copy_(source)
        return clock.measure(copies)[0] / repeats


def page_seconds() -> float:
    """What one page fault costs: touching fresh pages, less touching them again, in seconds a fault; 0 where none."""
    with mmap.mmap(-1, _FRESH) as memory:
        fresh = torch.frombuffer(memory, dtype=torch.uint8)
        before = _faults()
        first = _touch(fresh)
        faults = _faults() - before
        again = min(_touch(fresh) for _ in range(2))
        del fresh
    return max(0.0, first - again) / faults if faults else 0.0


def _touch(memory: torch.Tensor) -> float:
    start = time.perf_counter()
    memory.fill_(1)
    return time.perf_counter() - start


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
