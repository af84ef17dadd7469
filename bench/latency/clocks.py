"""How one slot is timed. A clock runs a call once and says how long it took, in seconds."""

import math
import random
import time
from collections.abc import Callable
from typing import Any, Protocol


class Clock(Protocol):
    """Runs a call and times it."""

    name: str

    def measure(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """(seconds, what the call returned)."""
        ...


class CpuClock:
    """Wall time of a call that has ended when it returns."""

    name = "perf_counter"

    def measure(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """(seconds, what the call returned)."""
        start = time.perf_counter_ns()
        result = call()
        return (time.perf_counter_ns() - start) * 1e-9, result


class CudaEventClock:
    """Time between two events on the current CUDA stream: the work itself, without the wait for its end.

    The stream is drained before the slot, so that a slot never pays for the one before it. Where the host is slower
    than the device, the launches count: that is what eager latency means.
    """

    name = "cuda_event"

    def __init__(self) -> None:
        import torch

        self._cuda = torch.cuda
        self._events = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))

    def measure(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """(seconds, what the call returned)."""
        start, end = self._events
        self._cuda.synchronize()
        start.record()
        result = call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e-3, result


class SimulatedClock:
    """A machine made of arithmetic, for tests: ``call`` returns the true seconds, the clock adds what machines add.

    Log-latency = log(truth) + an effect of its own for each call, as memory layout has in a process (``process_sd``)
    + linear drift per slot + AR(1) noise (``noise_sd``, ``autocorrelation``) + now and then a spike that doubles the
    slot (``spike_rate``). One instance is one process.
    """

    name = "simulated"

    def __init__(
        self,
        seed: int,
        *,
        noise_sd: float = 0.01,
        autocorrelation: float = 0.0,
        process_sd: float = 0.0,
        drift_per_slot: float = 0.0,
        spike_rate: float = 0.0,
    ) -> None:
        self._rng = random.Random(seed)
        self._noise_sd, self._rho = noise_sd, autocorrelation
        self._process_sd, self._drift, self._spike_rate = process_sd, drift_per_slot, spike_rate
        self._process_effects: dict[int, float] = {}
        self._slot, self._noise = 0, 0.0

    def measure(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """(simulated seconds, the true seconds)."""
        truth = call()
        fresh = self._rng.gauss(0.0, self._noise_sd * math.sqrt(1 - self._rho**2))
        self._noise = self._rho * self._noise + fresh
        effect = self._process_effects.setdefault(id(call), self._rng.gauss(0.0, self._process_sd))
        spike = math.log(2.0) if self._rng.random() < self._spike_rate else 0.0
        self._slot += 1
        return truth * math.exp(effect + self._drift * self._slot + self._noise + spike), truth


def clock_for(device: str) -> Clock:
    """The clock that can time a call on ``device``."""
    return CudaEventClock() if device == "cuda" else CpuClock()
