"""Who else is using the machine: load, foreign CPU, steal, pressure."""

from bench.stats import exclusion
from bench.system.doctor.advice import Advice, Unknown, note, ok, one_line, warning
from bench.system.doctor.probe import Look, Probe

_LOAD_PER_CORE = 0.3  # one busy process on two cores is 0.5; what this command itself adds stays below 0.1
_STEAL_SINCE_BOOT = 0.005  # share; half a per cent is as much as the differences that people look for
_PRESSURE = 5.0  # per cent of the time with something waiting for a core; an idle desktop shows below 2
_MEMORY_PRESSURE = 1.0  # per cent; any steady value means that pages are being reclaimed
_WIDER = "nothing from inside a virtual machine; give a larger --budget, or measure at a quieter hour"


def load(probe: Probe) -> list[Advice]:
    """The load average of the last minute against the machine's cores."""
    value = probe.load()
    if value is None:
        raise Unknown("load average")
    what = f"the load average is {value:.2f} on {probe.logical_cores} cores"
    if value <= _LOAD_PER_CORE * probe.logical_cores:
        return ok(what)
    return [
        warning(
            what,
            "other work takes turns with the timed forward: more spread, and fewer quiet superblocks",
            "close what else is running (top shows it) and wait a minute: the average also holds what you just ran",
        )
    ]


def short_look(probe: Probe) -> list[Advice]:
    """Foreign CPU and steal during one second, held against the same limits that flag a superblock in a run."""
    look = probe.look()
    if look is None:
        raise Unknown("foreign CPU and steal")
    return [*_foreign(look), *_steal(look)]


def _foreign(look: Look) -> list[Advice]:
    what = f"other processes used {look.foreign:.2f} cores during {look.seconds:.0f} s"
    if not _flagged("foreign", look.foreign):
        return ok(what)
    names = ", ".join(f"{one_line(name, 30)} {cores:.2f}" for name, cores in look.busiest)
    return [
        warning(
            what + (f" (busiest: {names})" if names else " (their names are not visible from here)"),
            "a superblock like this second is flagged as disturbed, and at most "
            f"{100 * exclusion.EXCLUDED_AT_MOST:.0f} % of them are left out: intervals get wider",
            "stop or pause these before a latency run (top shows the PID): kill -STOP PID, afterwards kill -CONT PID",
        )
    ]


def _steal(look: Look) -> list[Advice]:
    since = f"{100 * look.steal_since_boot:.1f} % of all CPU time since boot"
    what = f"the hypervisor took {look.steal:.2f} cores during {look.seconds:.0f} s, {since}"
    if _flagged("steal", look.steal):
        return [warning(what, "superblocks are flagged as disturbed, and intervals get wider", _WIDER)]
    if look.steal_since_boot > _STEAL_SINCE_BOOT:
        return [note(what, "now and then a slot takes longer for no reason of its own: intervals get wider", _WIDER)]
    return ok(f"steal {look.steal:.2f} cores")


def _flagged(counter: str, cores: float) -> bool:
    """Whether a superblock with so much of it would count as disturbed."""
    return bool(exclusion.reasons({counter: cores}, 1.0))


def pressure(probe: Probe) -> list[Advice]:
    """Linux's pressure-stall information: the share of time in which something waited for a core, or for memory."""
    if not probe.has_proc():
        raise Unknown("CPU and memory pressure")
    shares = {what: _averages(probe.text(f"proc/pressure/{what}")) for what in ("cpu", "memory")}
    if not shares["cpu"]:
        return [
            note(
                "this kernel keeps no pressure-stall figures (/proc/pressure)",
                "a run cannot tell when processes waited for a core or for memory; its other flags work",
                "boot with psi=1 where the kernel has it (Linux 4.20 or newer); nothing from inside a container",
            )
        ]
    found = []
    cpu = shares["cpu"]
    shown = f"{cpu['avg10']:.1f} % of the last 10 s and {cpu['avg60']:.1f} % of the last minute"
    if max(cpu.values()) > _PRESSURE:
        found.append(
            warning(
                f"something waited for a core in {shown}",
                "the timed process will wait for its turn too, in the middle of slots",
                "close what else is running, and measure with fewer --threads than there are cores",
            )
        )
    memory = max(shares["memory"].values(), default=0.0)
    if memory > _MEMORY_PRESSURE:
        found.append(
            warning(
                f"something waited for memory in up to {memory:.1f} % of the last minute",
                "page faults become slow and uneven, which strategies that allocate pay for",
                "close what holds much memory (top, then M, sorts by it)",
            )
        )
    return found or ok(f"CPU pressure {cpu['avg10']:.1f} %")


def _averages(text: str | None) -> dict[str, float]:
    """The first line, "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" -> per cent of the last 10 and 60 s."""
    first = (text or "").splitlines()[:1]
    pairs = [field.split("=", 1) for field in (first[0].split() if first else []) if "=" in field]
    try:
        return {key: float(value) for key, value in pairs if key in ("avg10", "avg60")}
    except ValueError:
        return {}
