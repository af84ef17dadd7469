"""The machine and its software, and what disturbed a measurement. No torch: versions are read from metadata."""

import hashlib
import os
import platform
import resource
import socket
import subprocess
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("shiftbench", "torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "scikit-learn")


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Plain values: processor, cores, memory, system, versions, commit."""
    return {
        "cpu": _cpu_model(),
        "cpu_flags": _cpu_flags(),
        "cores": usable_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "commit": _commit(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def versions() -> dict[str, str | None]:
    """The packages that a measurement depends on; None where one is not installed."""
    return {name: _version(name) for name in _PACKAGES}


def machine_id() -> str:
    """Tells machines apart where latency must not be mixed. The host's name goes in as a hash: runs get published."""
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return f"{_cpu_model()}, {usable_cores()} cores (host {host})"


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def _cpu_model() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpu_flags() -> list[str]:
    """Those instruction sets that decide how fast a convolution is."""
    telling = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
    present = _cpuinfo("flags").split()
    return [flag for flag in telling if flag in present]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this checkout, with ``+`` where files were changed; None outside a checkout."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


@dataclass(frozen=True)
class Disturbance:
    """What the system did so far, seconds and counts; the difference of two is what happened between them.

    own: this process's CPU time. busy: all CPU time of the machine but idle, wait and steal. steal: CPU time that a
    hypervisor took. switches: involuntary context switches of this process. faults: its page faults.
    """

    own: float
    busy: float
    steal: float
    switches: int
    faults: int

    @classmethod
    def now(cls) -> "Disturbance":
        """Read the counters (about 50 µs; between superblocks, never inside a slot)."""
        times = psutil.cpu_times()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        busy = times.user + times.system + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0)
        return cls(
            own=usage.ru_utime + usage.ru_stime,
            busy=busy,
            steal=getattr(times, "steal", 0.0),
            switches=usage.ru_nivcsw,
            faults=usage.ru_minflt + usage.ru_majflt,
        )

    def since(self, earlier: "Disturbance") -> dict[str, float]:
        """The differences, and ``foreign``: CPU time that others used meanwhile."""
        spent = {f.name: getattr(self, f.name) - getattr(earlier, f.name) for f in fields(self)}
        return {**spent, "foreign": max(0.0, spent["busy"] - spent["own"])}

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


def advice() -> list[str]:
    """What will disturb a measurement on this machine, and what the user can do about it."""
    found = []
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.3 * usable_cores():
        found.append(f"the load is {os.getloadavg()[0]:.1f}: close what else is running before a latency run")
    if getattr(psutil.cpu_times(), "steal", 0.0) > 0:
        found.append(
            "a hypervisor takes time from this machine (steal): expect wider intervals, give a larger --budget"
        )
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor.exists() and governor.read_text().strip() != "performance":
        found.append(f"the frequency governor is {governor.read_text().strip()}: 'performance' gives steadier clocks")
    if usable_cores() == 1:
        found.append("one core only: every other process interrupts the one that is measured")
    return found or ["nothing found that would disturb a measurement"]
