"""CPU and memory limits that a container or a service manager sets: control groups, version 1, 2 or both.

https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/. A limit of any group further up holds too, so all
are read. In a container the path in /proc/self/cgroup may be the host's and not exist; then the mount is the
container's own group, and the walk upwards ends there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.system.environment import ROOT, read_text

_NO_LIMIT = 2**60  # bytes: version 1 writes "no limit" as a number near 2^63
_MEMORY_FILES = (  # limit, use, and the part of the use that the kernel can drop
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True)
class Quota:
    """CPU time per wall time, in cores; the group was stopped in ``throttled`` of ``periods`` so far."""

    cores: float = math.inf
    throttled: int = 0
    periods: int = 0


def cpu_quota(root: Path = ROOT) -> Quota:
    """The tightest CPU quota above this process; infinite cores without one."""
    tightest = min(_folders(root, "cpu"), key=_cores, default=None)
    if tightest is None or math.isinf(cores := _cores(tightest)):
        return Quota()
    stat = _stat(tightest / "cpu.stat")
    return Quota(cores, stat.get("nr_throttled", 0), stat.get("nr_periods", 0))


def memory_left(root: Path = ROOT) -> int | None:
    """Bytes until the tightest memory limit, files that the kernel can drop counted as free; None without a limit."""
    left = []
    for folder in _folders(root, "memory"):
        for limit_file, used_file, droppable in _MEMORY_FILES:
            limit, used = _number(folder / limit_file), _number(folder / used_file)
            if limit is not None and used is not None and limit < _NO_LIMIT:
                left.append(max(0, limit - used + _stat(folder / "memory.stat").get(droppable, 0)))
    return min(left, default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """What may limit this process, from its own group up to the mount; some may not exist."""
    top = root / "sys/fs/cgroup"
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            mounts = [top, top / "unified"]
        elif controller in controllers.split(","):
            mounts = [top / controllers, top / controller]
        else:
            continue
        parts = [] if ".." in path.split("/") else path.strip("/").split("/")  # "..": not shown in this namespace
        for mount in mounts:
            yield from (mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))


def _cores(folder: Path) -> float:
    """cpu.max is "150000 100000" or "max 100000"; version 1 has two files, -1 for no limit."""
    share, _, period = (read_text(folder / "cpu.max") or "").partition(" ")
    if share.isdigit() and period.isdigit():
        return int(share) / int(period)
    quota, every = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / every if quota and every and quota > 0 else math.inf


def _number(path: Path) -> int | None:
    """A file that holds one whole number; None for ``max`` too."""
    text = read_text(path) or ""
    return int(text) if text.removeprefix("-").isdigit() else None


def _stat(path: Path) -> dict[str, int]:
    """Lines like ``nr_throttled 12``."""
    pairs = (line.split() for line in (read_text(path) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
