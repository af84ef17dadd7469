"""Which cores a measurement gets: CPU quota, affinity, threads of one physical core, NUMA."""

from bench.system.doctor import cgroups
from bench.system.doctor.advice import Advice, Unknown, note, ok, warning
from bench.system.doctor.probe import Probe

_CPU = "sys/devices/system/cpu"
_NODE = "sys/devices/system/node"
_RUN = "uv run run_bench.py run"


def quota(probe: Probe) -> list[Advice]:
    """A quota below the number of cores stops a process in the middle of its slots, until the next period."""
    if not cgroups.known(probe):
        raise Unknown("CPU quota")
    limit, cores = cgroups.quota(probe), len(probe.usable())
    if limit.cores is None:
        return ok("no CPU quota")
    stopped = f"; it was stopped in {limit.throttled} of {limit.periods} periods so far" if limit.periods else ""
    what = f"a CPU quota allows {limit.cores:.2f} cores of {cores}{stopped}"
    if limit.cores >= cores and not limit.throttled:
        return ok(what)
    threads = max(1, int(limit.cores))
    return [
        warning(
            what,
            "a process that uses up its quota is stopped for the rest of a period (mostly 100 ms), inside a slot",
            "give the container whole cores (docker run --cpuset-cpus=0-1, without --cpus), or measure with "
            f"--threads {threads}",
        )
    ]


def affinity(probe: Probe) -> list[Advice]:
    """How many of the machine's cores this process may use."""
    cores, there = len(probe.usable()), probe.logical_cores
    if cores == 1:
        return [
            warning(
                f"one core only is usable, of {there}",
                "every other process interrupts the one that is measured, the suite's own parent included",
                "give the machine or the container a second core (taskset -pc $$ shows what this shell may use)",
            )
        ]
    if cores < there:
        return [
            note(
                f"this process may use {cores} of {there} cores",
                f"--threads above {cores} is refused, and work on the other cores shares caches and memory bandwidth",
                "keep the other cores quiet, or start from a shell without the restriction (taskset -pc $$ shows it)",
            )
        ]
    return ok(f"all {cores} cores usable")


def siblings(probe: Probe) -> list[Advice]:
    """Whether logical cores share a physical one (simultaneous multithreading)."""
    usable = probe.usable()
    groups = set()
    for core in usable:
        listed = probe.text(f"{_CPU}/cpu{core}/topology/thread_siblings_list")
        if listed is None:
            raise Unknown("threads of one physical core")
        groups.add(core_list(listed) | {core})
    shared = [group for group in groups if len(group & usable) > 1]
    if shared:
        firsts = ",".join(str(core) for core in sorted(min(group & usable) for group in groups))
        return [
            note(
                f"the {len(usable)} usable cores are {len(groups)} physical ones: some share their arithmetic units",
                "two threads on one physical core slow each other down, and where they land differs between processes",
                f"one thread for each physical core: taskset -c {firsts} {_RUN} --threads {len(groups)}",
            )
        ]
    if any(group - usable for group in groups):
        return [
            note(
                "the usable cores share physical cores with some that this process may not use",
                "whatever runs there slows this process down without taking its turn: no switch is counted",
                "keep the sibling cores quiet, or give the container whole physical cores",
            )
        ]
    return ok("one thread for each physical core")


def numa(probe: Probe) -> list[Advice]:
    """Several memory nodes: what a page costs depends on which of them it lies on."""
    online = probe.text(f"{_NODE}/online")
    if online is None:
        raise Unknown("NUMA nodes")
    nodes = core_list(online)
    cores = {node: core_list(probe.text(f"{_NODE}/node{node}/cpulist") or "") & probe.usable() for node in nodes}
    mine = sorted(node for node in nodes if cores[node])
    if len(mine) <= 1:
        return ok(f"{len(nodes)} NUMA node{'s' if len(nodes) != 1 else ''}, this process on one")
    return [
        note(
            f"the usable cores lie on {len(mine)} NUMA nodes",
            "memory of the other node is slower, and on which node a tensor lies changes from process to process",
            f"stay on one: numactl --cpunodebind={mine[0]} --membind={mine[0]} {_RUN}",
        )
    ]


def core_list(text: str) -> frozenset[int]:
    """``"0-2,5"`` -> {0, 1, 2, 5}; what cannot be read is left out."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (last.isdigit() or not last):
            found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)
