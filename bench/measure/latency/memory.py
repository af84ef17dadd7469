"""What memory costs on this machine: the copy-bandwidth curve, the price of a fresh page, the resident high-water mark.

Live bytes (``traffic``) say what tensors hold, exactly. The high-water mark adds the interpreter, the libraries, the
weights and what the allocator keeps: what a machine must have to run the network at all. Its last 10 MB depend on the
history of the heap, so small differences between cases mean nothing.
"""

import contextlib
import ctypes
import mmap
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.measure.latency.devices import Clock

_LEAST_MEBIBYTES = 16  # a small copy is repeated until it has moved this much, so that the clock can see it
_FRESH = 16 << 20  # bytes of fresh pages that are touched
_PROC = Path("/proc/self")
_RESET_PEAK = "5"  # what clear_refs takes to bring the high-water mark down to the present size (Linux, man 5 proc)
_TRIES = 3  # the least of a few: what a library allocates once for good belongs to no case


class CopyCurve:
    """Copies between two buffers in several sizes; small ones stay in the caches, as small activations do.

    The buffers live as long as the process, so that no copy pays for fresh pages.
    """

    def __init__(self, torch_device: str, mebibytes: Sequence[int]) -> None:
        largest = max(mebibytes, default=0) << 20
        self._mebibytes = mebibytes
        self._source = torch.ones(largest, dtype=torch.uint8, device=torch_device)
        self._target = torch.ones_like(self._source)

    def measure(self, clock: Clock) -> dict[int, float]:
        """{MiB copied: seconds}. A copy reads that much and writes that much."""
        return {size: self._one(clock, size) for size in self._mebibytes}

    def _one(self, clock: Clock, mebibytes: int) -> float:
        source, target = self._source[: mebibytes << 20], self._target[: mebibytes << 20]
        repeats = max(1, _LEAST_MEBIBYTES // mebibytes)
        target.copy_(source)
        seconds, _ = clock(lambda: [target.copy_(source) for _ in range(repeats)])
        return seconds / repeats


def page_seconds() -> float:
    """What one page fault costs: touching fresh pages, less touching them again, in seconds a fault; 0 where none."""
    with mmap.mmap(-1, _FRESH) as memory:
        fresh = torch.frombuffer(memory, dtype=torch.uint8)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        first = _touch(fresh)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        again = min(_touch(fresh) for _ in range(2))
        del fresh
    return max(0.0, first - again) / faults if faults else 0.0


def _touch(memory: torch.Tensor) -> float:
    start = time.perf_counter()
    memory.fill_(1)
    return time.perf_counter() - start


def resident_peak(call: Callable[[], Any], proc: Path = _PROC) -> int | None:
    """The most bytes that were resident while ``call`` ran; None where the system does not tell."""
    peaks = []
    try:
        for _ in range(_TRIES):
            with contextlib.suppress(AttributeError):  # trimmed, so that every case begins alike; glibc only
                ctypes.CDLL(None).malloc_trim(0)
            (proc / "clear_refs").write_text(_RESET_PEAK)
            call()
            status = (proc / "status").read_text()
            peaks.append(int(status.partition("VmHWM:")[2].split()[0]) << 10)  # "VmHWM:    123456 kB"
    except (OSError, IndexError):
        return None
    return min(peaks)
