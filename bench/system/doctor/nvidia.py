"""What the state of an NVIDIA GPU does to a measurement. Settings are named, never touched."""

from collections.abc import Iterator

from bench.system.doctor.advice import Advice, note, ok, one_line, warning
from bench.system.doctor.nvml import Gpu
from bench.system.doctor.probe import Probe

_BUSY = 5  # per cent: an idle GPU shows 0; in a container it is all that shows of other users
_NAMES_AT_MOST = 3


def gpus(probe: Probe) -> list[Advice]:
    """All GPUs; nothing is said where there is none."""
    nvidia = probe.nvidia()
    found = [advice for index, gpu in enumerate(nvidia.gpus) for advice in _gpu(index, gpu)]
    if nvidia.problem:
        found.append(
            note(
                f"the NVIDIA GPU cannot be asked about its state: {one_line(nvidia.problem, 120)}",
                "clocks, power, temperature and throttling of a run are not recorded, nor are latencies in cycles",
                "install it with uv sync --extra nvidia, with a driver that answers nvidia-smi",
            )
        )
    return found


def _gpu(index: int, gpu: Gpu) -> list[Advice]:
    label = f"GPU {index} ({one_line(gpu.name)})"
    return list(_found(index, label, gpu)) or ok(f"{label} is idle, persistent and not throttled")


def _found(index: int, label: str, gpu: Gpu) -> Iterator[Advice]:
    if gpu.others or (gpu.busy or 0) > _BUSY:
        names = ", ".join(one_line(name, 30) for name in gpu.others[:_NAMES_AT_MOST])
        seen = (
            f"{len(gpu.others)} other programs ({names})" if gpu.others else "others, though none is visible from here"
        )
        use = "" if gpu.busy is None else f"; it is {gpu.busy} % busy"
        yield warning(
            f"{label} is used by {seen}{use}",
            "their kernels and copies run between the timed ones, and heat the same chip",
            "end them (nvidia-smi shows them), or take another GPU with CUDA_VISIBLE_DEVICES",
        )
    if gpu.throttled:
        yield warning(
            f"{label} runs below its clock now: {', '.join(gpu.throttled)}",
            "latencies rise with time and load; figures in cycles hold, and such superblocks are flagged",
            "let it cool down, look to its cooling and power limit (nvidia-smi -q -d PERFORMANCE,POWER)",
        )
    if gpu.compute_mode == "prohibited":
        yield warning(
            f"{label} has compute mode 'prohibited'", "no case can run on it", f"sudo nvidia-smi -i {index} -c DEFAULT"
        )
    elif gpu.compute_mode:
        yield note(
            f"{label} has compute mode '{gpu.compute_mode}'",
            "a worker cannot start while another process still holds the GPU: such cases fail",
            f"keep the GPU free during a run, or: sudo nvidia-smi -i {index} -c DEFAULT",
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
