"""Where slots run and how they are timed: the CPU, and a CUDA device.

Settings and clocks of the machine are recorded, never touched. Two exceptions: autotuning is switched off, as it would
choose another algorithm in another process, and float32 products are rounded as convolutions are.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch

from bench.models.runtimes import answers
from bench.spec.axes import ValueNotAllowed
from bench.system.gpu import Gpu, visible_gpu

WARM_UP_SECONDS = 3.0  # at the least: a GPU that idled raises its clock within a second and heats up for some more
WARM_UP_AT_MOST = 30.0  # a clock that has not settled by then drifts for minutes; the superblocks cancel a slow drift
_SETTLED = 0.01  # of the value: what is left after it is below the noise of a single slot (1 to 2 %)
_WINDOW_SECONDS = 1.0  # whose median is held against that of as many rounds before: what changes by less than 1 % in a
# second changes by less than 0.1 % from one superblock's slot to its mirror image, and that cancels
_WINDOW_ROUNDS = 3  # at the least: a median that one spike cannot move

Call = Callable[[], Any]
Clock = Callable[[Call], tuple[float, Any]]
"""Runs a call once: (seconds, what the call returned)."""


def cpu_clock(call: Call) -> tuple[float, Any]:
    """Wall time of a call that has ended when it returns."""
    start = time.perf_counter_ns()
    result = call()
    return (time.perf_counter_ns() - start) * 1e-9, result


class Device:
    """What the timed loop asks of the place where it runs; as it stands, the processor, which cannot tell everything.

    name: ``cpu`` or ``cuda``, as panels have it. torch_device: where tensors live (``cpu`` for a simulated GPU).
    cuda: ``torch.cuda`` or what stands in for it; None where there is none, and so no CUDA graphs. discarded: slots
    that run before those of a superblock and are not kept.
    """

    name = torch_device = "cpu"
    cuda: Any = None
    discarded = 0

    def clock(self) -> Clock:
        """The clock that can time a call here."""
        return cpu_clock

    def freeze(self) -> dict[str, Any]:
        """Switch autotuning off; the numeric settings and versions in force, as plain values for the record."""
        return {
            "interop_threads": torch.get_num_interop_threads(),
            "mkldnn": torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            **_numeric_settings(),
        }

    def warm_up(self, calls: Sequence[Call]) -> float:
        """Run the calls until their times mean something; the seconds that it took.

        A CPU needs nothing beyond the one pass that every call has made when it was built.
        """
        return 0.0

    def mhz(self) -> float:
        """The clock of the arithmetic units now; NaN where unknown, as no portable way tells a processor's."""
        return math.nan

    def sensors(self) -> dict[str, float]:
        """What the device says of itself now, ``throttled`` (0 or 1) among it; empty where it says nothing."""
        return {}

    def peak_memory(self, call: Call) -> int | None:
        """Bytes that the allocator held at the most during one call, beyond what it held before; None where unknown."""
        return None

    def present(self) -> bool:
        """Whether it is there and still answers."""
        return True


class CudaDevice(Device):
    """The CUDA device that torch uses. cuda, gpu: tests pass fakes."""

    name = torch_device = "cuda"
    discarded = (
        4  # after a pause the clock is low, and after copies nothing of a network is in the cache: 50 ms suffice
    )

    def __init__(self, cuda: Any = torch.cuda, gpu: Gpu | None = None) -> None:
        self.cuda, self._given = cuda, gpu
        self._seen = math.nan  # MHz, in the last slot

    @cached_property
    def _gpu(self) -> Gpu:
        """The same device as the driver's management library sees it."""
        return self._given or visible_gpu(str(getattr(self.cuda.get_device_properties(0), "uuid", "")) or None)

    def clock(self) -> Clock:
        """Time between two events on the current CUDA stream: the work itself, without the wait for its end.

        The stream is drained before the slot, so that a slot never pays for the one before it. Where the host is slower
        than the device, the launches count: that is what eager latency means. The device's clock is read once all is
        launched, while the device still works: it may fall as soon as that idles.
        """
        start, end = self.cuda.Event(enable_timing=True), self.cuda.Event(enable_timing=True)

        def clock(call: Call) -> tuple[float, Any]:
            self.cuda.synchronize()
            start.record()
            result = call()
            end.record()
            self._seen = self._gpu.sm_mhz()
            end.synchronize()
            return start.elapsed_time(end) * 1e-3, result

        return clock

    def freeze(self) -> dict[str, Any]:
        """cuDNN's autotuning off. TF32 stays as torch has it for convolutions, and holds for products too: a strategy
        that computes a convolution as products must round as its baseline does. The rest is left; all is recorded.
        """
        backends = torch.backends
        backends.cudnn.benchmark = False
        convolutions = backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
        torch.set_float32_matmul_precision("high" if convolutions == "tf32" else "highest")
        major, minor = self.cuda.get_device_capability(0)
        return {
            "device_name": self.cuda.get_device_name(0),
            "compute_capability": f"{major}.{minor}",
            "driver": self._gpu.driver,
            "cuda": torch.version.cuda,
            "cudnn": backends.cudnn.version(),
            "cudnn_benchmark": backends.cudnn.benchmark,
            "cudnn_deterministic": backends.cudnn.deterministic,
            "fp32_convolutions": convolutions,
            "fp32_products": _setting(lambda: backends.cuda.matmul.fp32_precision),
            **_numeric_settings(),
        }

    def warm_up(self, calls: Sequence[Call]) -> float:
        """By time, until the clock and the times have settled."""
        return warm_up_until_settled(calls, self.clock(), time.monotonic, self.mhz)

    def mhz(self) -> float:
        """The clock of the streaming multiprocessors, as it was in the last slot."""
        return self._gpu.sm_mhz() if math.isnan(self._seen) else self._seen

    def sensors(self) -> dict[str, float]:
        """sm_mhz, memory_mhz, power_w, temperature_c, throttle_reasons (the driver's bits) and throttled."""
        return self._gpu.sensors()

    def peak_memory(self, call: Call) -> int | None:
        """Of torch's caching allocator: bytes that tensors asked for, not blocks reserved.

        What was held before (shared weights, the input, what a library keeps for itself) is the same for baseline and
        strategy, provided that the call has run before.
        """
        self.cuda.synchronize()
        held = self.cuda.memory_allocated()
        self.cuda.reset_peak_memory_stats()
        call()
        self.cuda.synchronize()
        return int(self.cuda.max_memory_allocated()) - int(held)

    def present(self) -> bool:
        """As ``runtimes.answers`` finds."""
        return answers(self.torch_device, self.cuda)


def device_for(name: str) -> Device:
    """The device that a panel names. Nothing is asked of it yet: ``present`` says whether it is there."""
    known = {device.name: device for device in (Device, CudaDevice)}
    if name not in known:
        raise ValueNotAllowed(f"there is no device {name!r}; devices: {', '.join(known)}")
    return known[name]()


def warm_up_until_settled(
    calls: Sequence[Call], clock: Clock, now: Callable[[], float], mhz: Callable[[], float]
) -> float:
    """Run all calls in turn, round after round, until rounds take equally long and the clock holds; seconds spent.

    now: monotonic seconds. mhz: the device's clock, NaN where unknown. The last round is finished, so it may take a
    little more than ``WARM_UP_AT_MOST``.
    """
    start, rounds, clocks = now(), list[float](), list[float]()
    while calls:
        rounds.append(sum(clock(call)[0] for call in calls))
        clocks.append(mhz())
        spent = now() - start
        window = max(_WINDOW_ROUNDS, math.ceil(_WINDOW_SECONDS * len(rounds) / spent)) if spent > 0 else len(rounds)
        holds = spent >= WARM_UP_SECONDS and settled(rounds, window) and settled(clocks, window)
        if holds or spent >= WARM_UP_AT_MOST:
            break
    return now() - start


def settled(values: Sequence[float], window: int) -> bool:
    """The median of the last ``window`` values is within 1 % of that of the ones before; so is what is not known."""
    if len(values) < 2 * window:
        return False
    last, before = statistics.median(values[-window:]), statistics.median(values[-2 * window : -window])
    return math.isnan(last) or abs(last - before) <= _SETTLED * before


def _numeric_settings() -> dict[str, Any]:
    """Threads, and what decides how exact, and so how fast, a float32 product is."""
    return {
        "threads": torch.get_num_threads(),
        "matmul_precision": _setting(torch.get_float32_matmul_precision),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
    }


def _setting(read: Callable[[], Any]) -> Any:
    """torch refuses to name a setting that was changed through both of its interfaces."""
    try:
        return read()
    except RuntimeError:
        return "mixed"
