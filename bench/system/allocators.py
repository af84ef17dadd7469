"""Whose memory features are written to: what a process needs for an allocator, and what to tell those who deploy.

By default glibc gives every large tensor back to the system and gets it again page by page, each page zeroed by the
kernel. On CPUs that is most of what the released shift costs. Other C libraries do not read glibc's variables.
Source: mallopt(3); "The GNU C Library", Memory Allocation Tunables; PyTorch's performance tuning guide (jemalloc).
"""

import ctypes.util
import os
import platform
import re

from bench.system.environment import ROOT, read_text

HUGE_PAGES = "sys/kernel/mm/transparent_hugepage/enabled"

_VARIABLES: dict[str, dict[str, str]] = {
    "default": {},
    "retained": {
        "MALLOC_MMAP_MAX_": "0",  # blocks: large ones come from the heap too
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),  # bytes of free heap that are kept
        "MALLOC_TOP_PAD_": str(64 << 20),
    },
    "huge": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    # as they come, jemalloc gives blocks of 8 MiB and more back at once, mimalloc those of 16 MiB and more
    "jemalloc": {"MALLOC_CONF": "oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1"},
    "mimalloc": {
        "MIMALLOC_RESERVE_OS_MEMORY": "2GiB",
        "MIMALLOC_ALLOW_DECOMMIT": "0",  # version 2.0
        "MIMALLOC_PURGE_DELAY": "-1",  # since 2.1
    },
}
_GLIBC_SINCE = {"retained": (2, 0), "huge": (2, 35)}
_PRELOADED = ("jemalloc", "mimalloc")
_SETTING = re.compile(r"MALLOC_|MIMALLOC_|GLIBC_TUNABLES=.*glibc\.malloc\.|LD_PRELOAD=.*(malloc|hoard)")
_ALLOCATOR_LIBRARY = re.compile("malloc|hoard")  # jemalloc, mimalloc, tcmalloc, rpmalloc, snmalloc


def variables(name: str) -> dict[str, str | None]:
    """The environment of a process that uses this allocator; None: not set, whatever the user's shell says.

    What the shell preloads or tunes beside allocators is kept.
    """
    wanted: dict[str, str | None] = {**dict.fromkeys(in_force()), **_VARIABLES[name]}
    library = ctypes.util.find_library(name) if name in _PRELOADED else None
    preloaded = re.split("[ :]+", os.environ.get("LD_PRELOAD", ""))
    kept = [library or "", *(own for own in preloaded if not _ALLOCATOR_LIBRARY.search(own))]
    tunables = os.environ.get("GLIBC_TUNABLES", "").split(":")
    tuned = [wanted.get("GLIBC_TUNABLES") or "", *(own for own in tunables if not own.startswith("glibc.malloc."))]
    for variable, parts in (("LD_PRELOAD", kept), ("GLIBC_TUNABLES", tuned)):
        value = ":".join(filter(None, parts)) or None
        if value or variable in os.environ:
            wanted[variable] = value
    return wanted


def in_force() -> dict[str, str]:
    """The variables of this process that change its allocator."""
    return {name: value for name, value in os.environ.items() if _SETTING.match(f"{name}={value}")}


def why_not(name: str, device: str = "cpu") -> str | None:
    """Why it cannot be had on this machine, or would change nothing on this device; None where it can."""
    if name == "default":
        return None
    if device != "cpu":
        return f"the allocator {name!r} changes nothing on {device}: features lie in PyTorch's own pool there"
    if name in _PRELOADED:
        if platform.system() != "Linux":
            return f"the allocator {name!r} is loaded by LD_PRELOAD, which only Linux has"
        return None if ctypes.util.find_library(name) else f"lib{name} is not installed, or ldconfig does not know it"
    library, version = platform.libc_ver()
    if library != "glibc":
        return f"the allocator {name!r} needs glibc, which is not this system's C library"
    since = _GLIBC_SINCE[name]
    if tuple(int(part) for part in version.split(".")[:2]) < since:
        return f"the allocator {name!r} needs glibc {since[0]}.{since[1]} or newer; this is {version}"
    if name == "huge" and "[never]" in (read_text(ROOT / HUGE_PAGES) or "[never]"):
        return "transparent huge pages are off on this machine"
    return None


def advice() -> str | None:
    """How a deployed network on a CPU keeps its heap, in one line; None where it cannot, or was told to already."""
    if why_not("retained") or _VARIABLES["retained"].keys() <= os.environ.keys():
        return None
    setting = " ".join(f"{name}={value}" for name, value in _VARIABLES["retained"].items())
    return f"on a CPU start with {setting}: glibc then keeps its heap, and the kernel does not zero each page anew"
