"""The resident high-water mark of the process during one forward pass, as the operating system sees it.

Live bytes (``traffic``) say what tensors hold, exactly. The high-water mark adds the interpreter, the libraries, the
weights and what the allocator keeps: what a machine must have to run the network at all. Its last 10 MB depend on the
history of the heap, so small differences between cases mean nothing.
"""

import ctypes
import ctypes.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PROC = Path("/proc/self")
_RESET_PEAK = "5"  # what clear_refs takes to bring the high-water mark down to the present size (Linux, man 5 proc)
_TRIES = 3  # the least of a few: what a library allocates once for good belongs to no case


def resident_peak(call: Callable[[], Any], proc: Path = _PROC) -> int | None:
    """The most bytes that were resident while ``call`` ran; None where the system does not tell."""
    peaks = [_one(call, proc) for _ in range(_TRIES)]
    known = [peak for peak in peaks if peak is not None]
    return min(known) if known else None


def _one(call: Callable[[], Any], proc: Path) -> int | None:
    _give_back()
    try:
        (proc / "clear_refs").write_text(_RESET_PEAK)
        call()
        return _status(proc, "VmHWM")
    except (OSError, ValueError):
        return None


def _status(proc: Path, key: str) -> int:
    """A line of ``status`` in bytes. Raises ValueError where it is not there."""
    for line in (proc / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) << 10
    raise ValueError(f"{key} is not in {proc / 'status'}")


def _give_back() -> None:
    """Return freed heap to the system, so that every case begins alike. Only glibc can."""
    library = ctypes.util.find_library("c")
    trim = getattr(ctypes.CDLL(library), "malloc_trim", None) if library else None
    if trim is not None:
        trim(0)
