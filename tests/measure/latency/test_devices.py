"""The devices: a real CPU, and the CUDA path on a fake CUDA and a fake driver."""

import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from bench.measure.latency import devices
from bench.measure.latency.devices import CudaDevice, cpu_clock, settled, warm_up_until_settled
from bench.measure.latency.timing import Order, Replays, Slot, measure, run_superblock
from bench.measure.latency.traffic import CopyCurve
from bench.spec.axes import ValueNotAllowed
from bench.stats import exclusion
from bench.system.gpu import reason_names
from tests.measure.latency.simulated_gpu import FakeCuda, FakeGpu, SimulatedGpu, cycles


def adds(times: int) -> Callable[[], list[torch.Tensor]]:
    """A call whose bytes are exactly proportional to ``times``."""
    numbers = torch.ones(1000)
    return lambda: [numbers.add(1) for _ in range(times)]


def test_the_cpu_describes_itself_and_knows_no_cycles() -> None:
    device = devices.device_for("cpu")
    assert json.loads(json.dumps(device.freeze()))["threads"] == torch.get_num_threads()
    assert device.warm_up([lambda: None]) == 0.0  # every call has run once before
    assert math.isnan(device.mhz())
    assert (device.sensors(), device.peak_memory(lambda: None), device.present()) == ({}, None, True)
    seconds, result = cpu_clock(lambda: 42)
    assert result == 42 and 0 < seconds < 60
    with pytest.raises(ValueNotAllowed, match="'tpu'; devices: cpu, cuda"):
        devices.device_for("tpu")


# --- CUDA --------------------------------------------------------------------------------------------------------


def test_an_event_clock_drains_the_stream_first_and_times_between_two_events() -> None:
    cuda = FakeCuda()

    def call() -> str:
        cuda.told.append("call")
        cuda.now += 0.25
        return "answer"

    class Gpu(FakeGpu):
        def sm_mhz(self) -> float:
            cuda.told.append("clock")
            return 1755.0

    cuda.now = 7.0
    device = CudaDevice(cuda, Gpu())
    assert device.clock()(call) == (pytest.approx(0.25), "answer")
    assert cuda.told == ["synchronize", "record", "call", "record", "clock", "wait for event"]  # read while it works
    assert device.mhz() == 1755.0 and cuda.told[-1] == "wait for event"


@pytest.fixture
def _precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("_precision")
@pytest.mark.parametrize(("convolutions", "products"), [("tf32", "tf32"), ("ieee", "ieee")])
def test_products_are_rounded_as_convolutions_are(
    convolutions: str, products: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn.conv, "fp32_precision", convolutions)
    backend = SimulatedGpu().freeze()
    assert (backend["fp32_convolutions"], backend["fp32_products"]) == (convolutions, products)


@pytest.mark.usefixtures("_precision")
def test_autotuning_is_switched_off_and_the_rest_is_left_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    backend = SimulatedGpu().freeze()
    assert not torch.backends.cudnn.benchmark
    assert json.loads(json.dumps(backend)) == backend
    assert backend["cudnn_benchmark"] is False
    assert backend["matmul_precision"] == torch.get_float32_matmul_precision()
    described = (backend["device_name"], backend["driver"], backend["compute_capability"])
    assert described == ("Simulated GPU", "590.01", "9.0")
    assert {"cuda", "cudnn", "fp32_convolutions", "cudnn_deterministic"} <= set(backend)


def test_peak_memory_is_what_one_call_adds_to_what_was_held() -> None:
    cuda = FakeCuda()
    cuda.held, cuda.peak = 1000, 9999  # the peak of something earlier

    def call() -> None:
        cuda.peak = max(cuda.peak, cuda.held + 234)

    assert CudaDevice(cuda).peak_memory(call) == 234


def test_a_lost_device_is_not_present_and_a_full_one_is() -> None:
    gpu = SimulatedGpu(lost_after=1)
    gpu.clock()(adds(1))
    assert gpu.present()
    with pytest.raises(RuntimeError, match="device lost"):
        gpu.clock()(adds(1))
    assert not gpu.present()

    class Full(FakeCuda):
        def synchronize(self) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    gpu.cuda = Full()
    assert gpu.present()
    assert CudaDevice().present() == torch.cuda.is_available()


# --- warm-up -----------------------------------------------------------------------------------------------------


class Warming:
    """Calls take ``seconds`` each, longer at first; the clock rises to its full height with time."""

    def __init__(self, seconds: float = 0.01, cold: float = 0.0, constant: float = 1.0) -> None:
        self.now, self.ran = 0.0, list[str]()
        self._seconds, self._cold, self._time_constant = seconds, cold, constant

    def still_cold(self) -> float:
        return self._cold * math.exp(-self.now / self._time_constant)

    def clock(self, call: Callable[[], Any]) -> tuple[float, Any]:
        self.ran.append(call())
        taken = self._seconds * (1 + self.still_cold())
        self.now += taken
        return taken, None

    def warm_up(self, mhz: Callable[[float], float] | None = None) -> float:
        read = mhz or (lambda now: 1900 / (1 + self.still_cold()))
        return warm_up_until_settled([lambda: "a", lambda: "b"], self.clock, lambda: self.now, lambda: read(self.now))


@pytest.mark.parametrize(
    ("mhz", "least", "most"),
    [
        (None, devices.WARM_UP_SECONDS, devices.WARM_UP_SECONDS + 0.03),  # warm at once
        (lambda now: math.nan, devices.WARM_UP_SECONDS, devices.WARM_UP_SECONDS + 0.03),  # and its clock unknown
        (lambda now: 1000 + 100 * min(now, 8.0), 8.0, 10.0),  # a clock that still moves though times hold
        (lambda now: 1000 * 1.2**now, devices.WARM_UP_AT_MOST, devices.WARM_UP_AT_MOST + 0.1),  # never settles
    ],
)
def test_a_device_is_warmed_until_its_clock_holds(
    mhz: Callable[[float], float] | None, least: float, most: float
) -> None:
    machine = Warming()
    assert least <= machine.warm_up(mhz) < most
    assert machine.ran[:4] == ["a", "b", "a", "b"]


def test_a_device_that_warms_slowly_is_warmed_until_its_times_hold() -> None:
    machine = Warming(seconds=0.2, cold=0.5, constant=4.0)
    assert devices.WARM_UP_SECONDS < machine.warm_up() < devices.WARM_UP_AT_MOST
    assert machine.still_cold() < 0.03  # of 0.5: five rounds of 0.4 s later hardly anything changes any more
    assert warm_up_until_settled([], machine.clock, lambda: 5.0, lambda: math.nan) == 0.0


def test_settled_is_within_one_per_cent_of_before() -> None:
    assert settled([1.0] * 10, 5)
    assert settled([1.0] * 5 + [1.009] * 5, 5)
    assert not settled([1.0] * 5 + [1.011] * 5, 5)
    assert not settled([1.0] * 9, 5)
    assert settled([1.0] * 7 + [9.0] + [1.0] * 2, 5)  # one spike
    assert settled([math.nan] * 10, 5)  # a clock that cannot be read


# --- the timed loop on the simulated device -----------------------------------------------------------------------


def superblocks(gpu: SimulatedGpu, first: int, second: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    order = Order(seed=1, deadline=math.inf, superblocks=4, copy_mebibytes=(1,))
    measure({0: adds(first), 1: adds(second)}, events.append, order, gpu)
    return json.loads(json.dumps(events))


def test_cycles_recover_an_effect_that_time_exaggerates() -> None:
    """The heavier case runs at a lower clock, as one that draws more power does, and the clock falls for both."""
    assert cycles(adds(206))[0] / cycles(adds(200))[0] == pytest.approx(1.03)
    events = superblocks(SimulatedGpu(power=0.5, fall_per_slot=0.002), 200, 206)
    slots = [Slot(*row) for event in events for row in event["slots"]]

    def ratio(value: Callable[[Slot], float]) -> float:
        logs = {case: [math.log(value(slot)) for slot in slots if slot.case == case] for case in (0, 1)}
        return sum(logs[1]) / len(logs[1]) - sum(logs[0]) / len(logs[0])

    assert ratio(lambda slot: slot.seconds * slot.mhz) == pytest.approx(math.log(1.03), abs=1e-9)
    assert ratio(lambda slot: slot.seconds) == pytest.approx(1.5 * math.log(1.03), abs=1e-3)
    clocks = [slot.mhz for slot in slots if slot.case == 0]
    assert clocks == sorted(clocks, reverse=True)
    assert clocks[-1] < 0.97 * clocks[0]


def test_slots_that_find_the_device_cold_are_discarded() -> None:
    """After a pause, and after copies that emptied the cache, the first ones are slower."""
    gpu, ran = SimulatedGpu(), list[int]()
    order = Order(seed=1, deadline=math.inf, superblocks=3, copy_mebibytes=(1,))
    events: list[dict[str, Any]] = []
    measure({n: lambda n=n: ran.append(n) or adds(1)() for n in (0, 1, 2)}, events.append, order, gpu)
    assert [len(event["slots"]) for event in events] == [6, 6, 6]
    assert len(ran) == 3 * (gpu.discarded + 6)
    for number, event in enumerate(events):
        own = ran[number * (gpu.discarded + 6) :][gpu.discarded :][:6]
        assert own == [slot[0] for slot in event["slots"]] == own[::-1]
        assert [slot[1] for slot in event["slots"]] == list(range(6))


def test_a_slot_of_replays_lasts_several_and_tells_one_alone() -> None:
    calls = {0: Replays(adds(3), 5), 1: adds(3)}
    replayed, plain = (
        [slot for slot in run_superblock(calls, SimulatedGpu().clock(), random.Random(0)) if slot.case == case]
        for case in (0, 1)
    )
    assert [slot.seconds for slot in replayed] == [pytest.approx(slot.seconds) for slot in plain]
    assert all(slot.alone_seconds == pytest.approx(slot.seconds) for slot in replayed)
    assert all(slot.alone_seconds is None for slot in plain)


def test_copies_that_predict_replays_are_replayed() -> None:
    """One by one they would be bound by their launches, up to several MiB."""
    cuda = FakeCuda()
    curve = CopyCurve("cpu", (1, 2), cuda)
    assert cuda.told.count("capture") == 2 and len(set(map(id, cuda.pools))) == 1
    cuda.told.clear()
    found = curve.measure(lambda call: (cycles(call)[0], None))
    assert cuda.told == ["replay", "replay"]
    assert found == {size: pytest.approx(3 * size * 2**20) for size in (1, 2)}  # of one copy: it is given both buffers


def test_heat_is_flagged_from_the_superblock_on_in_which_it_comes() -> None:
    events = superblocks(SimulatedGpu(throttled_from=4), 20, 21)
    flagged = [bool(exclusion.reasons({"throttled": e["disturbance"]["throttled"]}, e["wall"])) for e in events]
    assert flagged == [False, False, True, True]
    assert reason_names(int(events[-1]["sensors"]["throttle_reasons"])) == ("software thermal slowdown",)
    assert events[-1]["sensors"]["sm_mhz"] < 0.6 * events[0]["sensors"]["sm_mhz"]


def test_a_device_that_is_lost_midway_keeps_what_was_measured_and_blames_no_case() -> None:
    events = superblocks(SimulatedGpu(lost_after=20), 20, 21)
    assert [event["event"] for event in events] == ["superblock", "superblock", "device_lost"]
    assert "device lost" in events[-1]["reason"]
