"""A GPU made of arithmetic: what the GPU path needs of ``torch.cuda`` and of the driver, and a device of both.

Tensors live on the CPU and everything is really computed; only time is simulated. The device is bound by memory: a call
takes ``CYCLES_PER_BYTE`` for every byte that its operators read and write, whatever the machine that runs the test.
"""

import ctypes
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.measure.latency import traffic
from bench.measure.latency.devices import Clock, CudaDevice
from bench.system.gpu import DISTURBING, Gpu

CYCLES_PER_BYTE = 1.0
FULL_MHZ = 2000.0
POWER_CAP, HEAT = 0x04, 0x20  # the driver's bits; at its power cap such a device is all the time
LOST = "CUDA error: device lost"
NOT_CAPTURED = "CUDA error: operation not permitted when stream is capturing"
_REFERENCE_BYTES = 1e6  # a call of this size runs at the full clock


class _Mode(TorchDispatchMode):
    """Sees every operator but views, which move nothing."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; where torch guards against it, the first operator costs seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs, outputs = _tensors((args, kwargs)), _tensors(out)
        known = {tensor.untyped_storage().data_ptr() for tensor in inputs}
        fresh = all(tensor.untyped_storage().data_ptr() not in known for tensor in outputs)
        if fresh or func._schema.is_mutable:
            self.see(inputs, outputs, lambda: func(*args, **(kwargs or {})), fresh)
        return out

    def see(self, inputs: list[Tensor], outputs: list[Tensor], again: Callable[[], Any], fresh: bool) -> None:
        """fresh: the outputs are new tensors, not inputs that were written to. again: runs the operator once more."""
        raise NotImplementedError


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class _Bytes(_Mode):
    """Adds up the bytes of all that operators read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def see(self, inputs: list[Tensor], outputs: list[Tensor], again: Callable[[], Any], fresh: bool) -> None:
        self.moved += sum(tensor.numel() * tensor.element_size() for tensor in inputs + outputs)


def cycles(call: Callable[[], Any]) -> tuple[float, Any]:
    """(what the simulated device needs for a call, what the call returned)."""
    with _Bytes() as work:
        result = call()
    return work.moved * CYCLES_PER_BYTE, result


class _Tape(_Mode):
    """A graph: operators that run again on the tensors that they read and wrote when it was captured."""

    def __init__(self) -> None:
        super().__init__()
        self._operators: list[tuple[Callable[[], Any], list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in (
            "item",
            "_local_scalar_dense",
        ):  # for the host, who waits
            raise RuntimeError(NOT_CAPTURED)
        return super().__torch_dispatch__(func, types, args, kwargs)

    def see(self, inputs: list[Tensor], outputs: list[Tensor], again: Callable[[], Any], fresh: bool) -> None:
        self._operators.append((again, outputs if fresh else []))

    def run(self) -> None:
        with torch.inference_mode():
            for again, outputs in self._operators:
                for target, source in zip(outputs, _tensors(again()), strict=False):
                    # a graph writes where it wrote at capture; that is no operator, and must not count as one
                    ctypes.memmove(target.data_ptr(), source.data_ptr(), source.numel() * source.element_size())


class FakeCuda:
    """What stands in for ``torch.cuda``. told: the calls in their order. now: simulated seconds."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.now, self.held, self.peak, self.lost = 0.0, 0, 0, False
        self._streams = ["default"]
        self.pools: list[object] = []  # of the graphs, in their order

    def synchronize(self) -> None:
        self.told.append("synchronize")
        if self.lost:
            raise RuntimeError(LOST)

    def memory_allocated(self) -> int:
        return self.held

    def max_memory_allocated(self) -> int:
        return self.peak

    def reset_peak_memory_stats(self) -> None:
        self.peak = self.held

    def get_device_name(self, index: int) -> str:
        return "Simulated GPU"

    def get_device_capability(self, index: int) -> tuple[int, int]:
        return (9, 0)

    def Event(self, *, enable_timing: bool) -> "_Event":
        assert enable_timing
        return _Event(self)

    def Stream(self) -> "_Stream":
        return _Stream(self, "side")

    def current_stream(self) -> "_Stream":
        return _Stream(self, self._streams[-1])

    @contextmanager
    def stream(self, stream: "_Stream") -> Iterator[None]:
        self._streams.append(stream.name)
        self.told.append(f"on {stream.name}")
        yield
        self._streams.pop()
        self.told.append(f"on {self._streams[-1]}")

    def CUDAGraph(self) -> "_Graph":
        return _Graph(self)

    def graph_pool_handle(self) -> object:
        return object()

    @contextmanager
    def graph(self, graph: "_Graph", pool: object = None) -> Iterator[None]:
        self.told.append("capture")
        self.pools.append(pool)
        with graph.tape:
            yield
        self.told.append("captured")


class _Event:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda, self._at = cuda, math.nan

    def record(self) -> None:
        self._cuda.told.append("record")
        self._at = self._cuda.now

    def synchronize(self) -> None:
        self._cuda.told.append("wait for event")

    def elapsed_time(self, end: "_Event") -> float:
        return (end._at - self._at) * 1e3  # milliseconds, as torch has it


class _Stream:
    def __init__(self, cuda: FakeCuda, name: str) -> None:
        self._cuda, self.name = cuda, name

    def wait_stream(self, other: "_Stream") -> None:
        self._cuda.told.append(f"{self.name} waits for {other.name}")


class _Graph:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda, self.tape = cuda, _Tape()

    def replay(self) -> None:
        self._cuda.told.append("replay")
        self.tape.run()


class FakeGpu(Gpu):
    """What the driver says."""

    driver = "590.01"
    mhz, reasons = FULL_MHZ, POWER_CAP

    def sm_mhz(self) -> float:
        return self.mhz

    def sensors(self) -> dict[str, float]:
        throttled = float(bool(self.reasons & DISTURBING))
        return {"sm_mhz": self.mhz, "throttle_reasons": float(self.reasons), "throttled": throttled}


@dataclass
class Bus:
    """What outlives a process: whether the device is gone for all of them, or only a context was broken."""

    gone: bool = False


class SimulatedGpu(CudaDevice):
    """The real ``CudaDevice`` over a fake CUDA and a fake driver, with effects that are known exactly.

    fall_per_slot: share of the full clock that is lost with every slot. power: a call that moves r times as much runs
    at a clock r ** -power as high, so that it takes r times the cycles and r ** (1 + power) times the time.
    noise_sd: of log-cycles, the same in every process with the same ``seed``. throttled_from: the reading of the
    sensors (the first is 0; a superblock reads them before and after) from which on heat holds the clock down to the
    share ``throttle``. lost_after: slots after which the device is lost, to all that share its ``bus``.

    current: the one that was made last, for strategies that break it.
    """

    torch_device = "cpu"
    current: ClassVar["SimulatedGpu"]

    def __init__(
        self,
        *,
        fall_per_slot: float = 0.0,
        power: float = 0.0,
        noise_sd: float = 0.0,
        seed: int = 0,
        throttled_from: int | None = None,
        throttle: float = 0.5,
        lost_after: int | None = None,
        bus: Bus | None = None,
    ) -> None:
        self.driver, self.cuda = FakeGpu(), FakeCuda()
        super().__init__(self.cuda, self.driver)
        self._fall, self._power, self._noise_sd, self._rng = fall_per_slot, power, noise_sd, random.Random(seed)
        self._throttled_from, self._throttle, self._lost_after = throttled_from, throttle, lost_after
        self._slots = self._readings = 0
        self._bus = bus or Bus()
        self.cuda.lost = self._bus.gone
        SimulatedGpu.current = self

    def clock(self) -> Clock:
        return self.run

    def warm_up(self, calls: Sequence[Callable[[], Any]]) -> float:
        for call in calls:
            call()
        return 3.0

    def sensors(self) -> dict[str, float]:
        heat = self._throttled_from is not None and self._readings >= self._throttled_from
        self.driver.reasons = HEAT if heat else POWER_CAP
        self._readings += 1
        return super().sensors()

    def peak_memory(self, call: Callable[[], Any]) -> int:
        return traffic.count(call).peak_live_bytes

    def run(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """One slot: (seconds, result). Raises RuntimeError from the slot on in which the device is lost."""
        if self._lost_after is not None and self._slots >= self._lost_after:
            self.cuda.lost = self._bus.gone = True
        if self.cuda.lost:
            raise RuntimeError(LOST)
        needed, result = cycles(call)
        mhz = FULL_MHZ * (1 - self._fall * self._slots) * (needed / _REFERENCE_BYTES) ** -self._power
        self.driver.mhz = mhz * (self._throttle if self.driver.reasons == HEAT else 1.0)
        needed *= math.exp(self._rng.gauss(0.0, self._noise_sd))
        self._slots += 1
        return needed / (self.driver.mhz * 1e6), result
