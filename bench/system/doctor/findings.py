"""The checks: each reads one thing of a host and says what was seen, what it does to a measurement, and what to do."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from bench.system import cgroups
from bench.system.doctor.host import Host
from bench.system.gpu import GpuState

Severity = Literal["ok", "note", "warning"]
T = TypeVar("T")

DISTURBED_CORES = 0.08  # during one second: where the rules of a run (stats.exclusion) call a superblock disturbed
_LOAD_PER_CORE = 0.3  # one busy process on two cores is 0.5; what this command itself adds stays below 0.1
_STEAL_SINCE_BOOT = 0.005  # share; half a per cent is as much as the differences that people look for
_PRESSURE = 5.0  # per cent of the time with something waiting for a core; an idle desktop shows below 2
_MEMORY_PRESSURE = 1.0  # per cent; any steady value means that pages are being reclaimed
_MEMORY_NEEDED = 3 * 2**30  # bytes: ResNet-50 with activations below 2 GiB, and the copy curve's two of 512 MiB
_SWAP = 64 * 2**20  # bytes; less than this lies in swap on most machines that were up for a day
_GPU_BUSY = 5  # per cent: an idle GPU shows 0; in a container it is all that shows of other users
_NAMES_AT_MOST = 3

_CPU, _NODE = "sys/devices/system/cpu", "sys/devices/system/node"
_HUGE_PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
_TURBO = {  # file -> (what it holds while turbo is on, what to write to turn it off)
    f"{_CPU}/intel_pstate/no_turbo": ("0", "1"),
    f"{_CPU}/cpufreq/boost": ("1", "0"),
}
_RUN = "uv run run_bench.py run"

_PRELOADS = ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES")
_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")
_VARIABLES = (  # prefixes of what changes the allocator, the threads and the kernels
    *("MALLOC_", "THP_MEM_ALLOC_", "PYTORCH_CUDA_ALLOC_", "PYTORCH_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING"),
    *("OMP_", "GOMP_", "KMP_", "MKL_NUM_THREADS", "MKL_DYNAMIC"),
    *("ONEDNN_", "DNNL_", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE"),
)


class Unknown(Exception):
    """A check that cannot be made on this system; the message names what was to be read, in a few words."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    what: one sentence with the value seen. effect: what it does to a measurement. remedy: what the user can do; ``ok``
    has neither. A ``warning`` widens intervals or shifts results; a ``note`` matters when results are compared.
    """

    severity: Severity
    what: str
    effect: str = ""
    remedy: str = ""

    def unless(self, fine: bool, instead: str = "") -> "Finding":
        """This, or where all is fine an ``ok`` that says the same, or ``instead``."""
        return ok(instead or self.what) if fine else self


Findings = Iterator[Finding]
ok, note, warning = partial(Finding, "ok"), partial(Finding, "note"), partial(Finding, "warning")


def known(value: T | None, what: str) -> T:
    """``value``. Raises Unknown where there is none."""
    if value is None:
        raise Unknown(what)
    return value


def one_line(text: str, width: int = 60) -> str:
    """Text from outside (a process name, a variable's value) for display: printable, one line, short."""
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def _load(host: Host) -> Findings:
    load = known(host.load, "load average")
    yield warning(
        f"the load average is {load:.2f} on {host.logical_cores} cores",
        "other work takes turns with the timed forward: more spread, and fewer quiet superblocks",
        "close what else is running (top shows it) and wait a minute: the average also holds what you just ran",
    ).unless(load <= _LOAD_PER_CORE * host.logical_cores)


def _foreign_cpu(host: Host) -> Findings:
    look = known(host.look, "foreign CPU and steal")
    used = f"other processes used {look.foreign:.2f} cores during {look.seconds:.0f} s"
    names = ", ".join(f"{one_line(name, 30)} {cores:.2f}" for name, cores in look.busiest)
    yield warning(
        f"{used} ({f'busiest: {names}' if names else 'their names are not visible from here'})",
        "superblocks like this are flagged as disturbed, and at most a fifth of all is left out: intervals get wider",
        "stop or pause these before a latency run (top shows the PID): kill -STOP PID, afterwards kill -CONT PID",
    ).unless(look.foreign <= DISTURBED_CORES, used)


def _steal(host: Host) -> Findings:
    if (look := host.look) is None:
        return  # the check of foreign CPU says so
    disturbed, since_boot = look.steal > DISTURBED_CORES, f"{100 * look.steal_since_boot:.1f} %"
    yield Finding(
        "warning" if disturbed else "note",
        f"the hypervisor took {look.steal:.2f} cores during {look.seconds:.0f} s, {since_boot} of CPU time since boot",
        "superblocks are flagged as disturbed, or slots take longer now and then: intervals get wider",
        "nothing from inside a virtual machine; give a larger --budget, or measure at a quieter hour",
    ).unless(not disturbed and look.steal_since_boot <= _STEAL_SINCE_BOOT, f"steal {look.steal:.2f} cores")


def _pressure(host: Host) -> Findings:
    seconds, minute = known(host.pressure("cpu"), "CPU and memory pressure (Linux 4.20 or newer, booted with psi=1)")
    yield warning(
        f"something waited for a core in {seconds:.1f} % of the last 10 s and {minute:.1f} % of the last minute",
        "the timed process will wait for its turn too, in the middle of slots",
        "close what else is running, and measure with fewer --threads than there are cores",
    ).unless(max(seconds, minute) <= _PRESSURE, f"CPU pressure {seconds:.1f} %")
    memory = max(host.pressure("memory") or (0.0,))
    yield warning(
        f"something waited for memory in up to {memory:.1f} % of the last minute",
        "page faults become slow and uneven, which strategies that allocate pay for",
        "close what holds much memory (top, then M, sorts by it)",
    ).unless(memory <= _MEMORY_PRESSURE, f"memory pressure {memory:.1f} %")


def _quota(host: Host) -> Findings:
    known(host.text("proc/self/cgroup"), "CPU quota")
    limit, cores = cgroups.cpu_quota(host.root), len(host.usable)
    stopped = f"; it was stopped in {limit.throttled} of {limit.periods} periods so far" if limit.periods else ""
    yield warning(
        f"a CPU quota allows {limit.cores:.2f} cores of {cores}{stopped}",
        "a process that uses up its quota is stopped for the rest of a period (mostly 100 ms), inside a slot",
        "give the container whole cores (docker run --cpuset-cpus=0-1, without --cpus), or measure with "
        f"--threads {max(1, int(min(limit.cores, cores)))}",
    ).unless(limit.cores >= cores and not limit.throttled, "no CPU quota" if math.isinf(limit.cores) else "")


def _affinity(host: Host) -> Findings:
    cores, present = len(host.usable), host.logical_cores
    yield Finding(
        "warning" if cores == 1 else "note",
        f"this process may use {cores} of {present} cores",
        f"--threads above {cores} is refused; work on other cores shares caches, memory, even physical cores, and on "
        "a single core the suite's own parent interrupts what is measured",
        "allow it two cores or more (taskset -pc $$ shows what this shell may use), and keep the others quiet",
    ).unless(cores >= present and cores > 1, f"all {cores} cores usable")


def _siblings(host: Host) -> Findings:
    usable, groups = host.usable, set()
    for core in usable:
        siblings = host.core_list(f"{_CPU}/cpu{core}/topology/thread_siblings_list")
        groups.add(known(siblings, "threads of one physical core") | {core})
    firsts = ",".join(str(core) for core in sorted(min(group & usable) for group in groups))
    yield note(
        f"the {len(usable)} usable cores are {len(groups)} physical ones: some share their arithmetic units",
        "two threads on one physical core slow each other down, and where they run differs between processes",
        f"one thread for each physical core: taskset -c {firsts} {_RUN} --threads {len(groups)}",
    ).unless(len(groups) == len(usable), "one thread for each physical core")


def _numa(host: Host) -> Findings:
    nodes = known(host.core_list(f"{_NODE}/online"), "NUMA nodes")
    mine = [n for n in sorted(nodes) if (host.core_list(f"{_NODE}/node{n}/cpulist") or frozenset()) & host.usable]
    yield note(
        f"the usable cores lie on {len(mine)} NUMA nodes",
        "memory of the other node is slower, and on which node a tensor lies changes from process to process",
        f"stay on one: numactl --cpunodebind={min(mine, default=0)} --membind={min(mine, default=0)} {_RUN}",
    ).unless(len(mine) <= 1, f"{len(nodes)} NUMA node{'s' if len(nodes) != 1 else ''}, this process on one")


def _memory(host: Host) -> Findings:
    free, limit = known(host.available, "memory left and swap"), cgroups.memory_left(host.root)
    available = free if limit is None else min(free, limit)
    within = " within this container's limit" if available < free else ""
    yield warning(
        f"{available / 2**30:.1f} GiB of memory can be had{within}; ResNet-50 and the copy curve need about 3 GiB",
        "the machine will swap or end a worker, which is then recorded as a failed case",
        "close what holds much memory, raise the container's limit, or take --backbone resnet18 and fewer --frames",
    ).unless(available >= _MEMORY_NEEDED, f"{available / 2**30:.1f} GiB of memory can be had{within}")
    swapped = known(host.swapped, "swap")
    yield note(
        f"{swapped / 2**20:.0f} MiB lie in swap",
        "memory was short before; a page that comes back from disk costs milliseconds in the middle of a slot",
        "close what holds much memory, then: sudo swapoff -a && sudo swapon -a",
    ).unless(swapped < _SWAP)


def _huge_pages(host: Host) -> Findings:
    mode = (host.text(_HUGE_PAGES) or "").partition("[")[2].partition("]")[0]  # "always [madvise] never"
    yield note(
        f"transparent huge pages: {known(mode or None, 'transparent huge pages')}",
        "a page fault maps 2 MiB at once with 'always', with 'madvise' where a program asks for it: the overhead of "
        "strategies that allocate depends on it",
        f"nothing for a single run; on machines that are to be compared: echo {mode} | sudo tee /{_HUGE_PAGES}",
    ).unless(mode == "never")


def _high_water_mark(host: Host) -> Findings:
    if host.text("proc/stat") is None or not os.access(host.root / "proc/self/clear_refs", os.W_OK):
        raise Unknown("the resident high-water mark (peak_rss_mb stays empty)")
    yield ok("the resident high-water mark can be reset")


def _virtual_machine(host: Host) -> Findings:
    virtual = known(host.is_virtual, "virtual machine or not")
    yield note(
        "this is a virtual machine" + (f" ({one_line(host.product)})" if host.product else ""),
        "its clock frequency and its neighbours on the same host change unseen: drift, and wider intervals",
        "nothing from inside a virtual machine; give a larger --budget",
    ).unless(not virtual, "no virtual machine")


def _governor(host: Host) -> Findings:
    files = (host.text(f"{_CPU}/cpu{core}/cpufreq/scaling_governor") for core in host.usable)
    governors = sorted({text for text in files if text})
    if not governors and host.is_virtual:
        return  # the check of the virtual machine says so
    yield warning(
        f"the frequency governor is {' and '.join(known(governors or None, 'frequency governor'))}",
        "the clock follows the load: slots after a pause run slower, and cases drift",
        f"sudo cpupower frequency-set -g performance (afterwards: -g {governors[0]})",
    ).unless(governors == ["performance"])


def _turbo(host: Host) -> Findings:
    path = next((path for path in _TURBO if host.text(path) is not None), None)
    if path is None and host.is_virtual:
        return  # the check of the virtual machine says so
    on, off = _TURBO[known(path, "turbo")]
    yield note(
        "turbo is on",
        "the clock drifts over minutes, with heat and the number of busy cores: superblocks cancel that in overheads, "
        "not in latency_ms",
        f"for steadier latencies: echo {off} | sudo tee /{path} (afterwards: echo {on})",
    ).unless(host.text(str(path)) != on, "turbo is off")


def _battery(host: Host) -> Findings:
    if host.on_mains is not None:
        yield warning(
            "this laptop runs on battery",
            "power saving lowers the clock, more so as the charge falls",
            "plug it in, and choose the highest power profile",
        ).unless(host.on_mains, "on mains power")


def _variables(host: Host) -> Findings:
    names = [name for name in host.environ if name.startswith(_VARIABLES)]
    names += [name for name in _PRELOADS if any(word in host.environ.get(name, "") for word in _ALLOCATORS)]
    if "glibc.malloc" in host.environ.get("GLIBC_TUNABLES", ""):
        names.append("GLIBC_TUNABLES")
    shown = ", ".join(f"{one_line(name)}={one_line(host.environ[name])}" for name in sorted(names))
    yield note(
        f"set in the environment: {shown}",
        "another allocator changes page faults, and with them the overhead of strategies that allocate; other threads "
        "or kernels than by default change what a convolution takes, and so what a shift costs relative to it",
        f"unset {' '.join(map(one_line, sorted(names)))} before a run, or set it alike on machines to be compared",
    ).unless(not names, "no variable changes allocator, threads or instruction sets")


def _gpus(host: Host) -> Findings:
    for index, gpu in enumerate(host.gpus):
        label = f"GPU {index} ({one_line(gpu.name)})"
        yield from list(_gpu(index, label, gpu)) or [ok(f"{label} is idle, persistent and not throttled")]
    if host.gpu_problem:
        yield note(
            f"the state of the NVIDIA GPU cannot be read: {one_line(host.gpu_problem, 120)}",
            "clocks, power, temperature and throttling of a run are not recorded, nor are latencies in cycles",
            "install it with uv sync --extra nvidia, with a driver that answers nvidia-smi",
        )


def _gpu(index: int, label: str, gpu: GpuState) -> Findings:
    if gpu.others or (gpu.busy or 0) > _GPU_BUSY:
        names = ", ".join(one_line(name, 30) for name in gpu.others[:_NAMES_AT_MOST])
        seen = f"{len(gpu.others)} other programs ({names})" if names else "others, though none is visible from here"
        yield warning(
            f"{label} is used by {seen}" + ("" if gpu.busy is None else f"; it is {gpu.busy} % busy"),
            "their kernels and copies run between the timed ones, and heat the same chip",
            "end them (nvidia-smi shows them), or take another GPU with CUDA_VISIBLE_DEVICES",
        )
    if gpu.throttled:
        yield warning(
            f"{label} runs below its clock now: {', '.join(gpu.throttled)}",
            "latencies rise with time and load; figures in cycles hold, and such superblocks are flagged",
            "let it cool down, check its cooling and power limit (nvidia-smi -q -d PERFORMANCE,POWER)",
        )
    if gpu.compute_mode:
        yield Finding(
            "warning" if gpu.compute_mode == "prohibited" else "note",
            f"{label} has compute mode '{gpu.compute_mode}'",
            "prohibited: no case can run on it; exclusive: a worker fails to start while another process holds the GPU",
            f"sudo nvidia-smi -i {index} -c DEFAULT, or where exclusive keep the GPU free during a run",
        )
    if gpu.persistent is False:
        yield note(
            f"{label} has persistence mode off",
            "the driver is set up anew for each process: starts are slow, and clocks begin cold each time",
            f"sudo nvidia-smi -i {index} -pm 1",
        )
    if gpu.application_mhz and gpu.default_mhz and gpu.application_mhz != gpu.default_mhz:
        yield note(
            f"{label} has application clocks of {gpu.application_mhz} MHz, by default {gpu.default_mhz} MHz",
            "steadier, but times are not those of an untouched GPU; cycles can be compared",
            f"for default clocks: sudo nvidia-smi -i {index} -rac",
        )
    if gpu.sliced:
        yield note(
            f"{label} is cut into slices (MIG)",
            "a run sees one slice, whose clock and power depend on what the other slices do",
            "keep the other slices idle, and compare with slices of the same size only",
        )


CHECKS: tuple[Callable[[Host], Findings], ...] = (
    *(_load, _foreign_cpu, _steal, _pressure, _quota, _affinity, _siblings, _numa, _memory, _huge_pages),
    *(_high_water_mark, _virtual_machine, _governor, _turbo, _battery, _variables, _gpus),
)
