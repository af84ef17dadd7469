"""Memory: whether there is enough, and what a page fault costs here."""

from bench.system.doctor import cgroups
from bench.system.doctor.advice import Advice, Unknown, note, ok, warning
from bench.system.doctor.probe import Probe

NEEDED = 3 * 2**30  # bytes: ResNet-50 with its activations below 2 GiB, and the copy curve's two buffers of 512 MiB
_SWAP = 64 * 2**20  # bytes; less than this lies in swap on most machines that were up for a day
_HUGE = "sys/kernel/mm/transparent_hugepage/enabled"
_MARK = "proc/self/clear_refs"
_GIB = 2**30


def left(probe: Probe) -> list[Advice]:
    """What can be had without swapping, within the limit of a container too."""
    memory = probe.memory()
    if memory is None:
        raise Unknown("memory left")
    limit = cgroups.memory_left(probe)
    available = memory.available if limit is None else min(memory.available, limit)
    within = " within this container's limit" if available != memory.available else ""
    what = f"{available / _GIB:.1f} GiB of memory can be had{within}"
    if available >= NEEDED:
        return ok(what)
    return [
        warning(
            f"{what}; ResNet-50 and the copy curve up to 512 MiB need about {NEEDED / _GIB:.0f} GiB",
            "the machine will swap or end a worker, which is then recorded as a failed case",
            "close what holds much memory, raise the container's limit, or take --backbone resnet18 and fewer --frames",
        )
    ]


def swap(probe: Probe) -> list[Advice]:
    """Whether something lies in swap."""
    memory = probe.memory()
    if memory is None:
        raise Unknown("swap")
    what = f"{memory.swapped / 2**20:.0f} MiB lie in swap"
    if memory.swapped < _SWAP:
        return ok("no swap in use" if memory.swapped == 0 else what)
    return [
        note(
            what,
            "memory was short before; a page that comes back from disk costs milliseconds in the middle of a slot",
            "close what holds much memory, then: sudo swapoff -a && sudo swapon -a",
        )
    ]


def huge_pages(probe: Probe) -> list[Advice]:
    """The mode of transparent huge pages: "always [madvise] never"."""
    text = probe.text(_HUGE)
    if text is None or "[" not in text:
        raise Unknown("transparent huge pages")
    mode = text.partition("[")[2].partition("]")[0]
    if mode == "never":
        return ok("transparent huge pages: never")
    return [
        note(
            f"transparent huge pages: {mode}",
            "with 'always' a fault maps 2 MiB at once, with 'madvise' only where a program asks for it: the overhead "
            "of strategies that allocate depends on it",
            f"nothing for a single run; set machines that are to be compared alike: echo {mode} | sudo tee /{_HUGE}",
        )
    ]


def high_water_mark(probe: Probe) -> list[Advice]:
    """Whether the resident high-water mark can be set back, which its measurement needs."""
    if not probe.has_proc():
        raise Unknown("resident high-water mark")
    if probe.can_write(probe.root / _MARK):
        return ok("the resident high-water mark can be set back")
    return [
        note(
            f"/{_MARK} cannot be written",
            "peak_rss_mb stays empty; peak_memory_mb (live bytes) and all latencies are measured as ever",
            "run outside of a sandbox that protects /proc, or do without",
        )
    ]
