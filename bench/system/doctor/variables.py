"""Environment variables that change the allocator, the threads or the instruction sets of a run."""

from dataclasses import dataclass

from bench.system.doctor.advice import Advice, note, ok, one_line
from bench.system.doctor.probe import Probe

_PRELOADS = ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES")
_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")


@dataclass(frozen=True)
class _Group:
    prefixes: tuple[str, ...]
    effect: str


_ALLOCATOR = _Group(
    (
        "MALLOC_",
        "THP_MEM_ALLOC_ENABLE",
        "PYTORCH_CUDA_ALLOC_CONF",
        "PYTORCH_ALLOC_CONF",
        "PYTORCH_NO_CUDA_MEMORY_CACHING",
    ),
    "another allocator changes the number of page faults a lot, and with it the overhead of strategies that allocate",
)
_GROUPS = (
    _ALLOCATOR,
    _Group(
        ("OMP_", "GOMP_", "KMP_", "MKL_NUM_THREADS", "MKL_DYNAMIC"),
        "--threads sets the number of threads of a run; these decide where the threads sit, how they wait, and may "
        "bind two of them to one core",
    ),
    _Group(
        ("ONEDNN_", "DNNL_", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE"),
        "other kernels than this machine's fastest may be chosen: the convolutions slow down, and shifts look cheaper",
    ),
)


def variables(probe: Probe) -> list[Advice]:
    """One note for each kind of variable that is set."""
    found = [
        note(f"set in the environment: {', '.join(_shown(probe, name) for name in names)}", group.effect, _unset(names))
        for group in _GROUPS
        if (names := _set(probe, group))
    ]
    return found or ok("no variable changes allocator, threads or instruction sets")


def _set(probe: Probe, group: _Group) -> list[str]:
    names = [name for name in probe.environ if name.startswith(group.prefixes)]
    if group is _ALLOCATOR:
        preloads = (name for name in _PRELOADS if any(word in probe.environ.get(name, "") for word in _ALLOCATORS))
        names += [*preloads, *(["GLIBC_TUNABLES"] if "glibc.malloc" in probe.environ.get("GLIBC_TUNABLES", "") else [])]
    return sorted(names)


def _shown(probe: Probe, name: str) -> str:
    return f"{one_line(name)}={one_line(probe.environ[name])}"


def _unset(names: list[str]) -> str:
    return f"unset {' '.join(map(one_line, names))} before a run, or keep the same value on all machines to be compared"
