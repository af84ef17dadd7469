"""The devices: a real CPU, and the CUDA path on a fake CUDA and a fake driver."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch

from bench.measure.latency import devices
from bench.measure.latency.clocks import CudaEventClock
from bench.measure.latency.devices import CudaDevice, settled, warm_up_until_settled
from bench.measure.latency.sampling import Slot
from bench.measure.latency.timing import Order, measure
from bench.measure.latency.worker import answer
from bench.plugins.discovery import strategy_files
from bench.spec.axes import ValueNotAllowed, parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Panel, Variant
from bench.stats import exclusion
from bench.system.gpu import reason_names
from tests.measure.latency.simulated_gpu import FakeCuda, SimulatedGpu, cycles


def adds(times: int) -> Callable[[], list[torch.Tensor]]:
    """A call whose bytes are exactly proportional to ``times``."""
    numbers = torch.ones(1000)
    return lambda: [numbers.add(1) for _ in range(times)]


# --- the CPU -----------------------------------------------------------------------------------------------------


def test_the_cpu_describes_itself_and_knows_no_cycles() -> None:
    device = devices.device_for("cpu")
    assert json.loads(json.dumps(device.freeze()))["threads"] == torch.get_num_threads()
    assert device.warm_up([lambda: None]) == 0.0  # every call has run once before
    assert math.isnan(device.mhz())
    assert (device.name, device.sensors(), device.peak_memory(lambda: None), device.present()) == (
        "cpu",
        {},
        None,
        True,
    )


def test_a_device_that_is_not_known_is_refused_in_words() -> None:
    with pytest.raises(ValueNotAllowed, match="'tpu'; devices: cpu, cuda"):
        devices.device_for("tpu")


# --- CUDA --------------------------------------------------------------------------------------------------------


def test_an_event_clock_drains_the_stream_first_and_times_between_two_events() -> None:
    cuda = FakeCuda()

    def call() -> str:
        cuda.told.append("call")
        cuda.now += 0.25
        return "answer"

    cuda.now = 7.0
    assert CudaEventClock(cuda).measure(call) == (pytest.approx(0.25), "answer")
    assert cuda.told == ["synchronize", "record", "call", "record", "wait for event"]


def test_autotuning_is_switched_off_and_the_rest_is_left_and_recorded() -> None:
    before = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    torch.backends.cudnn.benchmark = True
    try:
        backend = SimulatedGpu().freeze()
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = before[0]
    assert json.loads(json.dumps(backend)) == backend
    assert backend["cudnn_benchmark"] is False
    assert backend["matmul_precision"] == before[1]
    assert (backend["device_name"], backend["driver"]) == ("Simulated GPU", "590.01")
    assert backend["compute_capability"] == "9.0"
    assert {"cuda", "cudnn", "cudnn_tf32", "matmul_tf32", "cudnn_deterministic"} <= set(backend)


def test_peak_memory_is_what_one_call_adds_to_what_was_held() -> None:
    cuda = FakeCuda()
    cuda.held = cuda.peak = 1000

    def call() -> None:
        cuda.peak = max(cuda.peak, cuda.held + 234)

    device = CudaDevice(cuda)
    assert device.peak_memory(call) == 234
    cuda.peak = 9999  # of something earlier
    assert device.peak_memory(call) == 234


def test_a_lost_device_is_not_present_and_a_full_one_is() -> None:
    gpu = SimulatedGpu(lost_after=1)
    gpu.clock().measure(adds(1))
    assert gpu.present()
    with pytest.raises(RuntimeError, match="device lost"):
        gpu.clock().measure(adds(1))
    assert not gpu.present()

    class Full(FakeCuda):
        def synchronize(self) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    full = SimulatedGpu()
    full.cuda = Full()
    assert full.present()


def test_the_real_cuda_device_says_whether_it_is_there() -> None:
    assert CudaDevice().present() == torch.cuda.is_available()


# --- warm-up -----------------------------------------------------------------------------------------------------


class Warming:
    """Calls take ``seconds`` each, longer at first; the clock rises to its full height with time."""

    def __init__(self, seconds: float = 0.01, cold: float = 0.5, constant: float = 1.0, clock: bool = True) -> None:
        self.now, self.ran = 0.0, list[str]()
        self._seconds, self._cold, self._time_constant, self._clock = seconds, cold, constant, clock

    def still_cold(self) -> float:
        return self._cold * math.exp(-self.now / self._time_constant)

    def measure(self, call: Callable[[], Any]) -> float:
        self.ran.append(call())
        taken = self._seconds * (1 + self.still_cold())
        self.now += taken
        return taken

    def mhz(self) -> float:
        return 1900 / (1 + self.still_cold()) if self._clock else math.nan

    def warm_up(self) -> float:
        return warm_up_until_settled([lambda: "a", lambda: "b"], self.measure, lambda: self.now, self.mhz)


@pytest.mark.parametrize("clock", [True, False])
def test_a_device_that_is_warm_at_once_is_warmed_for_the_least_time(clock: bool) -> None:
    machine = Warming(cold=0.0, clock=clock)
    assert machine.warm_up() == pytest.approx(devices.WARM_UP_SECONDS, abs=0.03)
    assert machine.ran[:4] == ["a", "b", "a", "b"]


def test_a_device_that_warms_slowly_is_warmed_until_its_times_hold() -> None:
    machine = Warming(seconds=0.2, constant=4.0)
    spent = machine.warm_up()
    assert devices.WARM_UP_SECONDS < spent < devices.WARM_UP_AT_MOST
    assert machine.still_cold() < 0.03  # of 0.5: five rounds of 0.4 s later hardly anything changes any more


def test_a_clock_that_still_moves_is_waited_for_though_times_hold() -> None:
    machine = Warming(cold=0.0)
    machine.mhz = lambda: 1000 + 100 * min(machine.now, 8.0)  # type: ignore[method-assign]
    assert 8.0 < machine.warm_up() < 10.0


def test_a_device_that_never_settles_is_given_up_on() -> None:
    machine = Warming()
    machine.mhz = lambda: 1000 * 1.2**machine.now  # type: ignore[method-assign]
    assert devices.WARM_UP_AT_MOST <= machine.warm_up() < devices.WARM_UP_AT_MOST + 0.1


def test_without_calls_there_is_nothing_to_warm_up() -> None:
    assert warm_up_until_settled([], lambda call: 1.0, lambda: 5.0, lambda: math.nan) == 0.0


def test_settled_is_within_one_per_cent_of_before() -> None:
    assert settled([1.0] * 10, 5)
    assert settled([1.0] * 5 + [1.009] * 5, 5)
    assert not settled([1.0] * 5 + [1.011] * 5, 5)
    assert not settled([1.0] * 9, 5)
    assert settled([1.0] * 7 + [9.0] + [1.0] * 2, 5)  # one spike
    assert settled([math.nan] * 10, 5)  # a clock that cannot be read


# --- the timed loop on the simulated device -----------------------------------------------------------------------


def superblocks(gpu: SimulatedGpu, calls: dict[int, Callable[[], Any]], number: int = 4) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    measure(calls, events.append, Order(seed=1, deadline=math.inf, superblocks=number, copy_mebibytes=(1,)), gpu)
    return json.loads(json.dumps(events))


def mean_log_ratio(events: list[dict[str, Any]], value: Callable[[dict[str, float]], float]) -> float:
    """Case 1 against case 0 over all slots."""
    logs: dict[int, list[float]] = {0: [], 1: []}
    for event in events:
        for row in event["slots"]:
            slot = dict(zip(Slot.COLUMNS, row, strict=True))
            logs[int(slot["case"])].append(math.log(value(slot)))
    return sum(logs[1]) / len(logs[1]) - sum(logs[0]) / len(logs[0])


def test_cycles_recover_an_effect_that_time_exaggerates() -> None:
    """The heavier case runs at a lower clock, as one that draws more power does, and the clock falls for both."""
    gpu = SimulatedGpu(power=0.5, fall_per_slot=0.002)
    assert cycles(adds(206))[0] / cycles(adds(200))[0] == pytest.approx(1.03)
    events = superblocks(gpu, {0: adds(200), 1: adds(206)})
    assert mean_log_ratio(events, lambda s: s["seconds"] * s["mhz"]) == pytest.approx(math.log(1.03), abs=1e-9)
    assert mean_log_ratio(events, lambda s: s["seconds"]) == pytest.approx(1.5 * math.log(1.03), abs=1e-3)
    clocks = [row[Slot.COLUMNS.index("mhz")] for event in events for row in event["slots"] if row[0] == 0]
    assert clocks == sorted(clocks, reverse=True)
    assert clocks[-1] < 0.97 * clocks[0]


def test_heat_is_flagged_from_the_superblock_on_in_which_it_comes() -> None:
    events = superblocks(SimulatedGpu(throttled_from=4), {0: adds(20), 1: adds(21)})
    flagged = [bool(exclusion.reasons({"throttled": e["disturbance"]["throttled"]}, e["wall"])) for e in events]
    assert flagged == [False, False, True, True]
    assert reason_names(int(events[-1]["sensors"]["throttle_reasons"])) == ("software thermal slowdown",)
    assert events[-1]["sensors"]["sm_mhz"] < 0.6 * events[0]["sensors"]["sm_mhz"]


def test_a_device_that_is_lost_midway_keeps_what_was_measured_and_blames_no_case() -> None:
    events = superblocks(SimulatedGpu(lost_after=12), {0: adds(20), 1: adds(21)})
    assert [event["event"] for event in events] == ["superblock", "superblock", "device_lost"]
    assert "device lost" in events[-1]["reason"]


# --- the real worker on the simulated device ----------------------------------------------------------------------


def worker_events(runtime: str, gpu: SimulatedGpu, mode: str = "timed") -> list[dict[str, Any]]:
    """What the latency worker says of a small panel, in this process."""
    panel = Panel("resnet18", "cuda", runtime, "fp32", "nchw", 1, 2, 32, 1)
    copy = Variant("copy_shift", parse_fraction("1/4"), "residual", "bidirectional")
    job = {
        "mode": mode,
        "panel": asdict(panel),
        "cases": [[i, Case(variant, panel).to_json()] for i, variant in enumerate((BASELINE_VARIANT, copy))],
        "files": [str(file) for file in strategy_files(None)],
        "seed": 1,
        "order": asdict(Order(seed=1, deadline=math.inf, superblocks=2)),
    }
    events: list[dict[str, Any]] = []
    threads = torch.get_num_threads()
    try:
        answer(job, events.append, device_for=lambda name: gpu)
    finally:
        torch.set_num_threads(threads)
    return json.loads(json.dumps(events))


@pytest.mark.parametrize("runtime", ["eager", "cudagraph"])
def test_the_worker_measures_both_gpu_runtimes(runtime: str) -> None:
    gpu = SimulatedGpu()
    events = worker_events(runtime, gpu)
    assert [e["event"] for e in events] == ["enter", "enter", "ready", "superblock", "superblock"]
    assert events[2]["backend"]["device_name"] == "Simulated GPU"
    assert mean_log_ratio(events[3:], lambda s: s["seconds"] * s["mhz"]) > 0.01  # the shift moves bytes
    assert gpu.cuda.told.count("capture") == (2 if runtime == "cudagraph" else 0)
    assert ("replay" in gpu.cuda.told) == (runtime == "cudagraph")


def test_the_worker_counts_eagerly_what_a_graph_would_hide() -> None:
    gpu = SimulatedGpu()
    events = worker_events("cudagraph", gpu, mode="static")
    baseline, shifted = (event["samples"] for event in events if event["event"] == "static")
    assert shifted["bytes_moved"] > baseline["bytes_moved"]
    assert shifted["peak_allocated_bytes"] > 0
    assert "capture" not in gpu.cuda.told


def test_the_worker_says_that_the_device_was_lost() -> None:
    events = worker_events("eager", SimulatedGpu(lost_after=6))
    assert [e["event"] for e in events] == ["enter", "enter", "ready", "superblock", "device_lost"]
