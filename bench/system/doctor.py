"""What will disturb a measurement on this machine, what the user can do about it, and what it can measure at all.

``host`` reads; each check judges one thing of it; what is then said stands in ``doctor.toml``. Nothing is changed.
"""

import math
import os
import tomllib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from bench.spec.axes import ONLY_ON, RUNTIMES, SECTIONS
from bench.system import cgroups
from bench.system.allocators import HUGE_PAGES, advice
from bench.system.counters import DISTURBED_CORES, pressure
from bench.system.environment import ROOT, cpu_flags, cpu_model, usable_cores
from bench.system.host import Host

Severity = Literal["ok", "note", "warning"]
CudaDevice = tuple[str, tuple[int, int]]  # name, compute capability
T = TypeVar("T")

_LOAD_PER_CORE = 0.3  # one busy process on two cores is 0.5; what this command itself adds stays below 0.1
_STEAL_SINCE_BOOT = 0.005  # share; half a per cent is as much as the differences that people look for
_PRESSURE = 5.0  # per cent of the time with something waiting for a core; an idle desktop shows below 2
_MEMORY_PRESSURE = 1.0  # per cent; any steady value means that pages are being reclaimed
_GIB_NEEDED = 3  # ResNet-50 with activations below 2 GiB, and the copy curve's two of 512 MiB
_MIB_SWAPPED = 64  # less than this lies in swap on most machines that were up for a day
_GPU_BUSY = 5  # per cent: an idle GPU shows 0; in a container it is all that shows of other users
_NAMES_AT_MOST = 3

_CPU, _NODE = "sys/devices/system/cpu", "sys/devices/system/node"
_TURBO = {  # file -> (what it holds while turbo is on, what to write to turn it off)
    f"{_CPU}/intel_pstate/no_turbo": ("0", "1"),
    f"{_CPU}/cpufreq/boost": ("1", "0"),
}
_PRELOADS = ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES")
_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")
_VARIABLES = (  # prefixes of what changes the allocator, the threads and the kernels
    *("MALLOC_", "THP_MEM_ALLOC_", "PYTORCH_CUDA_ALLOC_", "PYTORCH_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING"),
    *("OMP_", "GOMP_", "KMP_", "MKL_NUM_THREADS", "MKL_DYNAMIC"),
    *("ONEDNN_", "DNNL_", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE"),
)
_FP32 = {"avx512f": "AVX-512", "avx2": "AVX2", "sve": "SVE", "asimd": "NEON"}  # the widest first
_BF16 = {  # the fastest first
    "amx_bf16": "matrix units (amx_bf16): arithmetic shrinks by more than the bytes, so a shift costs relatively more",
    "avx512_bf16": "vector instructions (avx512_bf16)",
    "bf16": "vector instructions (bf16)",
}
_TENSOR_CORES = {"fp16": (7, 0), "bf16": (8, 0)}  # from which compute capability: Volta, Ampere
_TEXTS = tomllib.loads(Path(__file__).with_name("doctor.toml").read_text(encoding="utf-8"))


class Unknown(Exception):
    """A check that cannot be made on this system; the message names what was to be read, in a few words."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked: what was seen, its effect on a measurement, what to do. ``ok`` has only the first."""

    severity: Severity
    what: str
    effect: str = ""
    remedy: str = ""


def finding(name: str, fine: bool = False, severity: Severity | None = None, /, **values: Any) -> Finding:
    """What ``doctor.toml`` says of ``name``. severity: another than there."""
    text = _TEXTS[name]
    if fine:
        return Finding("ok", text.get("ok", text["what"]).format(**values))
    said = (text[part].format(**values) for part in ("what", "effect", "remedy"))
    return Finding(severity or text["severity"], *said)


Findings = Iterator[Finding]


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
    load, cores = known(host.load, "load average"), host.logical_cores
    yield finding("load", load <= _LOAD_PER_CORE * cores, load=load, cores=cores)


def _other_processes(host: Host) -> Findings:
    foreign = known(host.foreign, "foreign CPU and steal")
    busiest = ", ".join(f"{one_line(name, 30)} {cores:.2f}" for name, cores in host.busiest)
    names = f"busiest: {busiest}" if busiest else "their names are not visible from here"
    yield finding("foreign", foreign <= DISTURBED_CORES, foreign=foreign, names=names)
    now, ever = host.steal > DISTURBED_CORES, host.steal_since_boot > _STEAL_SINCE_BOOT
    values = {"steal": host.steal, "since_boot": 100 * host.steal_since_boot}
    yield finding("steal", not (now or ever), "warning" if now else None, **values)


def _pressure(host: Host) -> Findings:
    cpu, memory = (pressure(name, host.root) for name in ("cpu", "memory"))
    seconds = known(cpu.get("avg10"), "CPU and memory pressure (Linux 4.20 or newer, booted with psi=1)")
    minute = cpu.get("avg60", seconds)
    yield finding("cpu_pressure", max(seconds, minute) <= _PRESSURE, seconds=seconds, minute=minute)
    share = max(memory.get("avg10", 0.0), memory.get("avg60", 0.0))
    yield finding("memory_pressure", share <= _MEMORY_PRESSURE, share=share)


def _quota(host: Host) -> Findings:
    known(host.text("proc/self/cgroup"), "CPU quota")
    limit, cores = cgroups.cpu_quota(host.root), len(host.usable)
    if math.isinf(limit.cores):
        yield Finding("ok", "no CPU quota")
        return
    stopped = f"; it was stopped in {limit.throttled} of {limit.periods} periods so far" if limit.periods else ""
    fine, threads = limit.cores >= cores and not limit.throttled, max(1, int(min(limit.cores, cores)))
    yield finding("quota", fine, allowed=limit.cores, cores=cores, stopped=stopped, threads=threads)


def _affinity(host: Host) -> Findings:
    cores, present = len(host.usable), host.logical_cores
    severity: Severity | None = "warning" if cores == 1 else None
    yield finding("affinity", cores >= present and cores > 1, severity, cores=cores, present=present)


def _siblings(host: Host) -> Findings:
    usable, groups = host.usable, set()
    for core in usable:
        siblings = host.core_list(f"{_CPU}/cpu{core}/topology/thread_siblings_list")
        groups.add(known(siblings, "threads of one physical core") | {core})
    firsts = ",".join(str(core) for core in sorted(min(group & usable) for group in groups))
    fine = len(groups) == len(usable)
    yield finding("siblings", fine, cores=len(usable), physical=len(groups), firsts=firsts)


def _hybrid(host: Host) -> Findings:
    """Intel names the cores of each kind; ARM rates each core, the fastest 1024."""
    usable = host.usable
    fast, slow = (host.core_list(f"sys/devices/cpu_{kind}/cpus") for kind in ("core", "atom"))
    if fast is None or slow is None:
        rated = {core: host.text(f"{_CPU}/cpu{core}/cpu_capacity") for core in usable}
        best = max(rated.values(), key=lambda rate: int(rate) if rate and rate.isdigit() else 0, default=None)
        fast = frozenset(core for core, rate in rated.items() if rate == best)
        slow = usable - fast
    fast, slow = fast & usable, slow & usable
    firsts = ",".join(map(str, sorted(fast)))
    yield finding("hybrid", not (fast and slow), fast=len(fast), slow=len(slow), firsts=firsts)


def _numa(host: Host) -> Findings:
    nodes = known(host.core_list(f"{_NODE}/online"), "NUMA nodes")
    mine = [n for n in nodes if (host.core_list(f"{_NODE}/node{n}/cpulist") or frozenset()) & host.usable]
    online = f"{len(nodes)} NUMA node{'s' if len(nodes) != 1 else ''}"
    yield finding("numa", len(mine) <= 1, nodes=online, mine=len(mine), first=min(mine, default=0))


def _memory(host: Host) -> Findings:
    free, limit = known(host.available, "memory left and swap"), cgroups.memory_left(host.root)
    gib = (free if limit is None else min(free, limit)) / 2**30
    within = " within this container's limit" if limit is not None and limit < free else ""
    yield finding("memory", gib >= _GIB_NEEDED, gib=gib, within=within)
    mib = known(host.swapped, "swap") / 2**20
    yield finding("swap", mib < _MIB_SWAPPED, mib=mib)


def _huge_pages(host: Host) -> Findings:
    mode = (host.text(HUGE_PAGES) or "").partition("[")[2].partition("]")[0]  # "always [madvise] never"
    known(mode or None, "transparent huge pages")
    yield finding("huge_pages", mode == "never", mode=mode, path=HUGE_PAGES)


def _high_water_mark(host: Host) -> Findings:
    if host.text("proc/stat") is None or not os.access(host.root / "proc/self/clear_refs", os.W_OK):
        raise Unknown("the resident high-water mark (peak_rss_mb stays empty)")
    yield Finding("ok", "the resident high-water mark can be reset")


def _virtual_machine(host: Host) -> Findings:
    virtual = known(host.is_virtual, "virtual machine or not")
    yield finding("virtual_machine", not virtual, product=f" ({one_line(host.product)})" if host.product else "")


def _governor(host: Host) -> Findings:
    files = (host.text(f"{_CPU}/cpu{core}/cpufreq/scaling_governor") for core in host.usable)
    governors = sorted({text for text in files if text})
    if governors or not host.is_virtual:  # else the check of the virtual machine says so
        known(governors or None, "frequency governor")
        yield finding("governor", governors == ["performance"], governors=" and ".join(governors), before=governors[0])


def _turbo(host: Host) -> Findings:
    path = next((path for path in _TURBO if host.text(path) is not None), None)
    if path or not host.is_virtual:
        on, off = _TURBO[known(path, "turbo")]
        yield finding("turbo", host.text(str(path)) != on, path=path, on=on, off=off)


def _battery(host: Host) -> Findings:
    if host.on_mains is not None:
        yield finding("battery", host.on_mains)


def _variables(host: Host) -> Findings:
    names = [name for name in host.environ if name.startswith(_VARIABLES)]
    names += [name for name in _PRELOADS if any(word in host.environ.get(name, "") for word in _ALLOCATORS)]
    names += ["GLIBC_TUNABLES"] if "glibc.malloc" in host.environ.get("GLIBC_TUNABLES", "") else []
    shown = ", ".join(f"{one_line(name)}={one_line(host.environ[name])}" for name in sorted(names))
    yield finding("variables", not names, shown=shown, names=" ".join(map(one_line, sorted(names))))


def _gpus(host: Host) -> Findings:
    for index, gpu in enumerate(host.gpus):
        label, names = f"GPU {index} ({one_line(gpu.name)})", [one_line(name, 30) for name in gpu.others]
        others = f"{len(names)} other programs ({', '.join(names[:_NAMES_AT_MOST])})"
        values = {
            **vars(gpu),
            **{"gpu": label, "index": index, "reasons": ", ".join(gpu.throttled)},
            "users": others if names else "others, though none is visible from here",
            "use": "" if gpu.busy is None else f"; it is {gpu.busy} % busy",
        }
        wrong = {
            "gpu_shared": names or (gpu.busy or 0) > _GPU_BUSY,
            "gpu_throttled": gpu.throttled,
            "gpu_prohibited": gpu.compute_mode == "prohibited",
            "gpu_exclusive": gpu.compute_mode == "exclusive process",
            "gpu_persistence": gpu.persistent is False,
            "gpu_clocks": gpu.application_mhz and gpu.default_mhz and gpu.application_mhz != gpu.default_mhz,
            "gpu_sliced": gpu.sliced,
        }
        found = [finding(name, **values) for name, there in wrong.items() if there]
        yield from found or [Finding("ok", f"{label} is idle, persistent and not throttled")]
    if host.gpu_problem:
        yield finding("gpu_unreadable", problem=one_line(host.gpu_problem, 120))


CHECKS: tuple[Callable[[Host], Findings], ...] = (
    *(_load, _other_processes, _pressure, _quota, _affinity, _siblings, _hybrid, _numa, _memory, _huge_pages),
    *(_high_water_mark, _virtual_machine, _governor, _turbo, _battery, _variables, _gpus),
)


def diagnose(host: Host | None = None) -> list[Finding]:
    """Every check, in the order of ``CHECKS``. What this system does not tell comes last, together in one note."""
    host = host or Host.read()
    found: list[Finding] = []
    unknown: list[str] = []
    for check in CHECKS:
        try:
            found += check(host)
        except Unknown as missing:
            unknown.append(str(missing))
    return [*found, finding("unknown", unknown=", ".join(unknown))] if unknown else found


def lines(findings: Sequence[Finding]) -> list[str]:
    """For a terminal, the most severe first: three lines for each thing found, and one for all that is in order."""
    text = []
    for item in (item for severity in ("warning", "note") for item in findings if item.severity == severity):
        text += [f"{item.severity + ':':9}{item.what}", f"{'':9}effect: {item.effect}", f"{'':9}do: {item.remedy}"]
    fine = "; ".join(item.what for item in findings if item.severity == "ok")
    if not text:
        return ["nothing found that would disturb a measurement" + (f" ({fine})" if fine else "")]
    return [*text, f"{'ok:':9}{fine}"] if fine else text


def capabilities(root: Path = ROOT, cores: int | None = None, cuda: Sequence[CudaDevice] | None = None) -> list[str]:
    """Devices, threads, dtypes, runtimes, sections. Imports torch unless ``cuda`` names its GPUs."""
    cores, cuda, flags = cores or usable_cores(), _cuda_devices() if cuda is None else cuda, cpu_flags(root)
    devices = ("cpu", "cuda") if cuda else ("cpu",)
    fp32 = next((words for flag, words in _FP32.items() if flag in flags), "instruction sets unknown")
    bf16 = next((words for flag, words in _BF16.items() if flag in flags), "no instructions: likely slower than fp32")
    return [
        f"device cpu: {one_line(cpu_model(root))}, --threads 1{f' to {cores}' if cores > 1 else ''}",
        f"  fp32: {fp32}",
        f"  bf16: {bf16}",
        *(_device_line(*gpu) for gpu in cuda),
        *([] if cuda else ["device cuda: none that this torch can use; GPU cases are left out"]),
        f"runtimes: {', '.join(name for name in RUNTIMES if ONLY_ON.get(name, 'cpu') in devices)}",
        f"sections: {', '.join(SECTIONS)}",
        *([f"deployment: {told}"] if (told := advice()) else []),
        "smallest difference: about 0.5 pp in 10 minutes on a quiet machine with two cores; for this one: "
        "run_bench.py validate --budget 10m",
    ]


def _device_line(name: str, capability: tuple[int, int]) -> str:
    units = [dtype for dtype, since in _TENSOR_CORES.items() if capability >= since]
    version, used = ".".join(map(str, capability)), " and ".join(units) or "neither fp16 nor bf16"
    return f"device cuda: {one_line(name)}, compute capability {version}, matrix units for {used}"


def _cuda_devices() -> list[CudaDevice]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a driver too old for this torch: then there is no device
        indices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return [(torch.cuda.get_device_name(i), torch.cuda.get_device_capability(i)) for i in indices]
