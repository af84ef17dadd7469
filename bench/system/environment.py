"""The machine and its software: what a run's header says of them, and what tells two machines apart.

No torch: versions are read from package metadata. What a system does not tell is absent, never an error.
"""

import contextlib
import functools
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from bench.system.gpu import known_gpus

ROOT = Path("/")
_PACKAGES = (
    *("shiftbench", "torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "scikit-learn", "triton"),
    *("onnx", "onnxscript", "onnxruntime", "openvino"),
)
_CONVOLUTION_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")  # they decide how fast one is

_PROCESSOR = {  # what lscpu and macOS's sysctl call a fact, and what it is called here
    **{"Vendor ID": "vendor", "CPU family": "family", "Model": "model", "Stepping": "stepping"},
    **{"machdep.cpu.vendor": "vendor", "machdep.cpu.family": "family", "machdep.cpu.model": "model"},
    **{"machdep.cpu.stepping": "stepping", "machdep.cpu.microcode_version": "microcode"},
    **{"Hypervisor vendor": "hypervisor", "kern.hv_vmm_present": "hypervisor"},
    **{"L1d cache": "l1d_cache", "L2 cache": "l2_cache", "L3 cache": "l3_cache"},
    **{"hw.l1dcachesize": "l1d_cache", "hw.l2cachesize": "l2_cache", "hw.l3cachesize": "l3_cache"},
}
_ASK_PROCESSOR = {
    "linux": ("lscpu",),
    "darwin": ("sysctl", "machdep.cpu", "kern.hv_vmm_present", "hw.l1dcachesize", "hw.l2cachesize", "hw.l3cachesize"),
}
_ASK_ID = ("ioreg", "-rd1", "-c", "IOPlatformExpertDevice")  # macOS: a line "IOPlatformUUID" = "…"

PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""For processes in which nothing is timed: threads that spin while they wait crawl where a core is busy."""


def usable_cores(root: Path = ROOT) -> int:
    """The number of cores that this process may use: those that it may run on, and no more than a CPU quota gives.

    Threads beyond a quota take turns: all of them stop for the rest of a period as soon as it is used up.
    """
    from bench.system import cgroups  # which reads files as this module does

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(cores, cgroups.cpu_quota(root).cores)))


def cache_folder() -> Path:
    """Where what can be made again is kept: the user's cache; for users without a home, among temporary files."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "shiftbench"
    try:
        return Path.home() / ".cache" / "shiftbench"
    except RuntimeError:  # a container's user may be in no list
        return Path(tempfile.gettempdir()) / f"shiftbench-cache-{os.getuid()}"


def describe_machine() -> dict[str, Any]:
    """Plain values for the run's header."""
    flags = cpu_flags()
    return {
        "cpu": cpu_model(),
        "cpu_flags": [flag for flag in _CONVOLUTION_FLAGS if flag in flags],
        "cores": usable_cores(),
        "cpu_quota": _quota(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "machine": machine_facts(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "commit": _commit(),
        "load_before": load_average(),
    }


def _quota() -> str | None:
    """What a container's or a service manager's limit leaves, where there is one."""
    from bench.system import cgroups

    cores = cgroups.cpu_quota().cores
    return None if math.isinf(cores) else f"{cores:g} cores of {os.cpu_count() or 1}"


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str | None]:
    """The packages that a measurement depends on; None where one is not installed."""
    installed: dict[str, str | None] = dict.fromkeys(packages)
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def machine_facts() -> dict[str, Any]:
    """What tells machines apart whose latencies must not be mixed.

    processor: vendor, family, model, stepping, microcode, caches and hypervisor, as far as they are known. own: the id
    that the system was given when it was installed. gpus: name and UUID. Ids are hashed, for runs get published; copies
    of one disk image on equal processors have the same.
    """
    processor = processor_facts(_output(_ASK_PROCESSOR.get(sys.platform)))
    if microcode := _cpuinfo("microcode", ROOT):
        processor["microcode"] = microcode
    own = read_text(ROOT / "etc/machine-id") or platform_uuid(_output(_ASK_ID if sys.platform == "darwin" else None))
    gpus = [{"name": name, "uuid": uuid and _hashed(uuid)} for name, uuid in known_gpus()]
    return {"processor": processor, "own": own and _hashed(own), "gpus": gpus}


def processor_facts(text: str) -> dict[str, str]:
    """From the lines ``name: value`` of lscpu or sysctl."""
    told = (line.partition(":") for line in text.splitlines())
    return {_PROCESSOR[name.strip()]: value.strip() for name, _, value in told if name.strip() in _PROCESSOR}


def platform_uuid(text: str) -> str | None:
    """From what macOS's ioreg says."""
    found = (line.split('"')[3] for line in text.splitlines() if '"IOPlatformUUID"' in line)
    return next(found, None)


@functools.cache
def machine_id() -> str:
    """Distinguishes machines whose latencies must not be mixed: readable, and with a hash of ``machine_facts``."""
    facts = {**machine_facts(), "gib": round(psutil.virtual_memory().total / 2**30)}
    parts = [cpu_model(), f"{usable_cores()} cores", *(gpu["name"] for gpu in facts["gpus"])]
    return f"{', '.join(parts)} ({_hashed(json.dumps(facts, sort_keys=True))})"


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


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _output(command: Sequence[str] | None) -> str:
    """What a program prints; empty where it is not there or fails."""
    if command is None:
        return ""
    try:
        environ = {**os.environ, "LC_ALL": "C"}
        return subprocess.run(command, capture_output=True, text=True, timeout=10, env=environ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _commit() -> str | None:
    """The commit of this checkout, with ``+`` where files were changed; None outside a checkout."""
    command, here = ["git", "status", "--porcelain=v2", "--branch"], Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()  # "# branch.oid COMMIT", other headers, and a line for each changed file
    return lines[0].split()[-1] + ("" if lines[-1].startswith("#") else "+")
