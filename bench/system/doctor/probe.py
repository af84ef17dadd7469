"""Where the doctor reads everything. Tests give a folder with a few files and readers of their own."""

import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.system.doctor.nvml import Nvidia, read_nvidia

LOOK_SECONDS = 1.0  # the kernel counts CPU time in ticks of 10 ms: one second resolves a hundredth of a core
_NAMES_AT_MOST = 3
_WORTH_NAMING = 0.02  # cores
_NO_ANSWER = (
    OSError,
    psutil.Error,
    NotImplementedError,
    AttributeError,
)  # what psutil raises where a system does not tell

_BUSY = ("user", "nice", "system", "irq", "softirq")  # Linux's user time holds the guests' time already


@dataclass(frozen=True)
class Look:
    """One short look at the machine, in cores. busiest: (name, cores) of other processes, as far as they may be seen.

    steal_since_boot: the share of all CPU time that a hypervisor took since the machine started, 0 … 1.
    """

    seconds: float
    foreign: float
    steal: float
    steal_since_boot: float
    busiest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Memory:
    """Bytes: what can be had without swapping, and what lies in swap."""

    available: int
    swapped: int


@dataclass(frozen=True)
class CudaDevice:
    """A GPU as torch sees it; capability as in (9, 0)."""

    name: str
    capability: tuple[int, int]


def short_look() -> Look | None:
    """Watch for ``LOOK_SECONDS`` what others do; None where the system does not tell."""
    try:
        processes, seen = _processes(), time.monotonic()
        start, own, before = time.monotonic(), time.process_time(), psutil.cpu_times()
        time.sleep(LOOK_SECONDS)
        wall, own, after = time.monotonic() - start, time.process_time() - own, psutil.cpu_times()
        later, apart = _processes(), time.monotonic() - seen
    except _NO_ANSWER:
        return None
    busy = sum(getattr(after, name, 0.0) - getattr(before, name, 0.0) for name in _BUSY)
    steal = getattr(after, "steal", 0.0)
    used = [(name, (seconds - processes[key][1]) / apart) for key, (name, seconds) in later.items() if key in processes]
    worth = sorted((item for item in used if item[1] >= _WORTH_NAMING), key=lambda item: -item[1])
    return Look(
        seconds=wall,
        foreign=max(0.0, busy - own) / wall,
        steal=(steal - getattr(before, "steal", 0.0)) / wall,
        steal_since_boot=steal / max(sum(after), 1.0),
        busiest=tuple(worth[:_NAMES_AT_MOST]),
    )


def _processes() -> dict[tuple[int, float], tuple[str, float]]:
    """{(process id, start): (name, CPU seconds)} of the others that may be looked at; none where nobody may be."""
    found = {}
    try:
        for process in psutil.process_iter(["name", "cpu_times", "create_time"]):  # None where access is denied
            times = process.info["cpu_times"]
            if process.pid != os.getpid() and times is not None:
                key = (process.pid, process.info["create_time"] or 0.0)
                found[key] = (process.info["name"] or f"process {process.pid}", times.user + times.system)
    except (*_NO_ANSWER, IndexError):  # psutil looks at the first of no processes where /proc is hidden
        return {}
    return found


def load_average() -> float | None:
    """Of the last minute; None where the system has none."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):  # not obtainable; not on Windows
        return None


def affinity() -> frozenset[int] | None:
    """The logical cores on which this process may run; None where that cannot be told (macOS)."""
    try:
        return frozenset(psutil.Process().cpu_affinity())
    except _NO_ANSWER:
        return None


def read_memory() -> Memory | None:
    """None where the system does not tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # psutil warns where /proc/vmstat lacks a counter not used here
            return Memory(psutil.virtual_memory().available, psutil.swap_memory().used)
    except _NO_ANSWER:
        return None


def on_mains() -> bool | None:
    """Whether a laptop is plugged in; None without a battery, or where the system does not tell."""
    try:
        battery = psutil.sensors_battery()
    except _NO_ANSWER:
        return None
    return None if battery is None else battery.power_plugged


def can_write(path: Path) -> bool:
    """Whether this process may write an existing file; nothing is written."""
    return os.access(path, os.W_OK)


def cuda_devices() -> tuple[CudaDevice, ...]:
    """The GPUs that the installed torch can use. Imports torch (a second or two)."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a driver too old for this torch: then there is no device
        if not torch.cuda.is_available():
            return ()
    indices = range(torch.cuda.device_count())
    return tuple(CudaDevice(torch.cuda.get_device_name(i), torch.cuda.get_device_capability(i)) for i in indices)


@dataclass(frozen=True)
class Probe:
    """Everything that the doctor looks at. root: where /proc and /sys hang."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    logical_cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    load: Callable[[], float | None] = load_average
    look: Callable[[], Look | None] = short_look
    affinity: Callable[[], frozenset[int] | None] = affinity
    memory: Callable[[], Memory | None] = read_memory
    on_mains: Callable[[], bool | None] = on_mains
    can_write: Callable[[Path], bool] = can_write
    nvidia: Callable[[], Nvidia] = read_nvidia
    cuda: Callable[[], tuple[CudaDevice, ...]] = cuda_devices

    def text(self, path: str) -> str | None:
        """A file's text without blank ends; None where it is not there, may not be read or is no text."""
        try:
            return (self.root / path).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

    def number(self, path: str) -> int | None:
        """A file that holds one whole number."""
        text = self.text(path)
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def has_proc(self) -> bool:
        """Whether this is Linux, with /proc mounted."""
        return self.text("proc/stat") is not None

    def usable(self) -> frozenset[int]:
        """The logical cores on which this process may run; all of them where the system does not tell."""
        return self.affinity() or frozenset(range(self.logical_cores))
