"""The doctor on small fake machines, on one that tells nothing, and once on this one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench.spec.axes import SECTIONS
from bench.stats import exclusion
from bench.system import counters
from bench.system.counters import DISTURBED_CORES
from bench.system.doctor import Finding, capabilities, diagnose, lines
from bench.system.gpu import GpuState
from bench.system.host import Host

GIB = 2**30
GPU = GpuState("H200", persistent=True, busy=0, application_mhz=1980, default_mhz=1980, sliced=False)
CPU, NODE, GROUP = "sys/devices/system/cpu", "sys/devices/system/node", "sys/fs/cgroup/user.slice"
PSI, HUGE, CGROUP = "proc/pressure", "sys/kernel/mm/transparent_hugepage/enabled", "proc/self/cgroup"
X86 = "processor : 0\nmodel name : Fast CPU 9000\nflags : fpu avx2 avx512f"
FINE = {  # a quiet desktop with four cores, on Linux
    "proc/stat": "cpu 1 2 3",
    "proc/cpuinfo": X86,
    f"{PSI}/cpu": "some avg10=0.10 avg60=0.20 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 total=0",
    f"{PSI}/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0",
    CGROUP: "0::/user.slice/run",
    "proc/self/clear_refs": "",
    HUGE: "always madvise [never]",
    f"{CPU}/intel_pstate/no_turbo": "1",
    f"{NODE}/online": "0",
    f"{NODE}/node0/cpulist": "0-3",
    **{f"{CPU}/cpu{i}/cpufreq/scaling_governor": "performance" for i in range(4)},
    **{f"{CPU}/cpu{i}/topology/thread_siblings_list": str(i) for i in range(4)},
}
SIBLINGS = {f"{CPU}/cpu{i}/topology/thread_siblings_list": f"{i % 2},{i % 2 + 2}" for i in range(4)}
Files = Mapping[str, str | None]
NOTHING: Files = {}


def machine(root: Path, files: Files = NOTHING, **changes: object) -> Host:
    """The quiet desktop with some files (None: not there) and some values changed."""
    for name, text in {**FINE, **files}.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text + "\n")
    usual = {"logical_cores": 4, "affinity": frozenset(range(4)), "load": 0.1, "foreign": 0.01}
    return Host(**{"root": root, "available": 8 * GIB, "swapped": 0, **usual, **changes})  # type: ignore[arg-type]


def found(host: Host) -> list[Finding]:
    return [finding for finding in diagnose(host) if finding.severity != "ok"]


def dmi(vendor: str, product: str) -> Files:
    names = {"sys/class/dmi/id/sys_vendor": vendor, "sys/class/dmi/id/product_name": product}
    return {"proc/cpuinfo": "Features : asimd", **names}


def quota_v1(microseconds: int, folder: str = "cpu") -> Files:
    where = f"sys/fs/cgroup/{folder}"
    files = {f"{where}/cpu.cfs_quota_us": str(microseconds), f"{where}/cpu.cfs_period_us": "100000"}
    return {CGROUP: f"5:memory:/\n4:{folder}:/docker/abc\n0::/", **files}  # the path is the host's


def memory_v1(limit: int) -> Files:
    where = "sys/fs/cgroup/memory/memory"
    return {CGROUP: "5:memory:/", f"{where}.limit_in_bytes": str(limit), f"{where}.usage_in_bytes": "5"}


BUSY = {"foreign": 1.02, "busiest": (("miner", 0.98), ("\x1b[2Jtwo\nlines", 0.03))}
LIMIT = {f"{GROUP}/memory.max": f"{2 * GIB}", f"{GROUP}/memory.current": f"{GIB}", f"{GROUP}/memory.stat": "a 0"}
QUOTA = {f"{GROUP}/cpu.max": "150000 100000", f"{GROUP}/cpu.stat": "nr_periods 90\nnr_throttled 7"}
NODES = {f"{NODE}/online": "0-1", f"{NODE}/node0/cpulist": "0-1", f"{NODE}/node1/cpulist": "2,3"}
BOOST = {f"{CPU}/intel_pstate/no_turbo": None, f"{CPU}/cpufreq/boost": "1"}


def cases() -> Iterator[tuple[Files, dict[str, object], str, str, str]]:
    """(files, values, severity, what, remedy): one disturbance each, and all that is found of it."""
    for name, share in (("foreign", 0.5), ("steal", 0.2)):
        yield {}, {name: share}, "warning", f"{share:.2f} cores during 1 s", "larger|stop"
    yield {}, BUSY, "warning", "busiest: miner 0.98, [2Jtwo lines 0.03)", "kill -STOP"
    yield {}, {"foreign": 0.5}, "warning", "not visible", "kill -STOP"
    yield {}, {"steal_since_boot": 0.02}, "note", "2.0 %", "--budget"
    yield {}, {"load": 3.5}, "warning", "load average is 3.50 on 4 cores", "close"
    yield {f"{PSI}/cpu": "some avg10=31.5 avg60=4.0 avg300=0"}, {}, "warning", "31.5 %", "--threads"
    yield {f"{PSI}/memory": "some avg10=2.5 avg60=0 total=1"}, {}, "warning", "2.5 %", "memory"
    yield {f"{PSI}/cpu": None}, {}, "note", "psi=1", "A/A twin"
    yield {}, {"available": GIB}, "warning", "1.0 GiB", "resnet18"
    yield LIMIT, {}, "warning", "1.0 GiB of memory can be had within this container's limit", "raise"
    yield {}, {"swapped": GIB}, "note", "1024 MiB", "swapoff"
    yield QUOTA, {}, "warning", "allows 1.50 cores of 4; it was stopped in 7 of 90 periods", "--threads 1"
    yield quota_v1(200_000, "cpu,cpuacct"), {}, "warning", "allows 2.00 cores of 4", "--threads 2"
    tightest = {f"{GROUP}/cpu.max": "100000 100000", f"{GROUP}/run/cpu.max": "300000 100000"}
    yield tightest, {}, "warning", "allows 1.00 cores", "--threads 1"
    yield {}, {"affinity": frozenset({2})}, "warning", "this process may use 1 of 4 cores", "two cores"
    yield {}, {"affinity": frozenset({0, 1})}, "note", "2 of 4 cores", "taskset"
    yield SIBLINGS, {}, "note", "4 usable cores are 2 physical", "taskset -c 0,1 uv run run_bench.py run --threads 2"
    kinds = {"sys/devices/cpu_core/cpus": "0-1", "sys/devices/cpu_atom/cpus": "2-3"}
    yield kinds, {}, "warning", "2 fast ones and 2 slow ones", "taskset -c 0,1"
    rated = {f"{CPU}/cpu{i}/cpu_capacity": "1024" if i == 3 else "430" for i in range(4)}
    yield rated, {}, "warning", "1 fast ones and 3 slow ones", "taskset -c 3"
    yield NODES, {}, "note", "2 NUMA nodes", "numactl --cpunodebind=0 --membind=0"
    yield {HUGE: "always [madvise] never"}, {}, "note", ": madvise", "compared"
    yield {"proc/self/clear_refs": None}, {}, "note", "peak_rss_mb stays empty", "A/A twin"
    yield {"proc/cpuinfo": f"{X86} hypervisor"}, {}, "note", "virtual machine", "nothing from inside"
    yield dmi("QEMU", "virt-9"), {}, "note", "virtual machine (virt-9)", "nothing from inside"
    mixed, command = {f"{CPU}/cpu3/cpufreq/scaling_governor": "powersave"}, "cpupower frequency-set -g performance"
    yield mixed, {}, "warning", "performance and powersave", command
    no_turbo = f"{CPU}/intel_pstate/no_turbo"
    yield {no_turbo: "0"}, {}, "note", "turbo is on", f"echo 1 | sudo tee /{no_turbo}"
    yield BOOST, {}, "note", "turbo is on", f"echo 0 | sudo tee /{CPU}/cpufreq/boost"
    yield {}, {"on_mains": False}, "warning", "battery", "plug"
    for name, value in (
        ("MALLOC_TOP_PAD_", "1\n2"),
        ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1"),
        ("LD_PRELOAD", "/lib/libjemalloc.so.2"),
        ("OMP_NUM_THREADS", "1"),
        ("ONEDNN_MAX_CPU_ISA", "AVX2"),
    ):
        yield {}, {"environ": {name: value}}, "note", f"{name}={' '.join(value.split())}", f"unset {name}"
    yield {}, {"gpu_problem": "nvidia-ml-py is not installed"}, "note", "not installed", "install"
    for change, severity, what, remedy in (
        ({"others": ("python", "Xorg"), "busy": 40}, "warning", "2 other programs (python, Xorg); it is 40 %", "end"),
        ({"busy": 40}, "warning", "none is visible from here", "nvidia-smi"),
        ({"throttled": ("power brake",)}, "warning", "below its clock now: power brake", "cool"),
        ({"compute_mode": "prohibited"}, "warning", "'prohibited'", "nvidia-smi -i 0 -c DEFAULT"),
        ({"compute_mode": "exclusive process"}, "note", "'exclusive process'", "keep the GPU free"),
        ({"persistent": False}, "note", "persistence mode off", "nvidia-smi -i 0 -pm 1"),
        ({"application_mhz": 1200}, "note", "1200 MHz, by default 1980 MHz", "nvidia-smi -i 0 -rac"),
        ({"sliced": True}, "note", "MIG", "idle"),
    ):
        yield {}, {"gpus": (replace(GPU, **change),)}, severity, what, remedy


@pytest.mark.parametrize(("files", "values", "severity", "what", "remedy"), list(cases()))
def test_each_disturbance_alone_is_found_with_its_value_and_a_remedy(
    tmp_path: Path, files: Files, values: dict[str, object], severity: str, what: str, remedy: str
) -> None:
    (finding,) = found(machine(tmp_path, files, **values))
    assert finding.severity == severity
    assert what in finding.what and finding.effect
    assert any(words in finding.remedy for words in remedy.split("|"))
    shown = lines([finding])
    assert len(shown) == 3 and all(line.isprintable() for line in shown)


IN_ORDER = {
    "load average is 0.10": ({}, {}),
    "allows 4.00 cores of 4": ({f"{GROUP}/cpu.max": "400000 100000"}, {}),
    "no CPU quota": ({f"{GROUP}/cpu.max": "max 100000"}, {}),
    "no CPU quota; all": (quota_v1(-1), {}),
    "8.0 GiB of memory can be had": (memory_v1(2**63 - 4096), {}),
    "2 NUMA nodes, this process on one": ({f"{NODE}/online": "0-1", f"{NODE}/node1/cpulist": "4-7"}, {}),
    "mains": ({}, {"on_mains": True}),
    "no variable": ({}, {"environ": {"LD_PRELOAD": "/lib/libfoo.so", "HOME": "/x"}}),
    "no virtual machine": (dmi("Amazon EC2", "m7g.metal"), {}),
    "GPU 0 (H200) is idle": ({}, {"gpus": (GPU,)}),
}


@pytest.mark.parametrize("what", IN_ORDER)
def test_what_is_in_order_is_one_line_and_no_warning(tmp_path: Path, what: str) -> None:
    files, values = IN_ORDER[what]
    (line,) = lines(diagnose(machine(tmp_path, files, **values)))
    assert line.startswith("nothing found") and what in line


def test_inside_a_virtual_machine_clocks_out_of_reach_are_mentioned_once(tmp_path: Path) -> None:
    gone = dict.fromkeys(name for name in FINE if "cpufreq" in name or "no_turbo" in name)
    (finding,) = found(machine(tmp_path, {**gone, "proc/cpuinfo": f"{X86} hypervisor"}))
    assert "virtual machine" in finding.what


def test_a_machine_that_tells_nothing_is_one_note(tmp_path: Path) -> None:
    silent = dict.fromkeys(("load", "foreign", "affinity", "available", "swapped"))
    (finding,) = found(machine(tmp_path, dict.fromkeys(FINE), **silent))
    assert finding.severity == "note"
    for name in ("load average", "steal", "pressure", "quota", "memory left", "swap", "governor", "turbo", "NUMA"):
        assert name in finding.what


def test_garbage_in_the_files_is_no_error(tmp_path: Path) -> None:
    garbage = dict.fromkeys(FINE, "some avg10=x [ , - 3-x a b")
    assert lines(diagnose(machine(tmp_path, {**garbage, CGROUP: "0::/"})))


@pytest.mark.skipif(not psutil.LINUX, reason="psutil reads /proc on Linux alone")
@pytest.mark.parametrize("folder", ["", "absent"])
def test_the_readers_survive_an_empty_proc_and_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / folder))
    monkeypatch.setattr(counters, "_PROC_STAT", tmp_path / folder / "stat")
    host = Host.read(tmp_path / folder)
    assert host.foreign is None and host.available is None and host.swapped is None
    missing = diagnose(host)[-1]
    assert missing.what.startswith("this system does not tell:") and "foreign CPU and steal" in missing.what


def test_the_most_severe_comes_first_and_what_is_in_order_last() -> None:
    shown = lines([Finding("ok", "a"), Finding("note", "b"), Finding("warning", "c"), Finding("ok", "d")])
    assert [line.split(":")[0] for line in shown if not line.startswith(" ")] == ["warning", "note", "ok"]
    assert shown[-1].endswith("a; d")


@pytest.mark.parametrize("counter", ["foreign", "steal"])
def test_the_doctor_warns_where_a_run_would_flag_a_superblock(counter: str) -> None:
    assert exclusion.reasons({counter: DISTURBED_CORES + 1e-6}, 1.0)
    assert not exclusion.reasons({counter: DISTURBED_CORES - 1e-6}, 1.0)
    assert exclusion.EXCLUDED_AT_MOST == 1 / 5  # as the finding says


def test_capabilities_name_devices_dtypes_and_sections(tmp_path: Path) -> None:
    machine(tmp_path, {"proc/cpuinfo": f"{X86} amx_bf16"})
    text = "\n".join(capabilities(tmp_path, cores=4, cuda=[("Tesla T4", (7, 5))]))
    words = ("Fast CPU 9000, --threads 1 to 4", "AVX-512", "amx_bf16", "Tesla T4", "fp16\n", "cudagraph", "validate")
    assert all(word in text for word in (*words, *SECTIONS))
    without = "\n".join(capabilities(tmp_path / "absent", cuda=[]))
    assert "device cuda: none" in without and "cudagraph" not in without


def test_this_machine_gets_lines() -> None:
    here = lines(diagnose())
    assert here and all(line.strip() and "\n" not in line for line in here)
    assert "cores during 1 s" in "\n".join(here) or "does not tell" in "\n".join(here)
