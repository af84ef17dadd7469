"""What the NVIDIA driver says of its GPUs: clocks, power, temperature, throttling, settings. No torch.

Needs the package nvidia-ml-py and a driver; both are optional. What is unknown is NaN, None or empty, never an error.
Everything is read, nothing is set: locking clocks needs an administrator, and would hide what a user will see.
Source: NVML API reference, "Clocks event reasons" (named "throttle reasons" before driver 535).
"""

import contextlib
import importlib.util
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REASONS = (  # by bit: why the clock is not as high as it could be
    *("idle", "application clocks", "software power cap", "hardware slowdown", "sync boost"),
    *("software thermal slowdown", "hardware thermal slowdown", "power brake", "display clocks"),
    *("board limit", "reliability limit"),
)

DISTURBING = 0x008 | 0x020 | 0x040 | 0x080
"""The bits that count as a disturbance: heat and a failing supply come and go, and cut the clock by up to a half.

Not among them: a state that was chosen (idle, application and display clocks, sync boost), and limits that a GPU meets
in normal work (power cap, board and reliability limit). Their effect shows in the clock and in the estimate in cycles.
"""

SLOWING_WHILE_IDLE = DISTURBING | 0x004 | 0x010
"""The bits that the doctor warns of: a GPU that does nothing has no reason to be at its power cap either."""

_NVML: Any = importlib.import_module("pynvml") if importlib.util.find_spec("pynvml") else None
_SM_CLOCK, _MEMORY_CLOCK, _CHIP = 1, 2, 0  # NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU
_COMPUTE_MODES = {2: "prohibited", 3: "exclusive process"}  # NVML_COMPUTEMODE_…; 0 is the default
_DRIVER = Path("/proc/driver/nvidia")


def reason_names(bits: int) -> tuple[str, ...]:
    """The names of the bits; a bit that is newer than ``REASONS`` by its number."""
    places = (n for n in range(bits.bit_length()) if bits >> n & 1)
    return tuple(REASONS[n] if n < len(REASONS) else f"bit {n}" for n in places)


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
    uuid: str | None = None


class Gpu:
    """One device of the management library. nvml: the module ``pynvml``, or a fake. Without a handle: nothing known."""

    def __init__(self, nvml: Any = None, handle: Any = None) -> None:
        self._nvml, self._handle = nvml, handle

    @property
    def driver(self) -> str:
        """The driver's version; empty where unknown."""
        return _ask(self._nvml, "nvmlSystemGetDriverVersion") or ""

    def sm_mhz(self) -> float:
        """Clock of the streaming multiprocessors, which do the arithmetic."""
        return self._number("ClockInfo", _SM_CLOCK)

    def sensors(self) -> dict[str, float]:
        """Everything that is read once a superblock; empty where there is nothing to read."""
        if self._handle is None:
            return {}
        bits = self._throttle_bits()
        return {
            "sm_mhz": self.sm_mhz(),
            "memory_mhz": self._number("ClockInfo", _MEMORY_CLOCK),
            "power_w": self._number("PowerUsage") / 1000,
            "temperature_c": self._number("Temperature", _CHIP),
            "throttle_reasons": math.nan if bits is None else float(bits),
            "throttled": math.nan if bits is None else float(bits & DISTURBING > 0),
        }

    def state(self) -> GpuState:
        """What the doctor looks at."""
        persistence, use, slices = (self._get(it) for it in ("PersistenceMode", "UtilizationRates", "MigMode"))
        running = self._get("ComputeRunningProcesses") or ()
        pids = [process.pid for process in running if process.pid != os.getpid()]  # a stranger's has no name here
        names = [_ask(self._nvml, "nvmlSystemGetProcessName", pid) or f"process {pid}" for pid in pids]
        return GpuState(
            name=self._get("Name") or "NVIDIA GPU",
            persistent=None if persistence is None else bool(persistence),
            others=tuple(dict.fromkeys(Path(name).name for name in names)),
            busy=use and use.gpu,
            compute_mode=_COMPUTE_MODES.get(self._get("ComputeMode")),
            throttled=reason_names((self._throttle_bits() or 0) & SLOWING_WHILE_IDLE),
            application_mhz=self._get("ApplicationsClock", _SM_CLOCK),
            default_mhz=self._get("DefaultApplicationsClock", _SM_CLOCK),
            sliced=slices and bool(slices[0]),
            uuid=self._get("UUID"),
        )

    def _throttle_bits(self) -> Any:
        bits = self._get("CurrentClocksEventReasons")
        return self._get("CurrentClocksThrottleReasons") if bits is None else bits

    def _get(self, what: str, *arguments: int) -> Any:
        return None if self._handle is None else _ask(self._nvml, f"nvmlDeviceGet{what}", self._handle, *arguments)

    def _number(self, what: str, *arguments: int) -> float:
        value = self._get(what, *arguments)
        return math.nan if value is None else float(value)


def visible_gpu(uuid: str | None = None, nvml: Any = None) -> Gpu:
    """The device that torch uses, by its ``uuid`` (torch writes it without NVML's prefix), else the machine's only one.

    Numbers are not used: CUDA and the driver count differently, and another device's clock is worse than none.
    """
    nvml = nvml or _NVML
    if nvml is None:
        return Gpu()
    try:
        nvml.nvmlInit()
        named = (_ask(nvml, "nvmlDeviceGetHandleByUUID", f"{kind}-{uuid}") for kind in ("GPU", "MIG"))
        if (handle := next((it for it in named if it is not None), None)) is not None:
            return Gpu(nvml, handle)
        return Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(0)) if nvml.nvmlDeviceGetCount() == 1 else Gpu()
    except nvml.NVMLError:
        return Gpu()


def gpu_states(nvml: Any = None) -> tuple[tuple[GpuState, ...], str]:
    """(all GPUs of the machine, why they cannot be read); both empty where there is none."""
    nvml = nvml or _NVML
    if nvml is None:
        present = shutil.which("nvidia-smi") is not None or (_DRIVER / "version").exists()
        return (), "nvidia-ml-py is not installed" if present else ""
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded):
        return (), ""
    except nvml.NVMLError as error:
        return (), f"NVML says: {error}"
    return tuple(Gpu(nvml, handle).state() for handle in handles), ""


def known_gpus(nvml: Any = None, proc: Path = _DRIVER) -> list[tuple[str, str | None]]:
    """(name, UUID) of all GPUs, by the management library or else the driver's files: they tell machines apart."""
    if states := gpu_states(nvml)[0]:
        return [(state.name, state.uuid) for state in states]
    found = list[tuple[str, str | None]]()
    for file in sorted(proc.glob("gpus/*/information")):
        with contextlib.suppress(OSError):
            facts = dict(line.partition(":")[::2] for line in file.read_text().splitlines())
            found.append((facts.get("Model", "NVIDIA GPU").strip(), facts.get("GPU UUID", "").strip() or None))
    return found


def _ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """What a function of the library answers; None where binding, driver or device cannot say."""
    if nvml is None:
        return None
    try:
        return getattr(nvml, function)(*arguments)
    except (nvml.NVMLError, AttributeError):
        return None
