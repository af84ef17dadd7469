"""What NVML, the driver's own library, tells of NVIDIA GPUs. Read only: no setting is ever touched."""

import importlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_REASONS = {  # NVML's names for why a clock is lower than it could be -> words
    "SwPowerCap": "power cap",
    "HwSlowdown": "hardware slowdown",
    "SwThermalSlowdown": "heat",
    "HwThermalSlowdown": "heat (hardware)",
    "HwPowerBrakeSlowdown": "power brake",
    "SyncBoost": "clocks tied to another GPU",
}  # an idle GPU and clocks set by the user are reasons too, and no disturbance
_ABSENT = ("LibraryNotFound", "DriverNotLoaded")  # no NVIDIA driver here: nothing to report


@dataclass(frozen=True)
class Gpu:
    """One GPU. None is not known. others: names of processes other than this one; busy: per cent of the last interval;
    clocks in MHz; throttled: why the clock is low now.
    """

    name: str
    persistent: bool | None = None
    others: tuple[str, ...] = ()
    busy: int | None = None
    compute_mode: str | None = None
    throttled: tuple[str, ...] = ()
    application_mhz: int | None = None
    default_mhz: int | None = None
    sliced: bool | None = None


@dataclass(frozen=True)
class Nvidia:
    """The GPUs, and where they cannot be asked, why."""

    gpus: tuple[Gpu, ...] = ()
    problem: str = ""


def read_nvidia() -> Nvidia:
    """Ask NVML where ``nvidia-ml-py`` is installed; without it, say so where a GPU seems to be there."""
    try:
        nvml = importlib.import_module("pynvml")  # optional, and without types
    except ImportError:
        here = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
        return Nvidia(problem="nvidia-ml-py is not installed" if here else "")
    return ask(nvml)


def ask(nvml: Any) -> Nvidia:
    """All GPUs. nvml: the module ``pynvml``, or anything that answers like it."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        absent = any(isinstance(error, getattr(nvml, f"NVMLError_{name}")) for name in _ABSENT)
        return Nvidia(problem="" if absent else f"NVML says: {error}")
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return Nvidia(tuple(_gpu(nvml, handle) for handle in handles))
    except nvml.NVMLError as error:
        return Nvidia(problem=f"NVML says: {error}")
    finally:
        nvml.nvmlShutdown()


def _gpu(nvml: Any, handle: Any) -> Gpu:
    def value(name: str, *more: Any) -> Any:
        """What NVML answers; None where this GPU, driver or permission has no answer."""
        try:
            return getattr(nvml, f"nvmlDeviceGet{name}")(handle, *more)
        except nvml.NVMLError:
            return None

    persistence, mig, use = value("PersistenceMode"), value("MigMode"), value("UtilizationRates")
    modes = {
        nvml.NVML_COMPUTEMODE_PROHIBITED: "prohibited",
        nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: "exclusive process",
    }
    return Gpu(
        name=_text(value("Name")) or "NVIDIA GPU",
        persistent=None if persistence is None else persistence == nvml.NVML_FEATURE_ENABLED,
        others=_others(nvml, value),
        busy=None if use is None else int(use.gpu),
        compute_mode=modes.get(value("ComputeMode")),
        throttled=_throttled(nvml, value("CurrentClocksThrottleReasons")),
        application_mhz=value("ApplicationsClock", nvml.NVML_CLOCK_SM),
        default_mhz=value("DefaultApplicationsClock", nvml.NVML_CLOCK_SM),
        sliced=None if mig is None else mig[0] == nvml.NVML_DEVICE_MIG_ENABLE,
    )


def _others(nvml: Any, value: Callable[..., Any]) -> tuple[str, ...]:
    """The names of other processes that compute on the GPU, each once."""
    names = []
    for process in value("ComputeRunningProcesses") or ():
        if process.pid != os.getpid():
            try:
                name = Path(_text(nvml.nvmlSystemGetProcessName(process.pid))).name
            except nvml.NVMLError:  # another user's, or another container's
                name = ""
            names.append(name or f"process {process.pid}")
    return tuple(dict.fromkeys(names))


def _throttled(nvml: Any, bits: int | None) -> tuple[str, ...]:
    return tuple(
        words for name, words in _REASONS.items() if (bits or 0) & getattr(nvml, f"nvmlClocksThrottleReason{name}")
    )


def _text(answer: str | bytes | None) -> str:
    """Older versions of the library answer in bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer or ""
