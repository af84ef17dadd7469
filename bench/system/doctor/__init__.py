"""What will disturb a measurement on this machine, what the user can do about it, and what it can measure at all.

``host`` reads, ``findings`` judges. Nothing is changed.
"""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.spec.axes import ONLY_ON, RUNTIMES, SECTIONS
from bench.system.doctor.findings import CHECKS, Finding, Unknown, finding, one_line
from bench.system.doctor.host import Host
from bench.system.environment import ROOT, cpu_flags, cpu_model, usable_cores

__all__ = ["Finding", "Host", "capabilities", "diagnose", "lines"]

_FP32 = {"avx512f": "AVX-512", "avx2": "AVX2", "sve": "SVE", "asimd": "NEON"}  # the widest first
_BF16 = {  # the fastest first
    "amx_bf16": "matrix units (amx_bf16): arithmetic shrinks by more than the bytes, so a shift costs relatively more",
    "avx512_bf16": "vector instructions (avx512_bf16)",
    "bf16": "vector instructions (bf16)",
}
_TENSOR_CORES = {"fp16": (7, 0), "bf16": (8, 0)}  # from which compute capability: Volta, Ampere

CudaDevice = tuple[str, tuple[int, int]]  # name, compute capability


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


def lines(findings: Iterable[Finding]) -> list[str]:
    """For a terminal, the most severe first: three lines for each thing found, and one for all that is in order."""
    findings = list(findings)
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
