"""What will disturb a measurement on this machine, and what the user can do about it; what it can measure at all.

``advice``        what the doctor says: severity, figure seen, effect, remedy; and as lines for a terminal
``probe``         where everything is read: a root folder, the environment and a few readers, all injectable
``cgroups``       the limits that a container or a service manager sets
``contention``    load, foreign CPU, steal, pressure
``cores``         CPU quota, affinity, threads of one physical core, NUMA
``memory``        memory left, swap, transparent huge pages, the resident high-water mark
``clocks``        virtual machine, frequency governor, turbo, battery
``variables``     environment variables that change allocator, threads or instruction sets
``nvidia``        what NVML tells of a GPU, and what that does to a measurement
``capabilities``  devices, threads, dtypes, sections

Nothing is ever changed here. A check that cannot be made on a system is named in one common line, never an error.
"""

from collections.abc import Callable

from bench.system.doctor import clocks, contention, cores, memory, nvidia, variables
from bench.system.doctor.advice import Advice, Unknown, lines, note
from bench.system.doctor.capabilities import capabilities
from bench.system.doctor.probe import Probe

__all__ = ["Advice", "Probe", "capabilities", "diagnose", "lines"]

CHECKS: tuple[Callable[[Probe], list[Advice]], ...] = (
    contention.load,
    contention.short_look,
    contention.pressure,
    cores.quota,
    cores.affinity,
    cores.siblings,
    cores.numa,
    memory.left,
    memory.swap,
    memory.huge_pages,
    memory.high_water_mark,
    clocks.virtual_machine,
    clocks.governor,
    clocks.turbo,
    clocks.battery,
    variables.variables,
    nvidia.gpus,
)


def diagnose(probe: Probe | None = None) -> list[Advice]:
    """Every check, in the order of ``CHECKS``; takes the second of ``contention.short_look``.

    What was looked at and found in order is there too, as ``ok``. Checks that this system does not allow come last,
    together in one note.
    """
    probe = probe or Probe()
    found: list[Advice] = []
    unknown: list[str] = []
    for check in CHECKS:
        try:
            found += check(probe)
        except Unknown as missing:
            unknown.append(str(missing))
    if unknown:
        found.append(
            note(
                f"this system does not tell: {', '.join(unknown)}",
                "these may disturb a measurement unseen",
                "look at them by other means; the A/A twin of every run still shows whether the machine was quiet",
            )
        )
    return found
