"""What the system did to a measurement: counters read at the edges of slots and superblocks. No torch.

Everything is read outside the timed part. A machine without /proc (macOS) gives what psutil and getrusage know; what it
cannot tell is NaN, never an error.
"""

import math
import os
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # kernel ticks in a second
_PROC_STAT = Path("/proc/stat")
_PRESSURE = Path("/proc/pressure")
_MICRO = 1e-6


@dataclass(frozen=True)
class Counters:
    """Totals since the process or the machine began, in seconds and counts; cheap enough for the edges of a slot.

    own: this process's CPU time. busy: all CPU time of the machine but idle, wait and steal. steal: CPU time that a
    hypervisor took. switches: involuntary context switches of this process. faults: its page faults.
    """

    own: float
    busy: float
    steal: float
    switches: int
    faults: int

    @classmethod
    def now(cls) -> "Counters":
        """Read them (some 20 µs; never inside a slot)."""
        busy, steal = _machine_times()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(
            own=usage.ru_utime + usage.ru_stime,
            busy=busy,
            steal=steal,
            switches=usage.ru_nivcsw,
            faults=usage.ru_minflt + usage.ru_majflt,
        )

    def since(self, earlier: "Counters") -> dict[str, float]:
        """The differences, and ``foreign``: CPU time that others used meanwhile."""
        own, busy = self.own - earlier.own, self.busy - earlier.busy
        return {
            "own": own,
            "busy": busy,
            "foreign": max(0.0, busy - own),
            "steal": self.steal - earlier.steal,
            "switches": self.switches - earlier.switches,
            "faults": self.faults - earlier.faults,
        }


@dataclass(frozen=True)
class Disturbance:
    """The same with what is looked at once a superblock.

    wall: seconds on the monotonic clock. major_faults: page faults that waited for a disk. load: the load average, a
    level and not a total. pressure: seconds in which some process waited for CPU, memory or disk (Linux's
    pressure-stall information), NaN where the system has none.
    """

    counters: Counters
    wall: float
    major_faults: int
    load: float
    pressure_cpu: float
    pressure_memory: float
    pressure_io: float

    @classmethod
    def now(cls) -> "Disturbance":
        """Read everything (about 100 µs)."""
        return cls(
            counters=Counters.now(),
            wall=time.monotonic(),
            major_faults=resource.getrusage(resource.RUSAGE_SELF).ru_majflt,
            load=os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan,
            **{f"pressure_{what}": _pressure(what) for what in ("cpu", "memory", "io")},
        )

    def since(self, earlier: "Disturbance") -> dict[str, float]:
        """Plain values: what happened between the two, and the load at the end."""
        own = {key: value for key, value in asdict(self).items() if key != "counters"}
        spent = {key: value - getattr(earlier, key) for key, value in own.items()}
        return {**self.counters.since(earlier.counters), **spent, "load": self.load}


def foreign_share(seconds: float) -> float:
    """Cores that others kept busy during a short sleep: what a quiet-machine gate looks at."""
    before, start = Counters.now(), time.monotonic()
    time.sleep(seconds)
    return Counters.now().since(before)["foreign"] / (time.monotonic() - start)


def _machine_times() -> tuple[float, float]:
    """(busy, steal) of all cores in seconds."""
    try:
        with open(_PROC_STAT, "rb", buffering=0) as file:
            fields_ = file.read(256).split(b"\n", 1)[0].split()
        user, nice, system, _, _, irq, softirq, steal = (int(value) / _TICK for value in fields_[1:9])
        return user + nice + system + irq + softirq, steal
    except (OSError, ValueError):
        times = psutil.cpu_times()
        return times.user + times.system + getattr(times, "nice", 0.0), getattr(times, "steal", 0.0)


def _pressure(what: str) -> float:
    """Seconds of stall since the machine began; NaN where the system does not say."""
    try:
        first = (_PRESSURE / what).read_text().splitlines()[0]  # "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234"
        return int(first.rsplit("total=", 1)[1]) * _MICRO
    except (OSError, IndexError, ValueError):
        return math.nan
