"""The machine and its software. No torch: versions are read from metadata."""

import hashlib
import os
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = (
    *("shiftbench", "torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "scikit-learn", "triton"),
    *("onnx", "onnxscript", "onnxruntime", "openvino"),
)


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


def where_trained() -> dict[str, Any]:
    """The machine and the packages of a training, which need not be those where the run began."""
    known = versions()
    packages = {name: known[name] for name in ("torch", "torchvision", "numpy")}
    return {"id": machine_id(), "python": platform.python_version(), **packages}


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


def cpu_bf16() -> bool:
    """Whether the processor computes in bf16: with vector instructions or matrix units, not by emulation."""
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint((_cpuinfo("flags") + " " + _cpuinfo("Features")).split())


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
