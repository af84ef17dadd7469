"""Expendable processes. Plug-ins are strangers' code: each job runs in a process of its own that may die.

The parent starts ``python -m MODULE``, sends the job as JSON on standard input and reads events, one JSON object a
line, from a pipe of its own, so that a plug-in that prints cannot disturb them. The parent blocks while it waits: a
spinning parent would burn one of the cores under test. The child ends with an event ``done``; anything else
(a crash, an early exit, silence beyond the limit) raises WorkerDied with the reason.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.axes import ValueNotAllowed

Event = dict[str, Any]
Emit = Callable[[Event], None]

_EVENTS_FD = "SHIFTBENCH_EVENTS_FD"
_LAST_WORDS = 2000  # bytes of a dead child's output that are looked at for its last line

_alive: "set[subprocess.Popen[bytes]]" = set()


class WorkerDied(Exception):
    """A worker ended without being done; the message says how.

    fatal: it hung, was killed or vanished, rather than ending with an exception of its own.
    """

    def __init__(self, how: str, *, fatal: bool = True) -> None:
        super().__init__(how)
        self.fatal = fatal


def stream(module: str, job: Event, *, silence_limit: float, env: dict[str, str] | None = None) -> Iterator[Event]:
    """Run ``module`` as a worker and yield its events as they come.

    silence_limit: seconds without an event after which the worker counts as hung and is killed.
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
            env={**os.environ, **_bytecode_cache(), **(env or {}), _EVENTS_FD: str(write_fd)},
            start_new_session=True,  # so that a plug-in's own children can be killed with it
        )
        os.close(write_fd)
        _alive.add(child)
        try:
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it died at once: the loop below says how
                child.stdin.write(json.dumps(job).encode())
                child.stdin.close()
            for event in _read_events(events.fileno(), silence_limit):
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


def kill_all() -> None:
    """End every worker of this process at once; the loops over their events then raise WorkerDied."""
    for child in list(_alive):
        _kill(child)


def _read_events(fd: int, silence_limit: float) -> Iterator[Event]:
    """Events until the child closes the pipe. Raises WorkerDied after ``silence_limit`` seconds without one."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        deadline = time.monotonic() + silence_limit
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise WorkerDied(f"gave no sign of life for {silence_limit:.0f} s and was killed")
            chunk = os.read(fd, 1 << 16)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                deadline = time.monotonic() + silence_limit
                yield json.loads(line)


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
    """The child's side: read the job, hand it to ``handler`` with a way to emit events, and say ``done``."""
    job = json.loads(sys.stdin.buffer.read())
    with os.fdopen(int(os.environ.pop(_EVENTS_FD)), "wb", buffering=0) as pipe:

        def emit(event: Event) -> None:
            pipe.write(json.dumps(event).encode() + b"\n")

        handler(job, emit)
        emit({"event": "done"})


def one_line(error: BaseException, limit: int = 400) -> str:
    """An exception as one line for a table: its type and the first line of its message."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, ValueNotAllowed):
        return text[:limit]
    return f"{type(error).__name__}: {text}"[:limit]
