"""Expendable processes. Plug-ins are strangers' code: each job runs in a process of its own that may die.

The parent starts ``python -m MODULE``, sends the job as JSON on standard input and reads events, one JSON object a
line, from a pipe of its own, so that a plug-in that prints cannot disturb them. The parent blocks while it waits: a
spinning parent would burn one of the cores under test. The child ends with an event ``done``; anything else
(a crash, an early exit, silence beyond the limit) raises WorkerDied with the reason. It may allocate no more memory
than the machine has to give: beyond that, PyTorch raises in the code that asked.
"""

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from bench.spec.axes import ValueNotAllowed

Event = dict[str, Any]
Emit = Callable[[Event], None]

_EVENTS_FD = "SHIFTBENCH_EVENTS_FD"
_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>
_MEMORY_LIMIT = "SHIFTBENCH_MEMORY_LIMIT"  # bytes
_PROGRESS_EVERY = 1.0  # seconds; a person watches this
_LAST_WORDS = 2000  # bytes of a dead child's output that are looked at for its last line
_LONGEST_EVENT = 1 << 26  # bytes; a superblock of a hundred cases takes a few hundred kilobytes
_LEFT_FREE = 0.1  # of the memory that is free when a process starts: for the system, and the parent

_alive: "set[subprocess.Popen[bytes]]" = set()


class WorkerDied(Exception):
    """A worker ended without being done; the message says how.

    fatal: it hung, was killed or vanished, rather than ending with an exception of its own.
    """

    def __init__(self, how: str, *, fatal: bool = True) -> None:
        super().__init__(how)
        self.fatal = fatal


def stream(
    module: str,
    job: Event,
    *,
    silence_limit: float,
    env: dict[str, str] | None = None,
    memory_share: float | None = 1.0,
    memory_gib: float | None = None,
) -> Iterator[Event]:
    """Run ``module`` as a worker and yield its events as they come.

    silence_limit: seconds without an event after which the worker counts as hung and is killed. memory_share: of what
    is free on this machine now, what the worker may allocate at most; None: no limit (CUDA reserves addresses freely).
    memory_gib: a smaller limit.
    Raises WorkerDied where it ends without ``done``. Leaving the loop early kills it.
    """
    read_fd, write_fd = os.pipe()
    with tempfile.TemporaryFile() as output, os.fdopen(read_fd, "rb") as events:
        child = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(write_fd,),
            env={
                **os.environ,
                **_bytecode_cache(),
                **_memory(memory_share, memory_gib),
                **(env or {}),
                _EVENTS_FD: str(write_fd),
            },
            start_new_session=True,  # so that a plug-in's own children can be killed with it
        )
        os.close(write_fd)
        _alive.add(child)
        try:
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it died at once: the loop below says how
                child.stdin.write(json.dumps(job).encode())
                child.stdin.close()
            for event in _read_events(events.fileno(), child, silence_limit):
                yield event
                if event.get("event") == "done":
                    return  # whatever a plug-in left running in it is killed now
            _wait_for_end(child)
            raise WorkerDied(_obituary(child.returncode, output), fatal=child.returncode != 1)
        finally:
            _kill(child)
            _alive.discard(child)


def _bytecode_cache() -> dict[str, str]:
    """Every process imports torch anew, and without bytecode each start costs seconds more. Where the user does not
    want bytecode beside the sources, the workers share a folder of their own."""
    if not sys.dont_write_bytecode:
        return {}
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = os.path.join(tempfile.gettempdir(), f"shiftbench-bytecode-{user}")
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}


def _memory(share: float | None, gib: float | None) -> dict[str, str]:
    if share is None or sys.platform != "linux":  # elsewhere the limit is not kept, or covers files mapped too
        return {}
    free = share * (1 - _LEFT_FREE) * free_memory()
    return {_MEMORY_LIMIT: str(int(free if gib is None else min(free, gib * 2**30)))}


def free_memory() -> int:
    """Bytes that new processes can have: what the system can give, or what is left to its container."""
    available = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        available = min(available, max(0, limit - used + int(cached)))
    return available


def kill_all() -> None:
    """End every worker of this process at once; the loops over their events then raise WorkerDied."""
    for child in list(_alive):
        _kill(child)


def _read_events(fd: int, child: "subprocess.Popen[bytes]", silence_limit: float) -> Iterator[Event]:
    """Events until the child closes the pipe or ends; what it started may hold the pipe open for longer.

    Raises WorkerDied after ``silence_limit`` seconds without one, and for what is not an event.
    """
    pending = b""
    os.set_blocking(fd, False)
    with selectors.DefaultSelector() as selector, _end_of(child) as end:
        selector.register(fd, selectors.EVENT_READ)
        if end is not None:
            selector.register(end, selectors.EVENT_READ)
        deadline = time.monotonic() + silence_limit
        while True:
            ready = {key.fileobj for key, _ in selector.select(max(0.0, deadline - time.monotonic()))}
            if not ready:
                raise WorkerDied(f"gave no sign of life for {silence_limit:.0f} s and was killed")
            try:
                chunk = os.read(fd, 1 << 16)
            except BlockingIOError:  # it has ended, and this was all
                return
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                deadline = time.monotonic() + silence_limit
                yield _event(line)
            if len(pending) > _LONGEST_EVENT:
                raise WorkerDied("wrote without end into the channel of its results")


def _event(line: bytes) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or "event" not in event:
        raise WorkerDied("wrote something else into the channel of its results")
    return event


@contextlib.contextmanager
def _end_of(child: "subprocess.Popen[bytes]") -> Iterator[int | None]:
    """A handle that becomes readable when ``child`` ends; None where the system has no such thing."""
    try:
        handle = os.pidfd_open(child.pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _wait_for_end(child: "subprocess.Popen[bytes]", patience: float = 10.0) -> None:
    """It has closed its pipe: it ends by itself in a moment, or is made to."""
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        _kill(child)


def _obituary(code: int, output: Any) -> str:
    """How a process ended, with its last words."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code} before it was done"
    output.seek(max(0, output.seek(0, os.SEEK_END) - _LAST_WORDS))
    words = output.read().decode(errors="replace").strip().splitlines()
    return f"{how}: {words[-1]}" if words else how


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """End the child and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def serve(handler: Callable[[Event, Emit], None]) -> None:
    """The child's side: read the job, hand it to ``handler`` with a way to emit events, and say ``done``.

    Only this process may speak: a copy of it that a plug-in forked ends where it tries to.
    """
    own = os.getpid()
    _end_with_the_parent()
    if limit := os.environ.pop(_MEMORY_LIMIT, None):
        with contextlib.suppress(OSError, ValueError):  # a smaller limit is in force already
            resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit)))
    with contextlib.suppress(OSError):  # where memory runs out all the same, this process is the one to end
        Path("/proc/self/oom_score_adj").write_text("1000")
    job = json.loads(sys.stdin.buffer.read())
    with os.fdopen(int(os.environ.pop(_EVENTS_FD)), "wb", buffering=0) as pipe:

        def emit(event: Event) -> None:
            if os.getpid() != own:
                os._exit(1)
            left = memoryview(json.dumps(event).encode() + b"\n")
            while left:
                left = left[pipe.write(left) or 0 :]

        handler(job, emit)
        emit({"event": "done"})


def progress(emit: Emit) -> Callable[[float], None]:
    """Passes on the share of a job that is done, at most once a second, and always the end."""
    last = 0.0

    def report(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if share >= 1 or now - last >= _PROGRESS_EVERY:
            last = now
            emit({"event": "progress", "share": share})

    return report


def noting(emit: Emit) -> Callable[[str], None]:
    """Passes on a sentence for the user."""
    return lambda message: emit({"event": "note", "message": message})


def _end_with_the_parent() -> None:
    """Have the kernel kill this process when the one that asked for its work is gone, whatever it is doing then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def one_line(error: BaseException, limit: int = 400) -> str:
    """An exception as one line for a table: its type and the first line of its message."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, ValueNotAllowed):
        return text[:limit]
    return f"{type(error).__name__}: {text}"[:limit]
