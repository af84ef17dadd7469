"""Worker processes: plug-ins are foreign code, so each job runs in a process of its own that may die.

The parent starts ``python -m MODULE``, sends the job as JSON on standard input and reads events, one JSON object a
line, from a pipe of its own, which a plug-in that prints cannot disturb. It blocks while it waits: polling would use
one of the cores under test. The worker ends with an event ``done``; anything else (a crash, an early exit, silence
beyond the limit) raises WorkerDied with the reason.
"""

import contextlib
import ctypes
import itertools
import json
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from bench.spec.axes import ValueNotAllowed
from bench.system import cgroups

Event = dict[str, Any]
Emit = Callable[[Event], None]

_EVENTS_FD = "SHIFTBENCH_EVENTS_FD"
_MEMORY_LIMIT = "SHIFTBENCH_MEMORY_LIMIT"  # bytes
_MARK = "SHIFTBENCH_WORKER"  # whatever a worker starts inherits it
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # of <linux/prctl.h>
_PROGRESS_EVERY = 1.0  # seconds; a person watches this
_OUTPUT_TAIL = 2000  # bytes of a dead worker's output in which its last line is looked for
_LONGEST_EVENT = 1 << 26  # bytes; a superblock of a hundred cases takes a few hundred kilobytes
_MEMORY_RESERVE = 0.1  # of the memory that is free when a process starts: for the system and the parent
_EXIT_PATIENCE = 10.0  # seconds between closing the pipe and ending
_OVERSLEPT = 1.0  # seconds past a deadline: this process was stopped meanwhile, and so may its worker have been
_GENERATIONS = 20  # of processes that start others and end; each becomes this process's own in its turn
_BYTECODE_ROOM = 1 << 29  # bytes; PyTorch's and the runtimes' take two thirds of it

Child = subprocess.Popen[bytes]

_SOURCES = Path(__file__).resolve().parents[2]
_INSTALLED = ("site-packages", "dist-packages")

_alive: dict[Child, str] = {}
_count = itertools.count()


class WorkerDied(Exception):
    """A worker ended before it was done; the message says how. fatal: otherwise than by an exception of its own;
    silent: it was killed, as it gave no sign of life."""

    def __init__(self, reason: str, *, fatal: bool = True, silent: bool = False) -> None:
        super().__init__(reason)
        self.fatal, self.silent = fatal, silent


def stream(
    module: str,
    job: Event,
    *,
    silence_limit: float,
    env: Mapping[str, str | None] | None = None,
    memory_share: float | None = 1.0,
    memory_gib: float | None = None,
    alive: Callable[[], object] = lambda: None,
) -> Generator[Event, None, None]:
    """Run ``module`` as a worker and yield its events as they come. Leaving the loop early kills it.

    silence_limit: seconds without an event after which the worker is killed. env: changes of the environment; None: not
    set. memory_share: the share of the memory free now that it may allocate, beyond which PyTorch raises; None: any
    (CUDA reserves addresses freely). memory_gib: a smaller limit. alive: read when the limit of silence has passed;
    where it gives something new, the worker lives on. Raises WorkerDied where it ends without ``done``.
    """
    limit = _memory_limit(memory_share, memory_gib)
    mark = f"{os.getpid()}-{next(_count)}"
    adopt_orphans()
    read_fd, write_fd = os.pipe()
    with tempfile.TemporaryFile() as output, os.fdopen(read_fd, "rb") as events:
        changes = {
            **_bytecode_cache(),
            **_import_path(),
            **limit,
            **(env or {}),
            _EVENTS_FD: str(write_fd),
            _MARK: mark,
        }
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(write_fd,),
            env={name: value for name, value in {**os.environ, **changes}.items() if value is not None},
            start_new_session=True,  # so that a plug-in's own children can be killed with it
        )
        os.close(write_fd)
        _alive[child] = mark
        try:
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it died at once: the loop below says how
                child.stdin.write(json.dumps(job).encode())
                child.stdin.close()
            for event in _read_events(events.fileno(), child, silence_limit, alive):
                yield event
                if event.get("event") == "done":
                    return  # whatever a plug-in left running in it is killed now
            try:
                child.wait(_EXIT_PATIENCE)
            except subprocess.TimeoutExpired:
                _kill(child)
            raise WorkerDied(_exit_description(child.returncode, output), fatal=child.returncode != 1)
        finally:
            _kill(child)
            _alive.pop(child, None)


def _bytecode_cache() -> dict[str, str]:
    """Where the user wants no bytecode beside the sources, the workers share a folder of their own: they start seconds
    sooner with it. A disk that is nearly full would keep half of a file, which no later process could read."""
    temporary = tempfile.gettempdir()
    if not sys.dont_write_bytecode or shutil.disk_usage(temporary).free < _BYTECODE_ROOM:
        return {}
    folder = os.path.join(temporary, f"shiftbench-bytecode-{os.getuid()}")
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}


def _import_path() -> dict[str, str]:
    """Where this suite lies, for a process that does not look into the working directory first, in which a file may be
    called as a module of ours or of Python's own. Nothing where the suite is installed: there it is found anyway."""
    if _SOURCES.name in _INSTALLED:
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(_SOURCES), os.environ.get("PYTHONPATH"))))}


def _memory_limit(share: float | None, gib: float | None) -> dict[str, str]:
    if share is None or sys.platform != "linux":  # elsewhere the limit is not enforced, or covers mapped files too
        return {}
    free, in_container = psutil.virtual_memory().available, cgroups.memory_left()
    limit = share * (1 - _MEMORY_RESERVE) * (free if in_container is None else min(free, in_container))
    return {_MEMORY_LIMIT: str(int(limit if gib is None else min(limit, gib * 2**30)))}


def kill_all() -> None:
    """End every worker of this process at once; the loops over their events then raise WorkerDied."""
    for child in list(_alive):
        _kill(child)


def _read_events(fd: int, child: Child, silence_limit: float, alive: Callable[[], object]) -> Iterator[Event]:
    """Events until the child closes the pipe or ends: processes that it started may hold the pipe open for longer."""
    pending = b""
    os.set_blocking(fd, False)
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as opened:
        selector.register(fd, selectors.EVENT_READ)
        with contextlib.suppress(AttributeError, OSError):  # a system without: then only the pipe's end is seen
            end = os.pidfd_open(child.pid)  # readable when the child has ended
            opened.callback(os.close, end)
            selector.register(end, selectors.EVENT_READ)
        deadline, sign = time.monotonic() + silence_limit, alive()
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                overslept = time.monotonic() - deadline > _OVERSLEPT
                if sign == (sign := alive()) and not overslept:
                    raise WorkerDied(f"gave no sign of life for {silence_limit:.0f} s and was killed", silent=True)
                deadline = time.monotonic() + silence_limit
                continue
            try:
                chunk = os.read(fd, 1 << 16)
            except BlockingIOError:  # the child has ended, and nothing is left in the pipe
                return
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                deadline, sign = time.monotonic() + silence_limit, alive()
                yield _event(line)
            if len(pending) > _LONGEST_EVENT:
                raise WorkerDied("wrote without end into the pipe for its results")


def _event(line: bytes) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or "event" not in event:
        raise WorkerDied("wrote something else into the pipe for its results")
    return event


def _exit_description(code: int, output: IO[bytes]) -> str:
    """How a process ended, with the last line of its output."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code} before it was done"
    output.seek(max(0, output.seek(0, os.SEEK_END) - _OUTPUT_TAIL))
    lines = output.read().decode(errors="replace").strip().splitlines()
    return f"{how}: {lines[-1]}" if lines else how


def _kill(child: Child) -> None:
    """End the child and all that it started, in whatever session: what it left behind has become this process's own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    mark = f"{_MARK}={_alive.get(child)}".encode()
    for _ in range(_GENERATIONS):
        left = [pid for pid in children() if _session(pid) == child.pid or mark in _environ(pid)]
        for pid in left:
            with contextlib.suppress(ChildProcessError, ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        if not left:
            break


def adopt_orphans() -> None:
    """From now on, processes below this one whose parent ends become its children, so that none gets out of sight."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children() -> set[int]:
    """The processes that this one has started. Asked often: the kernel's own list is a thousand times faster."""
    if lists := list(Path("/proc/self/task").glob("*/children")):
        with contextlib.suppress(OSError):  # a thread that ended meanwhile
            return {int(child) for file in lists for child in file.read_text().split()}
    return {child.pid for child in psutil.Process().children()}


def _session(pid: int) -> int | None:
    """Of one that has ended too, as long as nobody has waited for it."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _environ(pid: int) -> list[bytes]:
    """What a process was started with; nothing where it has ended, or the system does not tell."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def serve(handler: Callable[[Event, Emit], None]) -> None:
    """The worker's side: read the job, pass it to ``handler`` with a function that emits events, and emit ``done``.

    Only this process may emit: a copy of it that a plug-in forked ends where it tries to.
    """
    own = os.getpid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the kernel kills it when its parent is gone
    adopt_orphans()
    if limit := os.environ.pop(_MEMORY_LIMIT, None):
        with contextlib.suppress(OSError, ValueError):  # a smaller limit is set already
            resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit)))
    with contextlib.suppress(OSError):  # where memory runs out all the same, the kernel kills this process first
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
    """A function that emits the share of a job that is done: at most once a second, and always the end."""
    last = 0.0

    def report(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if share >= 1 or now - last >= _PROGRESS_EVERY:
            last = now
            emit({"event": "progress", "share": share})

    return report


def one_line(error: BaseException, limit: int = 400) -> str:
    """An exception as one line for a table."""
    text = " ".join(str(error).split()) or "no message"
    return (text if isinstance(error, ValueNotAllowed) else f"{type(error).__name__}: {text}")[:limit]
