"""What the NVIDIA driver says of its GPUs: clocks, power, temperature, throttling, settings. No torch.

Needs the package nvidia-ml-py and a driver; both are optional. What is unknown is NaN, None or empty, never an error.
Everything is read, nothing is set: locking clocks needs an administrator, and would hide what a user will see.

Source: NVML API reference, "Clocks event reasons" (named "throttle reasons" before driver 535).
"""

import importlib
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MILLI = 1e-3

REASONS: dict[int, str] = {
    0x001: "idle",
    0x002: "application clocks",
    0x004: "software power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability limit",
}
"""The driver's bits: why the clock is not as high as it could be."""

DISTURBING = 0x008 | 0x020 | 0x040 | 0x080
"""The bits that count as a disturbance: heat and a failing supply come and go, and cut the clock by up to a half.

Not among them: a state that was chosen (idle, application and display clocks, sync boost), and limits that a GPU meets
in normal work (power cap, board and reliability limit): under a heavy load it runs at its power cap all the time. Their
effect on a result shows in the clock, and in the estimate in cycles.
"""

SLOWING_WHILE_IDLE = DISTURBING | 0x004 | 0x010
"""The bits that the doctor warns of: a GPU that does nothing has no reason to be at its power cap either."""

_COMPUTE_MODES = {2: "prohibited", 3: "exclusive process"}  # NVML_COMPUTEMODE_…; 0 is the default


def reason_names(bits: int) -> tuple[str, ...]:
    """The names of the bits; a bit that is newer than this table by its number."""
    return tuple(REASONS.get(1 << n, f"bit {n}") for n in range(bits.bit_length()) if bits >> n & 1)


def is_throttled(bits: int) -> bool:
    """Whether a reason that counts as a disturbance is among them."""
    return bool(bits & DISTURBING)


@dataclass(frozen=True)
class GpuState:
    """Settings and use of a GPU; None is unknown.

    others: names of other processes that compute on it. busy: per cent of the driver's last interval. throttled: why
    the clock is low now. Clocks in MHz. sliced: cut into MIG slices.
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


class Gpu:
    """One device of the management library. nvml: the module ``pynvml``; None: nothing is known."""

    def __init__(self, nvml: Any = None, handle: Any = None) -> None:
        self._nvml, self._handle = nvml, handle

    @property
    def known(self) -> bool:
        """Whether there is something to read."""
        return self._handle is not None

    @property
    def driver(self) -> str:
        """The driver's version; empty where unknown."""
        return _text(_ask(self._nvml, "nvmlSystemGetDriverVersion"))

    def sm_mhz(self) -> float:
        """Clock of the streaming multiprocessors, which do the arithmetic."""
        return self._number("nvmlDeviceGetClockInfo", getattr(self._nvml, "NVML_CLOCK_SM", 1))

    def throttle_reasons(self) -> float:
        """The bits of ``REASONS`` that hold the clock down now."""
        bits = self._number("nvmlDeviceGetCurrentClocksEventReasons")
        return self._number("nvmlDeviceGetCurrentClocksThrottleReasons") if math.isnan(bits) else bits

    def sensors(self) -> dict[str, float]:
        """Everything that is read once a superblock; empty where there is nothing to read."""
        if not self.known:
            return {}
        bits = self.throttle_reasons()
        return {
            "sm_mhz": self.sm_mhz(),
            "memory_mhz": self._number("nvmlDeviceGetClockInfo", getattr(self._nvml, "NVML_CLOCK_MEM", 2)),
            "power_w": self._number("nvmlDeviceGetPowerUsage") * _MILLI,
            "temperature_c": self._number("nvmlDeviceGetTemperature", getattr(self._nvml, "NVML_TEMPERATURE_GPU", 0)),
            "throttle_reasons": bits,
            "throttled": math.nan if math.isnan(bits) else float(is_throttled(int(bits))),
        }

    def state(self) -> GpuState:
        """What the doctor looks at."""
        persistence = self._get("nvmlDeviceGetPersistenceMode")
        use, slices = self._get("nvmlDeviceGetUtilizationRates"), self._get("nvmlDeviceGetMigMode")
        bits, clock = self.throttle_reasons(), getattr(self._nvml, "NVML_CLOCK_SM", 1)
        return GpuState(
            name=_text(self._get("nvmlDeviceGetName")) or "NVIDIA GPU",
            persistent=None if persistence is None else bool(persistence),
            others=self._others(),
            busy=None if use is None else int(use.gpu),
            compute_mode=_COMPUTE_MODES.get(self._get("nvmlDeviceGetComputeMode")),
            throttled=() if math.isnan(bits) else reason_names(int(bits) & SLOWING_WHILE_IDLE),
            application_mhz=self._get("nvmlDeviceGetApplicationsClock", clock),
            default_mhz=self._get("nvmlDeviceGetDefaultApplicationsClock", clock),
            sliced=None if slices is None else bool(slices[0]),
        )

    def _others(self) -> tuple[str, ...]:
        names = []
        for process in self._get("nvmlDeviceGetComputeRunningProcesses") or ():
            if process.pid != os.getpid():  # without a name: another user's, or another container's
                name = _text(_ask(self._nvml, "nvmlSystemGetProcessName", process.pid))
                names.append(Path(name).name or f"process {process.pid}")
        return tuple(dict.fromkeys(names))

    def _get(self, function: str, *arguments: Any) -> Any:
        return _ask(self._nvml, function, self._handle, *arguments) if self.known else None

    def _number(self, function: str, *arguments: Any) -> float:
        value = self._get(function, *arguments)
        return math.nan if value is None else float(value)


def visible_gpu(uuid: str | None = None, nvml: Any = None) -> Gpu:
    """The device that torch uses, which carries this ``uuid`` (torch writes it without NVML's prefix).

    Without it: what CUDA_VISIBLE_DEVICES names by its UUID, else the only device of the machine. Numbers are not used:
    CUDA and the driver count differently, and the clock of another device is worse than none. nvml: for tests.
    """
    nvml = nvml or _library()
    if nvml is None or _ask(nvml, "nvmlInit", otherwise=False) is False:
        return Gpu()
    named = uuid or os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    names = [named] if named[:4] in ("GPU-", "MIG-") else [f"{kind}-{named}" for kind in ("GPU", "MIG") if uuid]
    for name in names:
        if (handle := _ask(nvml, "nvmlDeviceGetHandleByUUID", name)) is not None:
            return Gpu(nvml, handle)
    if _ask(nvml, "nvmlDeviceGetCount") == 1:
        return Gpu(nvml, _ask(nvml, "nvmlDeviceGetHandleByIndex", 0))
    return Gpu()


def gpu_states(nvml: Any = None) -> tuple[tuple[GpuState, ...], str]:
    """(all GPUs of the machine, why they cannot be read); both empty where there is none. nvml: for tests."""
    nvml = nvml or _library()
    if nvml is None:
        present = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
        return (), "nvidia-ml-py is not installed" if present else ""
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded):
        return (), ""
    except nvml.NVMLError as error:
        return (), f"NVML says: {error}"
    return tuple(Gpu(nvml, handle).state() for handle in handles), ""


def _library() -> Any:
    try:
        return importlib.import_module("pynvml")  # optional, and without types
    except ImportError:
        return None


def _ask(nvml: Any, function: str, *arguments: Any, otherwise: Any = None) -> Any:
    """What a function of the library returns; ``otherwise`` where library, driver or device cannot say."""
    call: Callable[..., Any] | None = getattr(nvml, function, None)
    if call is None:
        return otherwise
    try:
        return call(*arguments)
    except (nvml.NVMLError, TypeError):  # TypeError: an old binding that wants bytes
        return otherwise


def _text(answer: str | bytes | None) -> str:
    """Older versions of the library answer in bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer or ""
