"""What a strategy's code must leave as it found it: PyTorch's settings, and no thread or process beside it.

Whatever it changed for all, the cases beside it would pay for: their times would no longer be their own.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch


class SideEffectError(Exception):
    """A strategy's code changed what all cases share; the message says what. What could be put back was."""


class LeftRunning(SideEffectError):
    """It left a thread running, which nobody can stop: this process must not time anything any more."""


_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "whether gradients are recorded": (torch.is_grad_enabled, torch.set_grad_enabled),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "the precision of products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "oneDNN": (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    "cuDNN": (torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),
    "cuDNN's autotuning": (torch._C._get_cudnn_benchmark, torch._C._set_cudnn_benchmark),
}
"""{PyTorch's global setting: (get, set)}."""


@contextlib.contextmanager
def no_side_effects() -> Iterator[None]:
    """Raises SideEffectError where the body left something changed or running; it is put back, processes are ended."""
    before = {name: get() for name, (get, _) in _SETTINGS.items()}
    threads, processes = set(threading.enumerate()), _children()
    changed = []
    try:
        yield
    finally:
        for name, (get, put) in _SETTINGS.items():
            if (now := get()) != before[name]:
                changed.append(f"{name} ({before[name]} became {now})")
                put(before[name])
        left = _children() - processes
        for child in left:
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)  # one that nobody waited for would still be in the list
    if changed:
        raise SideEffectError(f"it changed a setting of PyTorch that holds for all: {', '.join(changed)}")
    if left:
        raise SideEffectError("it left a process running")
    running = [own for own in threading.enumerate() if own not in threads and own.is_alive() and not _is_autograds(own)]
    if running:
        raise LeftRunning(f"it left a thread running ({running[0].name})")


def _is_autograds(thread: threading.Thread) -> bool:
    """PyTorch's own, one for each device: Python meets them when they run its code, in a backward pass."""
    try:
        name = Path(f"/proc/self/task/{thread.native_id}/comm").read_text()
    except OSError:
        return False
    return isinstance(thread, threading._DummyThread) and name.startswith("pt_autograd")


def _children() -> set[int]:
    """The processes that this one has started. Asked often: the kernel's own list is a thousand times faster."""
    if lists := list(Path("/proc/self/task").glob("*/children")):
        with contextlib.suppress(OSError):  # a thread that ended meanwhile
            return {int(child) for file in lists for child in file.read_text().split()}
    return {child.pid for child in psutil.Process().children()}
