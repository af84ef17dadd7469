"""What the system did to a measurement: counters read at the edges of slots and superblocks. No torch.

Nothing is read inside the timed part. What a system does not tell is NaN, never an error.
"""

import math
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from bench.system.environment import ROOT, load_average, read_text, usable_cores

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # kernel ticks in a second
_PROC_STAT = Path("/proc/stat")

DISTURBED_CORES = 0.08  # during one second: where the rules of a run (stats.exclusion) call a superblock disturbed
LOOK_SECONDS = 1.0  # the kernel counts CPU time in ticks of 10 ms: one second resolves a hundredth of a core
_DISTURBED_SHARE = 0.04  # of the usable cores: on a large machine the system itself keeps a few per cent of one busy
_NAMES_AT_MOST = 3
_WORTH_NAMING = 0.02  # cores


@dataclass(frozen=True)
class Counters:
    """Totals since the process or the machine began, in seconds and counts; cheap enough for the edges of a slot.

    own: this process's CPU time. busy: all CPU time of the machine except idle, wait and steal. steal: CPU time that
    a hypervisor took. switches: involuntary context switches of this process. faults: its page faults.
    """

    own: float
    busy: float
    steal: float
    switches: int
    faults: int

    @classmethod
    def now(cls) -> Self:
        """Read them: about 20 µs, never inside a slot."""
        busy, steal = _machine_times()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        own, faults = usage.ru_utime + usage.ru_stime, usage.ru_minflt + usage.ru_majflt
        return cls(own, busy, steal, usage.ru_nivcsw, faults)

    def since(self, earlier: Self) -> dict[str, float]:
        """The differences, and ``foreign``: CPU time that other processes used meanwhile."""
        spent = {name: value - getattr(earlier, name) for name, value in vars(self).items()}
        return {**spent, "foreign": max(0.0, spent["busy"] - spent["own"])}


@dataclass(frozen=True)
class Disturbance(Counters):
    """The same, and what is read once a superblock.

    wall: seconds on the monotonic clock. major_faults: page faults that waited for a disk. load: the load average, a
    level and not a total. pressure_…: seconds in which some process waited for it (Linux's pressure-stall information).
    stops: how often this process was stopped and went on (``counting_stops``). suspended: seconds for which the machine
    slept.
    """

    wall: float
    major_faults: int
    load: float
    pressure_cpu: float
    pressure_memory: float
    pressure_io: float
    stops: int
    suspended: float

    @classmethod
    def now(cls) -> Self:
        """Read everything: about 100 µs."""
        load = load_average()
        return cls(
            **vars(Counters.now()),
            wall=time.monotonic(),
            major_faults=resource.getrusage(resource.RUSAGE_SELF).ru_majflt,
            load=math.nan if load is None else load,
            pressure_cpu=pressure("cpu").get("total", math.nan) * 1e-6,
            pressure_memory=pressure("memory").get("total", math.nan) * 1e-6,
            pressure_io=pressure("io").get("total", math.nan) * 1e-6,
            stops=_STOPS.seen,
            suspended=_suspended(),
        )

    def since(self, earlier: Self) -> dict[str, float]:
        """What happened between the two, and the load at the end."""
        return {**super().since(earlier), "load": self.load}


@dataclass
class _Stops:
    seen: int = 0

    def note(self, *_: object) -> None:
        self.seen += 1


_STOPS = _Stops()


@contextmanager
def counting_stops() -> Iterator[None]:
    """While the body runs, ``Disturbance`` counts how often this process is stopped (SIGSTOP) and goes on (SIGCONT)."""
    if threading.current_thread() is not threading.main_thread():  # only that one is told of signals
        yield
        return
    before = signal.signal(signal.SIGCONT, _STOPS.note)
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, before)


def _suspended() -> float:
    """Seconds since boot for which the machine slept: one of Linux's two clocks stands still meanwhile."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return math.nan
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def cores_used(seconds: float) -> dict[str, float]:
    """``Counters.since`` a short sleep, for each second of it: how many cores were busy for whom."""
    before, start = Counters.now(), time.monotonic()
    time.sleep(seconds)
    spent, wall = Counters.now().since(before), time.monotonic() - start
    return {name: value / wall for name, value in spent.items()}


def foreign_share(seconds: float) -> float:
    """The number of cores that others kept busy: what the quiet-machine gate reads."""
    return cores_used(seconds)["foreign"]


def disturbed_cores() -> float:
    """Cores that others may keep busy on this machine before a measurement is disturbed."""
    return max(DISTURBED_CORES, _DISTURBED_SHARE * usable_cores())


@dataclass(frozen=True)
class Others:
    """What others did to this machine during a look, in cores: other processes (foreign) and a hypervisor (steal).

    busiest: (name, pid, cores) of those processes that use most, as far as they are visible from here.
    """

    foreign: float
    steal: float
    busiest: tuple[tuple[str, int, float], ...] = ()

    @property
    def disturb(self) -> bool:
        """They would disturb a measurement."""
        return max(self.foreign, self.steal) > disturbed_cores()

    def __str__(self) -> str:
        """``1.0 cores busy with miner (4711)``."""
        names = ", ".join(f"{''.join(filter(str.isprintable, name))[:30]} ({pid})" for name, pid, _ in self.busiest)
        busy = f"{self.foreign:.1f} cores busy with {names or 'others, whose names are not visible from here'}"
        taken = f"{self.steal:.1f} cores taken by the hypervisor"
        told = [text for text, cores in ((busy, self.foreign), (taken, self.steal)) if cores > disturbed_cores()]
        return " and ".join(told) or "quiet"


def look(seconds: float = LOOK_SECONDS) -> Others:
    """See what others do for so many seconds: what ``doctor`` says, and a run before it measures anything."""
    _busiest()  # psutil's first answer for a process is zero: it starts a clock
    used = cores_used(seconds)
    return Others(used["foreign"], used["steal"], _busiest())


def _busiest() -> tuple[tuple[str, int, float], ...]:
    """(name, pid, cores since the previous call) of the other processes that use most."""
    try:
        seen = [process.info for process in psutil.process_iter(["pid", "name", "cpu_percent"])]
    except (OSError, psutil.Error):
        return ()
    others = [
        (item["name"] or "?", item["pid"], (item["cpu_percent"] or 0.0) / 100)
        for item in seen
        if item["pid"] != os.getpid()
    ]
    worth = [item for item in others if item[2] >= _WORTH_NAMING]
    return tuple(sorted(worth, key=lambda item: -item[2])[:_NAMES_AT_MOST])


def _machine_times() -> tuple[float, float]:
    """(busy, steal) of all cores in seconds. Not by psutil where there is /proc: it would read all of the file."""
    try:
        with open(_PROC_STAT, "rb", buffering=0) as file:
            fields = file.read(256).split(b"\n", 1)[0].split()
        user, nice, system, _, _, irq, softirq, steal = (int(value) / _TICK for value in fields[1:9])
        return user + nice + system + irq + softirq, steal
    except (OSError, ValueError):
        times = psutil.cpu_times()
        return times.user + times.system + getattr(times, "nice", 0.0), getattr(times, "steal", 0.0)


def pressure(resource_name: str, root: Path = ROOT) -> dict[str, float]:
    """Linux's pressure-stall information: how long something waited for ``cpu``, ``memory`` or ``io``.

    avg10, avg60, avg300: per cent of the last seconds; total: microseconds. Empty where the system does not tell.
    """
    first = (read_text(root / "proc/pressure" / resource_name) or "").partition("\n")[0]
    try:  # "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234"
        return {name: float(value) for name, value in (field.split("=") for field in first.split()[1:])}
    except ValueError:
        return {}
