"""What the doctor reads. Tests give a folder with a few files, and values in place of what psutil and NVML say."""

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from bench.system.counters import look
from bench.system.environment import ROOT, cpu_flags, load_average, read_text
from bench.system.gpu import GpuState, gpu_states

_VIRTUAL = ("KVM", "QEMU", "VMware", "VirtualBox", "Virtual Machine", "HVM domU", "Google Compute Engine", "Amazon EC2")

T = TypeVar("T")


@dataclass(frozen=True)
class Host:
    """A machine as it was read; None where the system does not tell. root: the parent of /proc and /sys.

    affinity: the logical cores that this process may use. foreign, steal: cores that other processes and a hypervisor
    took during a second; busiest: (name, cores) of visible processes. steal_since_boot: the share of all CPU time that
    a hypervisor took, 0 … 1. available, swapped: bytes free without swapping, and in swap. on_mains: None: no battery.
    """

    root: Path = ROOT
    environ: Mapping[str, str] = field(default_factory=dict)
    logical_cores: int = 1
    affinity: frozenset[int] | None = None
    load: float | None = None
    foreign: float | None = None
    steal: float = 0.0
    steal_since_boot: float = 0.0
    busiest: tuple[tuple[str, float], ...] = ()
    available: int | None = None
    swapped: int | None = None
    on_mains: bool | None = None
    gpus: tuple[GpuState, ...] = ()
    gpu_problem: str = ""

    @classmethod
    def read(cls, root: Path = ROOT) -> "Host":
        """This machine."""
        gpus, problem = gpu_states()
        return cls(
            root=root,
            environ=dict(os.environ),
            logical_cores=os.cpu_count() or 1,
            affinity=_ask(lambda: frozenset(psutil.Process().cpu_affinity())),
            load=load_average(),
            **(_ask(_look) or {}),
            available=_ask(lambda: psutil.virtual_memory().available),
            swapped=_ask(lambda: psutil.swap_memory().used),
            on_mains=_ask(lambda: getattr(psutil.sensors_battery(), "power_plugged", None)),
            gpus=gpus,
            gpu_problem=problem,
        )

    @property
    def usable(self) -> frozenset[int]:
        """The logical cores on which this process may run; all of them where the system does not tell."""
        return self.affinity or frozenset(range(self.logical_cores))

    @property
    def product(self) -> str:
        """The machine's name in the firmware's tables; empty where there is none."""
        return self.text("sys/class/dmi/id/product_name") or ""

    @property
    def is_virtual(self) -> bool | None:
        """On x86 the flag ``hypervisor`` decides, elsewhere the firmware's names."""
        flags = cpu_flags(self.root)
        if "fpu" in flags:  # an x86 processor
            return "hypervisor" in flags
        names = f"{self.text('sys/class/dmi/id/sys_vendor') or ''} {self.product}".strip()
        bare = "metal" in self.product  # a cloud's bare-metal machines carry the same vendor
        return any(word in names for word in _VIRTUAL) and not bare if names else None

    def text(self, path: str) -> str | None:
        """A file below the root; None where it is not there."""
        return read_text(self.root / path)

    def core_list(self, path: str) -> frozenset[int] | None:
        """A file like ``0-2,5`` -> {0, 1, 2, 5}; what cannot be read is left out."""
        text, found = self.text(path), set[int]()
        for part in (text or "").split(","):
            first, _, last = part.strip().partition("-")
            if first.isdigit() and (last.isdigit() or not last):
                found |= set(range(int(first), int(last or first) + 1))
        return None if text is None else frozenset(found)


def _ask(read: Callable[[], T]) -> T | None:
    """What psutil answers; None where the system does not tell."""
    try:
        with warnings.catch_warnings():  # psutil warns where /proc/vmstat lacks a counter that is not used here
            warnings.simplefilter("ignore", RuntimeWarning)
            return read()
    except (OSError, psutil.Error, NotImplementedError, AttributeError, IndexError):  # IndexError: an empty /proc
        return None


def _look() -> dict[str, Any]:
    others, totals = look(), psutil.cpu_times()
    return {
        "foreign": others.foreign,
        "steal": others.steal,
        "steal_since_boot": getattr(totals, "steal", 0.0) / max(sum(totals), 1.0),
        "busiest": tuple((name, cores) for name, _, cores in others.busiest),
    }
