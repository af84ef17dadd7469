"""What an NVIDIA driver says of its device: clocks, power, temperature, and why a clock is held down. No torch.

Needs the package nvidia-ml-py and a driver; both are optional. What cannot be told is NaN or empty, never an error.
Everything is read, nothing is set: locking clocks needs an administrator, and would hide what a user will see.

Source: NVML API reference, "Clocks event reasons" (named "throttle reasons" before driver 535).
"""

import importlib
import math
import os
from collections.abc import Callable
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

Not among them: a state that was chosen (idle, application and display clocks, sync boost), and limits that a device
meets in normal work (the power cap, the board's and the voltage's limit): under a heavy load it runs at its power cap
all the time. What these do to a result shows in its clock, and in the estimate in cycles.
"""


def reason_names(bits: int) -> tuple[str, ...]:
    """The bits in words; a bit that is newer than this table by its number."""
    return tuple(REASONS.get(1 << n, f"bit {n}") for n in range(bits.bit_length()) if bits >> n & 1)


def is_throttled(bits: int) -> bool:
    """A reason that counts as a disturbance is among them."""
    return bool(bits & DISTURBING)


class Gpu:
    """One device of the management library. nvml: the module ``pynvml``; None: nothing is known."""

    def __init__(self, nvml: Any = None, handle: Any = None) -> None:
        self._nvml, self._handle = nvml, handle

    @property
    def known(self) -> bool:
        """There is something to read."""
        return self._handle is not None

    @property
    def driver(self) -> str:
        """The driver's version; empty where unknown."""
        version = _ask(self._nvml, "nvmlSystemGetDriverVersion")
        return version.decode() if isinstance(version, bytes) else str(version or "")

    def sm_mhz(self) -> float:
        """Clock of the streaming multiprocessors, which do the arithmetic."""
        return self._number("nvmlDeviceGetClockInfo", getattr(self._nvml, "NVML_CLOCK_SM", 1))

    def throttle_reasons(self) -> float:
        """The bits of ``REASONS`` that hold the clock down now; NaN where unknown."""
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

    def _number(self, function: str, *arguments: Any) -> float:
        value = _ask(self._nvml, function, self._handle, *arguments) if self.known else None
        return math.nan if value is None else float(value)


def visible_gpu(uuid: str | None = None, nvml: Any = None) -> Gpu:
    """The device that torch uses, which carries this ``uuid`` (torch writes it without NVML's prefix).

    Without it: what CUDA_VISIBLE_DEVICES names by its UUID, else the only device of the machine. Numbers are not used:
    CUDA and the driver count differently, and the clock of another device is worse than none. nvml: a seam for tests.
    """
    nvml = nvml or _library()
    if nvml is None or not _answers(nvml, "nvmlInit"):
        return Gpu()
    named = uuid or os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    names = [named] if named[:4] in ("GPU-", "MIG-") else [f"{kind}-{named}" for kind in ("GPU", "MIG") if uuid]
    for name in names:
        if (handle := _ask(nvml, "nvmlDeviceGetHandleByUUID", name)) is not None:
            return Gpu(nvml, handle)
    if _ask(nvml, "nvmlDeviceGetCount") == 1:
        return Gpu(nvml, _ask(nvml, "nvmlDeviceGetHandleByIndex", 0))
    return Gpu()


def _library() -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


def _answers(nvml: Any, function: str) -> bool:
    """The function exists and succeeds."""
    return _ask(nvml, function, otherwise=False) is not False


def _ask(nvml: Any, function: str, *arguments: Any, otherwise: Any = None) -> Any:
    """What a function of the library gives; ``otherwise`` where library, driver or device cannot say."""
    call: Callable[..., Any] | None = getattr(nvml, function, None)
    if call is None:
        return otherwise
    try:
        return call(*arguments)
    except (nvml.NVMLError, TypeError):  # TypeError: an old binding that wants bytes
        return otherwise
