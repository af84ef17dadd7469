"""What this machine can measure."""

import platform

from bench.spec.axes import ONLY_ON, RUNTIMES, SECTIONS
from bench.system.doctor.advice import one_line
from bench.system.doctor.probe import CudaDevice, Probe

_FP32 = {"avx512f": "AVX-512", "avx2": "AVX2", "sve": "SVE", "asimd": "NEON"}  # the widest first
_BF16 = {  # the fastest first
    "amx_bf16": "matrix units (amx_bf16): arithmetic shrinks by more than the bytes, so a shift costs relatively more",
    "avx512_bf16": "vector instructions (avx512_bf16)",
    "bf16": "vector instructions (bf16)",
}
_TENSOR_CORES = {"fp16": (7, 0), "bf16": (8, 0)}  # from which compute capability: Volta, Ampere


def capabilities(probe: Probe | None = None) -> list[str]:
    """Devices, threads, dtypes, runtimes, sections, and how to learn the smallest difference. Imports torch."""
    probe = probe or Probe()
    cores = len(probe.usable())
    flags = cpu_flags(probe)
    gpus = probe.cuda()
    devices = ("cpu", "cuda") if gpus else ("cpu",)
    runtimes = [name for name in RUNTIMES if ONLY_ON.get(name, "cpu") in devices]
    fp32 = next((words for flag, words in _FP32.items() if flag in flags), "")
    bf16 = next(
        (words for flag, words in _BF16.items() if flag in flags),
        "no instructions seen for it: likely slower than fp32",
    )
    return [
        f"device cpu: {_processor(probe)}, --threads 1{f' to {cores}' if cores > 1 else ''}",
        "  fp32: " + (fp32 or "instruction sets unknown"),
        f"  bf16: {bf16}",
        *(line for gpu in gpus for line in _cuda(gpu)),
        *([] if gpus else ["device cuda: none that this torch can use; GPU cases are left out"]),
        f"runtimes: {', '.join(runtimes)}",
        f"sections: {', '.join(SECTIONS)}",
        "smallest difference: about 0.5 points in 10 minutes on a quiet machine with two cores; the figure for this "
        "one: run_bench.py validate --budget 10m",
    ]


def cpu_flags(probe: Probe) -> frozenset[str]:
    """What /proc/cpuinfo calls flags (x86) or Features (ARM); empty where it is not there."""
    for line in (probe.text("proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def _processor(probe: Probe) -> str:
    for line in (probe.text("proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return one_line(line.partition(":")[2])
    return platform.processor() or platform.machine()


def _cuda(gpu: CudaDevice) -> list[str]:
    with_units = [dtype for dtype, since in _TENSOR_CORES.items() if gpu.capability >= since]
    version = ".".join(map(str, gpu.capability))
    units = f"matrix units for {' and '.join(with_units)}" if with_units else "no matrix units for fp16 or bf16"
    return [f"device cuda: {one_line(gpu.name)}, compute capability {version}", f"  {units}"]
