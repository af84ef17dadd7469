"""The limits that a container or a service manager sets: control groups, version 1, 2 or both side by side.

Which folder holds the limits: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/. A limit of any group
further up holds too, so all of them are looked at. In a container the path in /proc/self/cgroup may be the host's and
not exist here; then what is mounted is the container's own group, which is where the walk upwards ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.system.doctor.probe import Probe

_MOUNT = "sys/fs/cgroup"
_NO_LIMIT = 2**60  # bytes: version 1 writes "no limit" as a number near 2^63


@dataclass(frozen=True)
class Quota:
    """cores: CPU time per time, None where unlimited. throttled: in how many of ``periods`` the group was stopped."""

    cores: float | None
    throttled: int
    periods: int


def known(probe: Probe) -> bool:
    """Whether this system has control groups."""
    return probe.text("proc/self/cgroup") is not None


def quota(probe: Probe) -> Quota:
    """The tightest CPU quota above this process."""
    found = []
    for folder in _folders(probe, "cpu"):
        stat = _stat(probe, f"{folder}/cpu.stat")
        found.append(Quota(_cores(probe, folder), stat.get("nr_throttled", 0), stat.get("nr_periods", 0)))
    limited = [quota for quota in found if quota.cores is not None]
    return min(limited, key=lambda quota: quota.cores or 0.0, default=Quota(None, 0, 0))


def memory_left(probe: Probe) -> int | None:
    """Bytes until the tightest memory limit, files that the kernel can drop counted as free; None without a limit."""
    left = []
    for folder in _folders(probe, "memory"):
        for limit_file, used_file, key in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, used = probe.number(f"{folder}/{limit_file}"), probe.number(f"{folder}/{used_file}")
            if limit is not None and used is not None and limit < _NO_LIMIT:
                left.append(max(0, limit - used + _stat(probe, f"{folder}/memory.stat").get(key, 0)))
    return min(left, default=None)


def _folders(probe: Probe, controller: str) -> Iterator[str]:
    """The folders that may limit this process, from its own group up to the mount. Some may not exist."""
    for line in (probe.text("proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mounts = [_MOUNT, f"{_MOUNT}/unified"]
        elif controller in controllers.split(","):
            mounts = [f"{_MOUNT}/{name}" for name in dict.fromkeys((controllers, controller))]
        else:
            continue
        parts = [part for part in path.split("/") if part]
        steps = [] if ".." in parts else parts  # a group outside of what this namespace shows
        for mount in mounts:
            yield from ("/".join([mount, *steps[:depth]]) for depth in range(len(steps), -1, -1))


def _cores(probe: Probe, folder: str) -> float | None:
    """cpu.max: "150000 100000" or "max 100000"; version 1: two files, -1 for no limit."""
    both = (probe.text(f"{folder}/cpu.max") or "").split()
    if len(both) == 2 and all(value.isdigit() for value in both):
        return int(both[0]) / int(both[1])
    share, period = probe.number(f"{folder}/cpu.cfs_quota_us"), probe.number(f"{folder}/cpu.cfs_period_us")
    return share / period if share is not None and period and share > 0 else None


def _stat(probe: Probe, path: str) -> dict[str, int]:
    """Lines like ``nr_throttled 12``."""
    pairs = (line.split() for line in (probe.text(path) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
