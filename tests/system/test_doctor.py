"""The doctor on small fake machines, on one that tells nothing, and once on this one."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench.spec.axes import SECTIONS
from bench.system.doctor import Advice, Probe, capabilities, diagnose, lines, nvml
from bench.system.doctor.probe import CudaDevice, Look, Memory, read_memory, short_look

GIB = 2**30
QUIET = Look(seconds=1.0, foreign=0.01, steal=0.0, steal_since_boot=0.0)
X86 = "processor : 0\nmodel name : Fast CPU 9000\nflags : fpu avx2 avx512f"
FINE = {  # a quiet desktop with four cores, on Linux
    "proc/stat": "cpu 1 2 3",
    "proc/cpuinfo": X86,
    "proc/pressure/cpu": "some avg10=0.10 avg60=0.20 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 total=0",
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0",
    "proc/self/cgroup": "0::/user.slice/run",
    "proc/self/clear_refs": "",
    "sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "1",
    "sys/devices/system/node/online": "0",
    "sys/devices/system/node/node0/cpulist": "0-3",
    **{f"sys/devices/system/cpu/cpu{i}/cpufreq/scaling_governor": "performance" for i in range(4)},
    **{f"sys/devices/system/cpu/cpu{i}/topology/thread_siblings_list": str(i) for i in range(4)},
}
GROUP = "sys/fs/cgroup/user.slice"
THREADS = {f"sys/devices/system/cpu/cpu{i}/topology/thread_siblings_list": f"{i % 2},{i % 2 + 2}" for i in range(4)}
GPU = nvml.Gpu("H200", persistent=True, busy=0, application_mhz=1980, default_mhz=1980, sliced=False)


def machine(root: Path, files: Mapping[str, str | None] = {}, **changes: object) -> Probe:
    """The quiet desktop with some files changed (None: not there) and some readers replaced by what they answer."""
    for name, text in {**FINE, **files}.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text + "\n")
    quiet = {
        "load": 0.1,
        "look": QUIET,
        "affinity": frozenset(range(4)),
        "memory": Memory(8 * GIB, 0),
        "on_mains": None,
        "can_write": True,
        "nvidia": nvml.Nvidia(),
        "cuda": (),
    }
    plain = {"environ": {}, "logical_cores": 4}
    readers = {key: (lambda *_, value=value: value) for key, value in {**quiet, **changes}.items() if key not in plain}
    return Probe(root=root, **{key: changes.get(key, value) for key, value in plain.items()}, **readers)  # type: ignore[arg-type]


def found(probe: Probe) -> list[Advice]:
    return [advice for advice in diagnose(probe) if advice.severity != "ok"]


def test_on_a_quiet_machine_one_line_says_that_nothing_was_found(tmp_path: Path) -> None:
    advice = diagnose(machine(tmp_path))
    assert {item.severity for item in advice} == {"ok"}
    (line,) = lines(advice)
    assert line.startswith("nothing found") and "load average is 0.10" in line


CASES = {
    "load": ({}, {"load": 3.5}, "warning", "load average is 3.50 on 4 cores", "close"),
    "foreign": (
        {},
        {"look": dataclasses.replace(QUIET, foreign=1.02, busiest=(("miner", 0.98), ("\x1b[2Jtwo\nlines", 0.03)))},
        "warning",
        "used 1.02 cores during 1 s (busiest: miner 0.98, [2Jtwo lines 0.03)",
        "kill -STOP",
    ),
    "foreign, unseen": ({}, {"look": dataclasses.replace(QUIET, foreign=0.5)}, "warning", "not visible", "stop"),
    "steal now": ({}, {"look": dataclasses.replace(QUIET, steal=0.2)}, "warning", "took 0.20 cores", "--budget"),
    "steal before": ({}, {"look": dataclasses.replace(QUIET, steal_since_boot=0.02)}, "note", "2.0 %", "--budget"),
    "pressure": (
        {"proc/pressure/cpu": "some avg10=31.5 avg60=4.0 avg300=0 total=1"},
        {},
        "warning",
        "31.5 %",
        "--threads",
    ),
    "memory pressure": ({"proc/pressure/memory": "some avg10=2.5 avg60=0 total=1"}, {}, "warning", "2.5 %", "memory"),
    "no PSI": ({"proc/pressure/cpu": None}, {}, "note", "pressure-stall", "psi=1"),
    "memory": ({}, {"memory": Memory(GIB, 0)}, "warning", "1.0 GiB", "resnet18"),
    "memory limit": (
        {
            f"{GROUP}/memory.max": str(2 * GIB),
            f"{GROUP}/memory.current": str(GIB),
            f"{GROUP}/memory.stat": "inactive_file 0",
        },
        {},
        "warning",
        "1.0 GiB of memory can be had within this container's limit",
        "raise",
    ),
    "swap": ({}, {"memory": Memory(8 * GIB, GIB)}, "note", "1024 MiB", "swapoff"),
    "quota": (
        {f"{GROUP}/cpu.max": "150000 100000", f"{GROUP}/cpu.stat": "nr_periods 90\nnr_throttled 7"},
        {},
        "warning",
        "allows 1.50 cores of 4; it was stopped in 7 of 90 periods",
        "--threads 1",
    ),
    "quota, version 1": (
        {
            "proc/self/cgroup": "5:memory:/\n4:cpu,cpuacct:/docker/abc\n0::/",  # the host's path
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        {},
        "warning",
        "allows 2.00 cores of 4",
        "--threads 2",
    ),
    "one core": ({}, {"affinity": frozenset({2})}, "warning", "one core only is usable, of 4", "second core"),
    "affinity": ({}, {"affinity": frozenset({0, 1})}, "note", "2 of 4 cores", "taskset"),
    "siblings": (
        THREADS,
        {},
        "note",
        "the 4 usable cores are 2 physical",
        "taskset -c 0,1 uv run run_bench.py run --threads 2",
    ),
    "numa": (
        {
            "sys/devices/system/node/online": "0-1",
            "sys/devices/system/node/node0/cpulist": "0-1",
            "sys/devices/system/node/node1/cpulist": "2,3",
        },
        {},
        "note",
        "2 NUMA nodes",
        "numactl --cpunodebind=0 --membind=0",
    ),
    "huge pages": (
        {"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never"},
        {},
        "note",
        ": madvise",
        "alike",
    ),
    "no mark": ({}, {"can_write": False}, "note", "clear_refs", "sandbox"),
    "virtual": ({"proc/cpuinfo": X86 + " hypervisor"}, {}, "note", "virtual machine", "nothing from inside"),
    "virtual, ARM": (
        {
            "proc/cpuinfo": "Features : asimd",
            "sys/class/dmi/id/sys_vendor": "QEMU",
            "sys/class/dmi/id/product_name": "virt-9",
        },
        {},
        "note",
        "virtual machine (virt-9)",
        "nothing from inside",
    ),
    "governor": (
        {"sys/devices/system/cpu/cpu3/cpufreq/scaling_governor": "powersave"},
        {},
        "warning",
        "performance and powersave",
        "cpupower frequency-set -g performance",
    ),
    "turbo": (
        {"sys/devices/system/cpu/intel_pstate/no_turbo": "0"},
        {},
        "note",
        "turbo is on",
        "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo",
    ),
    "boost": (
        {"sys/devices/system/cpu/intel_pstate/no_turbo": None, "sys/devices/system/cpu/cpufreq/boost": "1"},
        {},
        "note",
        "turbo is on",
        "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost",
    ),
    "battery": ({}, {"on_mains": False}, "warning", "battery", "plug"),
    "malloc": ({}, {"environ": {"MALLOC_TOP_PAD_": "1\n2"}}, "note", "MALLOC_TOP_PAD_=1 2", "unset MALLOC_TOP_PAD_"),
    "tunables": ({}, {"environ": {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}}, "note", "arena_max", "unset"),
    "jemalloc": ({}, {"environ": {"LD_PRELOAD": "/lib/libjemalloc.so.2"}}, "note", "jemalloc", "unset LD_PRELOAD"),
    "threads": ({}, {"environ": {"OMP_NUM_THREADS": "1"}}, "note", "OMP_NUM_THREADS=1", "unset"),
    "instructions": ({}, {"environ": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}, "note", "ONEDNN_MAX_CPU_ISA=AVX2", "unset"),
    "no NVML": (
        {},
        {"nvidia": nvml.Nvidia(problem="nvidia-ml-py is not installed")},
        "note",
        "not installed",
        "install",
    ),
}
for name, change, severity, what, remedy in (
    (
        "others",
        {"others": ("python", "Xorg"), "busy": 40},
        "warning",
        "2 other programs (python, Xorg); it is 40 % busy",
        "end",
    ),
    ("unseen", {"busy": 40}, "warning", "none is visible from here", "nvidia-smi"),
    ("throttled", {"throttled": ("heat",)}, "warning", "below its clock now: heat", "cool"),
    ("prohibited", {"compute_mode": "prohibited"}, "warning", "'prohibited'", "nvidia-smi -i 0 -c DEFAULT"),
    ("exclusive", {"compute_mode": "exclusive process"}, "note", "'exclusive process'", "keep the GPU free"),
    ("persistence", {"persistent": False}, "note", "persistence mode off", "nvidia-smi -i 0 -pm 1"),
    ("clocks", {"application_mhz": 1200}, "note", "1200 MHz, by default 1980 MHz", "nvidia-smi -i 0 -rac"),
    ("MIG", {"sliced": True}, "note", "MIG", "idle"),
):
    CASES[f"GPU {name}"] = ({}, {"nvidia": nvml.Nvidia((dataclasses.replace(GPU, **change),))}, severity, what, remedy)


@pytest.mark.parametrize(("files", "changes", "severity", "what", "remedy"), CASES.values(), ids=CASES)
def test_each_disturbance_alone_is_found_with_its_figure_and_a_remedy(
    tmp_path: Path, files: dict[str, str | None], changes: dict[str, object], severity: str, what: str, remedy: str
) -> None:
    (advice,) = found(machine(tmp_path, files, **changes))
    assert advice.severity == severity
    assert what in advice.what
    assert remedy in advice.remedy
    assert advice.effect
    shown = lines([advice])
    assert len(shown) == 3 and all("\n" not in line and line.isprintable() for line in shown)


IN_ORDER = {
    "a quota of all cores": ({f"{GROUP}/cpu.max": "400000 100000"}, {}, "allows 4.00 cores of 4"),
    "no quota": ({f"{GROUP}/cpu.max": "max 100000"}, {}, "no CPU quota"),
    "no quota, version 1": (
        {
            "proc/self/cgroup": "4:cpu:/",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        {},
        "no CPU quota",
    ),
    "no limit, version 1": (
        {
            "proc/self/cgroup": "5:memory:/",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096),
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "5",
        },
        {},
        "8.0 GiB of memory can be had",
    ),
    "another node's memory": (
        {"sys/devices/system/node/online": "0-1", "sys/devices/system/node/node1/cpulist": "4-7"},
        {},
        "2 NUMA nodes, this process on one",
    ),
    "plugged in": ({}, {"on_mains": True}, "mains"),
    "a harmless preload": ({}, {"environ": {"LD_PRELOAD": "/lib/libfoo.so", "HOME": "/x"}}, "no variable"),
    "bare metal in a cloud": (
        {
            "proc/cpuinfo": "Features : asimd",
            "sys/class/dmi/id/sys_vendor": "Amazon EC2",
            "sys/class/dmi/id/product_name": "m7g.metal",
        },
        {},
        "no virtual machine",
    ),
    "an idle GPU": ({}, {"nvidia": nvml.Nvidia((GPU,))}, "GPU 0 (H200) is idle"),
}


@pytest.mark.parametrize(("files", "changes", "what"), IN_ORDER.values(), ids=IN_ORDER)
def test_what_is_in_order_is_said_and_not_warned_of(
    tmp_path: Path, files: dict[str, str | None], changes: dict[str, object], what: str
) -> None:
    advice = diagnose(machine(tmp_path, files, **changes))
    assert {item.severity for item in advice} == {"ok"}
    assert any(what in item.what for item in advice)


def test_the_tightest_quota_of_all_groups_above_counts(tmp_path: Path) -> None:
    files = {f"{GROUP}/cpu.max": "100000 100000", f"{GROUP}/run/cpu.max": "300000 100000"}
    (advice,) = found(machine(tmp_path, files))
    assert "allows 1.00 cores" in advice.what


def test_sibling_threads_outside_the_affinity_are_told(tmp_path: Path) -> None:
    advice = found(machine(tmp_path, THREADS, affinity=frozenset({0, 1})))
    assert any("share physical cores with some that this process may not use" in item.what for item in advice)


def test_inside_a_virtual_machine_clocks_out_of_reach_are_said_once(tmp_path: Path) -> None:
    gone = dict.fromkeys(name for name in FINE if "cpufreq" in name or "no_turbo" in name)
    (advice,) = found(machine(tmp_path, {**gone, "proc/cpuinfo": X86 + " hypervisor"}))
    assert "virtual machine" in advice.what


def test_a_machine_that_tells_nothing_is_one_note(tmp_path: Path) -> None:
    silent = dict.fromkeys(("load", "look", "affinity", "memory"))
    (advice,) = found(machine(tmp_path, dict.fromkeys(FINE), **silent))
    assert advice.severity == "note"
    for name in (
        "load average",
        "steal",
        "pressure",
        "quota",
        "memory",
        "governor",
        "turbo",
        "huge pages",
        "NUMA",
        "virtual",
    ):
        assert name in advice.what


def test_garbage_in_the_files_is_no_error(tmp_path: Path) -> None:
    probe = machine(tmp_path, {**dict.fromkeys(FINE, "some avg10=x [ , - 3-x a b"), "proc/self/cgroup": "0::/"})
    assert lines(diagnose(probe))


@pytest.mark.skipif(not psutil.LINUX, reason="psutil reads /proc on Linux alone")
@pytest.mark.parametrize("folder", ["", "absent"])
def test_the_readers_survive_an_empty_proc_and_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / folder))
    assert short_look() is None
    assert read_memory() is None
    missing = diagnose(Probe(root=tmp_path / folder))[-1]
    assert missing.what.startswith("this system does not tell:") and "foreign CPU and steal" in missing.what


def test_the_most_severe_comes_first_and_what_is_in_order_last() -> None:
    shown = lines(
        [Advice("ok", "a"), Advice("note", "b", "e", "r"), Advice("warning", "c", "e", "r"), Advice("ok", "d")]
    )
    assert [line.split(":")[0] for line in shown if not line.startswith(" ")] == ["warning", "note", "ok"]
    assert shown[-1].endswith("a; d")


class Driver(SimpleNamespace):
    """Answers like the module ``pynvml`` for one GPU; what is not in ``answers`` is not supported."""

    class NVMLError(Exception):
        pass

    class NVMLError_LibraryNotFound(NVMLError):
        pass

    class NVMLError_DriverNotLoaded(NVMLError):
        pass

    NVML_FEATURE_ENABLED, NVML_DEVICE_MIG_ENABLE, NVML_CLOCK_SM = 1, 1, 1
    NVML_COMPUTEMODE_PROHIBITED, NVML_COMPUTEMODE_EXCLUSIVE_PROCESS = 2, 3
    nvmlClocksThrottleReasonSwPowerCap, nvmlClocksThrottleReasonHwSlowdown = 0x4, 0x8
    nvmlClocksThrottleReasonSyncBoost, nvmlClocksThrottleReasonSwThermalSlowdown = 0x10, 0x20
    nvmlClocksThrottleReasonHwThermalSlowdown, nvmlClocksThrottleReasonHwPowerBrakeSlowdown = 0x40, 0x80

    def __getattr__(self, name: str) -> object:
        def answer(*_: object) -> object:
            value = self.__dict__["answers"].get(
                name.removeprefix("nvml").removeprefix("DeviceGet"), Driver.NVMLError("no")
            )
            if isinstance(value, Exception):
                raise value
            return value

        if not name.startswith("nvml"):
            raise AttributeError(name)
        return answer


BASE = {"Init": None, "Shutdown": None, "Count": 1, "HandleByIndex": "handle"}


def test_nvml_is_read_into_plain_values() -> None:
    answers = {
        "Name": b"NVIDIA H200",
        "PersistenceMode": 0,
        "ComputeRunningProcesses": [SimpleNamespace(pid=1)],
        "SystemGetProcessName": "/usr/bin/trainer",
        "UtilizationRates": SimpleNamespace(gpu=77),
        "ComputeMode": 3,
        "CurrentClocksThrottleReasons": 0x1 | 0x4 | 0x20,
        "ApplicationsClock": 1980,
        "DefaultApplicationsClock": 1700,
        "MigMode": [1, 1],
    }
    (gpu,) = nvml.ask(Driver(answers=BASE | answers)).gpus
    assert gpu == nvml.Gpu(
        "NVIDIA H200", False, ("trainer",), 77, "exclusive process", ("power cap", "heat"), 1980, 1700, True
    )


def test_a_gpu_that_answers_nothing_is_a_gpu_with_nothing_known() -> None:
    assert nvml.ask(Driver(answers=BASE)) == nvml.Nvidia((nvml.Gpu("NVIDIA GPU"),))


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({"Init": Driver.NVMLError_LibraryNotFound("no library")}, ""),
        ({"Init": Driver.NVMLError_DriverNotLoaded("no driver")}, ""),
        ({"Init": Driver.NVMLError("version mismatch")}, "NVML says: version mismatch"),
        ({"HandleByIndex": Driver.NVMLError("GPU is lost")}, "NVML says: GPU is lost"),
    ],
)
def test_a_driver_that_fails_is_a_problem_and_none_is_none(answers: dict[str, object], problem: str) -> None:
    assert nvml.ask(Driver(answers=BASE | answers)) == nvml.Nvidia(problem=problem)


def test_capabilities_name_devices_dtypes_and_where_the_smallest_difference_is_told(tmp_path: Path) -> None:
    probe = machine(tmp_path, {"proc/cpuinfo": X86 + " amx_bf16"}, cuda=(CudaDevice("Tesla T4", (7, 5)),))
    told = "\n".join(capabilities(probe))
    for words in (
        "Fast CPU 9000, --threads 1 to 4",
        "AVX-512",
        "amx_bf16",
        "Tesla T4",
        "units for fp16\n",
        "cudagraph",
        "validate",
    ):
        assert words in told
    assert all(section in told for section in SECTIONS)
    without = "\n".join(capabilities(machine(tmp_path, {"proc/cpuinfo": "nothing"})))
    assert "device cuda: none" in without and "cudagraph" not in without


def test_this_machine_gets_lines() -> None:
    here = lines(diagnose())
    assert here and all(line.strip() and "\n" not in line for line in here)
    assert "cores during 1 s" in "\n".join(here) or "does not tell" in "\n".join(here)
