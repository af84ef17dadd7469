"""The machine and its software, allocators among it. No torch: versions are read from package metadata."""

import contextlib
import hashlib
import os
import platform
import socket
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path("/")
_PACKAGES = (
    *("shiftbench", "torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "scikit-learn", "triton"),
    *("onnx", "onnxscript", "onnxruntime", "openvino"),
)
_CONVOLUTION_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")  # they decide how fast one is

ALLOCATORS: dict[str, dict[str, str]] = {
    "default": {},
    "retained": {
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # bytes; the largest value that glibc accepts
        "MALLOC_MMAP_MAX_": "0",  # and larger blocks come from the heap too
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
        "MALLOC_TOP_PAD_": str(64 << 20),
    },
}
"""{who owns the memory that features are written to: environment variables of a process that uses this allocator}.

By default glibc gives every large tensor back to the system and gets it again page by page, each page zeroed. With
``retained`` it keeps its heap. Other C libraries do not read these variables.
"""

PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""For processes in which nothing is timed: threads that spin while they wait crawl where a core is busy."""


def why_no_allocator(name: str) -> str | None:
    """Why it cannot be had on this machine; None where it can."""
    if ALLOCATORS[name] and platform.libc_ver()[0] != "glibc":
        return f"the allocator {name!r} needs glibc, which is not this system's C library"
    return None


def usable_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Plain values for the run's header."""
    flags = cpu_flags()
    return {
        "cpu": cpu_model(),
        "cpu_flags": [flag for flag in _CONVOLUTION_FLAGS if flag in flags],
        "cores": usable_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "commit": _commit(),
        "load_before": load_average(),
    }


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str | None]:
    """The packages that a measurement depends on; None where one is not installed."""
    installed: dict[str, str | None] = dict.fromkeys(packages)
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def machine_id() -> str:
    """Distinguishes machines whose latencies must not be mixed. The host name is hashed: runs get published."""
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return f"{cpu_model()}, {usable_cores()} cores (host {host})"


def where_trained() -> dict[str, Any]:
    """The machine and the packages of a training; it may run elsewhere than where the run began."""
    return {"id": machine_id(), "python": platform.python_version(), **versions(("torch", "torchvision", "numpy"))}


def load_average() -> float | None:
    """Of the last minute; None where the system has none."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):  # not obtainable; not on Windows
        return None


def cpu_model(root: Path = ROOT) -> str:
    """The processor's name."""
    return _cpuinfo("model name", root) or platform.processor() or platform.machine()


def cpu_flags(root: Path = ROOT) -> frozenset[str]:
    """Instruction sets as /proc/cpuinfo names them (flags on x86, Features on ARM); empty where it is not there."""
    return frozenset((_cpuinfo("flags", root) or _cpuinfo("Features", root)).split())


def cpu_bf16() -> bool:
    """Whether the processor computes in bf16: with vector instructions or matrix units, not by emulation."""
    return not cpu_flags().isdisjoint(("avx512_bf16", "amx_bf16", "bf16"))


def read_text(path: Path) -> str | None:
    """A file of /proc or /sys without its last line break; None where it is missing, protected or not text."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _cpuinfo(key: str, root: Path) -> str:
    lines = (read_text(root / "proc/cpuinfo") or "").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _commit() -> str | None:
    """The commit of this checkout, with ``+`` where files were changed; None outside a checkout."""
    command, here = ["git", "status", "--porcelain=v2", "--branch"], Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()  # "# branch.oid COMMIT", other headers, and a line for each changed file
    return lines[0].split()[-1] + ("" if lines[-1].startswith("#") else "+")
