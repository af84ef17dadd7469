"""The timed loop on an injected clock, and all that a process emits, with real calls, tiny ones."""

import functools
import json
import math
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.latency.devices import Device
from bench.measure.latency.process import copy_sizes, replicate_records
from bench.measure.latency.timing import (
    CaseFailed,
    Frames,
    Gate,
    Order,
    OutOfTime,
    Rebuild,
    Slot,
    healthy,
    measure,
    mirrored_order,
    require_time,
    run_superblock,
)
from bench.spec.cases import BASELINE_VARIANT, Case
from bench.spec.panel import Panel
from bench.store.records import ProcessRecord, TimedRecord
from bench.store.samples import Slots
from bench.system.counters import Counters
from tests.conftest import ROOT
from tests.measure.latency.simulated_clock import SimulatedClock

PANEL = Panel("resnet18", "cpu", "eager", "fp32", "nchw", 1, 2, 32, 1)


def exact(call):
    """A clock on which a call takes what it returns."""
    result = call()
    return result, result


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_a_superblock_is_mirrored_and_fair(cases: int, seed: int) -> None:
    order = mirrored_order(range(cases), random.Random(seed))
    assert order == order[::-1]
    assert Counter(order) == dict.fromkeys(range(cases), 2)
    positions = {case: [i for i, c in enumerate(order) if c == case] for case in range(cases)}
    assert {sum(p) for p in positions.values()} == {2 * cases - 1}  # the same mean position for every case


def test_orders_are_random() -> None:
    rng = random.Random(0)
    assert len({tuple(mirrored_order(range(8), rng)) for _ in range(20)}) == 20
    first = Counter(mirrored_order(range(4), rng)[0] for _ in range(4000))
    assert all(850 < count < 1150 for count in first.values())  # 1000 expected, deviation 27


@pytest.mark.parametrize(
    ("result", "why"),
    [(RuntimeError("no such kernel"), "no such kernel"), (5.0, "not finite")]
    + [(seconds, "the clock gave") for seconds in (0.0, -1.0, math.nan, math.inf)],
)
def test_a_case_that_fails_is_named(result: float | Exception, why: str) -> None:
    def call() -> float:
        if isinstance(result, Exception):
            raise result
        return result

    with pytest.raises(CaseFailed, match=why) as caught:
        run_superblock({3: lambda: 1.0, 7: call}, exact, random.Random(0), healthy=lambda result: result < 5.0)
    assert caught.value.index == 7


def test_a_superblock_that_would_not_end_in_time_is_given_up_as_soon_as_that_is_known() -> None:
    began, ran = time.monotonic(), list[int]()
    calls = {i: lambda i=i: ran.append(i) or 30.0 for i in range(5)}
    with pytest.raises(OutOfTime, match="a forward took 30 s"):
        run_superblock(calls, exact, random.Random(0), limit=began + 200.0)
    assert len(ran) == 1
    assert len(run_superblock(calls, exact, random.Random(0), limit=began + 301.0)) == 10


def test_who_runs_next_is_told_before_each_slot() -> None:
    told: list[int] = []
    slots = run_superblock({0: lambda: 1.0, 1: lambda: 2.0}, exact, random.Random(1), enter=told.append)
    assert told == [slot.case for slot in slots]


def test_a_slot_carries_what_happened_between_its_edges_and_the_clock_at_its_end() -> None:
    edges = [Counters(1.0, 10.0, 0.0, 5, 100), Counters(1.5, 10.75, 0.125, 7, 103)] * 2
    readings, clocks = iter(edges), iter([1900.0, math.nan])
    slots = run_superblock(
        {0: lambda: 1.0}, exact, random.Random(0), counters=lambda: next(readings), mhz=lambda: next(clocks)
    )
    counted = {"cpu_seconds": 0.5, "switches": 2, "faults": 3, "steal": 0.125, "foreign": 0.25}
    assert slots[0]._asdict() == {
        **{"case": 0, "position": 0, "seconds": 1.0, "mhz": 1900.0, "frame_seconds": None, "alone_seconds": None},
        **counted,
    }
    assert slots[1].mhz is None
    assert Slot._fields == ("case", *list(Slots.model_fields)[1:])


def test_a_slot_of_frames_takes_what_its_frames_take() -> None:
    seconds = iter(range(1, 7))
    frames = Frames([lambda: float(next(seconds))] * 3)
    judged: list[float] = []
    slots = run_superblock({0: frames}, exact, random.Random(0), healthy=lambda result: judged.append(result) is None)
    assert [(slot.seconds, slot.frame_seconds) for slot in slots] == [(6.0, [1.0, 2.0, 3.0]), (15.0, [4.0, 5.0, 6.0])]
    assert judged == [3.0, 6.0], "the logits of the last frame are judged"
    assert Frames([lambda: 1.0, lambda: 2.0])() == 2.0


def test_a_simulated_slot_costs_more_where_another_call_ran_before() -> None:
    clock = SimulatedClock(0, noise_sd=0.0, switch_effect=0.1)
    a, b = (lambda: 1.0), (lambda: 2.0)
    logs = [math.log(seconds / truth) for seconds, truth in map(clock.measure, (a, a, b, b, a))]
    assert logs == pytest.approx([0.1, 0.0, 0.1, 0.0, 0.1])


def measured(calls: dict[int, Any], superblocks: int, rebuild: Rebuild | None = None) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    order = Order(1, time.monotonic() + 60, superblocks, copy_mebibytes=(1, 2))
    measure(calls, events.append, order, Device(), rebuild)
    return json.loads(json.dumps(events))


def test_superblocks_become_a_record_for_each_case_and_one_of_the_process() -> None:
    x = torch.randn(64, 64)
    blocks = measured({4: lambda: x @ x, 7: lambda: x + 1}, superblocks=2)
    for block in blocks:
        assert block["event"] == "superblock"
        places = sorted((case, position) for case, position, *_ in block["slots"])
        assert places == sorted((case, 3 - position) for case, position in places)
    cases = [(4, Case(BASELINE_VARIANT, PANEL)), (7, Case(BASELINE_VARIANT, PANEL, aa=True))]
    ready = {"startup_seconds": 1.0, "warm_up_seconds": 0.1, "backend": {"threads": 1}}
    *timed, process = replicate_records(PANEL, cases, 3, blocks, ready, "now", 2.0)
    assert isinstance(process, ProcessRecord) and process.samples is not None
    assert [record.id for record in timed] == [f"latency/{case.label}/r3" for _, case in cases]
    for record in timed:
        assert isinstance(record, TimedRecord)
        columns = vars(record.samples)
        assert columns.pop("superblock") == [0, 0, 1, 1]
        assert {name for name, values in columns.items() if not values} == {
            "mhz",
            "frame_seconds",
            "alone_seconds",
        }  # not on a CPU
        assert all(len(values) == 4 for values in columns.values() if values)
    own = process.samples
    assert all(len(values) == 2 for values in (own.wall, own.waited, own.disturbance, own.page_seconds, own.copies[2]))
    assert min(own.wall + own.copies[1] + own.copies[2]) > 0


STOPPED = """
import json, os, signal
import torch
from bench.stats import exclusion
from tests.measure.latency.test_timing import measured
x, calls = torch.randn(8), [0]
def stopped():
    calls[0] += 1
    if calls[0] == 3:  # in the second superblock; whoever was stopped is told when it goes on
        os.kill(os.getpid(), signal.SIGCONT)
    return x
before = signal.getsignal(signal.SIGCONT)
told = [block["disturbance"] for block in measured({0: stopped}, superblocks=3)]
assert signal.getsignal(signal.SIGCONT) is before
asleep = ["stopped or suspended" in exclusion.reasons(own, own["wall"]) for own in told]
print(json.dumps([[own["stops"] for own in told], [own.get("suspended", 0.0) for own in told], asleep]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGCONT"), reason="no process is stopped here")
def test_a_superblock_in_which_the_process_was_stopped_is_told() -> None:
    """In a process of its own: who runs tests side by side may have its own use for the signal."""
    done = subprocess.run([sys.executable, "-c", STOPPED], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    stops, suspended, asleep = json.loads(done.stdout)
    assert (stops, asleep) == ([0, 1, 0], [False, True, False])
    assert all(abs(own) < 1 for own in suspended)  # stopped for a moment, never suspended with its machine
    assert min(map(abs, suspended)) < 0.005  # beside other work, one clock may be read much later than the other


def test_a_case_that_fails_costs_itself_and_its_superblock() -> None:
    x, calls = torch.randn(8), [0]

    def soon() -> torch.Tensor:
        calls[0] += 1
        return x if calls[0] < 4 else x * math.nan

    events = measured({0: lambda: x, 1: soon}, superblocks=4)
    failed = [event for event in events if event["event"] == "failed"]
    assert [(event["case"], event["reason"]) for event in failed] == [(1, "the output is not finite")]
    assert [len(event["slots"]) for event in events if event["event"] == "superblock"] == [4, 2, 2, 2]


def test_calls_are_built_anew_before_every_superblock_but_the_first() -> None:
    x = torch.randn(8)

    def rebuild(calls: dict[int, Any], enter: Any, limit: float) -> None:
        for index in list(calls):
            enter(index)
            calls[index] = calls.pop(index)  # the last becomes the first
        calls[8] = calls.pop(8)

    blocks = measured({7: lambda: x, 8: lambda: x, 9: lambda: x}, 3, rebuild)
    assert [block["build_order"] for block in blocks] == [[7, 8, 9], [7, 9, 8], [7, 9, 8]]
    assert blocks[0]["rebuild_seconds"] == 0 < blocks[1]["rebuild_seconds"]
    gone = measured({7: lambda: x, 8: lambda: x}, 3, lambda calls, *_: calls.pop(8, None) and None)
    assert [len(block["slots"]) for block in gone] == [4, 2, 2], "a call that cannot be built again is left out"
    assert len(measured({7: lambda: x}, 3, lambda calls, *_: calls.clear())) == 1, "and nothing is timed without any"


def test_what_is_built_anew_is_expected_to_take_a_forward_of_each_case(monkeypatch: pytest.MonkeyPatch) -> None:
    real, passed = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])

    class Slow(Device):
        def clock(self) -> Any:
            def clock(call: Any) -> tuple[float, Any]:
                passed[0] += 100.0
                return 100.0, call()

            return clock

    x, events = torch.randn(8), list[dict[str, Any]]()
    for rebuild, blocks in ((None, 2), (lambda calls, enter, limit: None, 1)):  # of 400 s, and 200 s for the building
        events.clear()
        measure({7: lambda: x, 8: lambda: x}, events.append, Order(1, time.monotonic() + 900.0), Slow(), rebuild)
        assert len(events) == blocks

    def late(calls: dict[int, Any], enter: Any, limit: float) -> None:
        require_time(300.0, 1, limit)

    events.clear()
    measure({7: lambda: x}, events.append, Order(1, math.inf, 2, limit=real() + 250.0), Slow(), late)
    assert [event["event"] for event in events] == ["superblock", "out_of_time"]


def test_every_call_is_warm_again_after_the_gate_has_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.stats.exclusion.reasons", lambda *_: ("busy",))
    made, events = list[int](), list[dict[str, Any]]()
    calls = {index: functools.partial(made.append, index) for index in (7, 8)}
    measure(calls, events.append, Order(1, math.inf, 2, gate_seconds=0.2), Device())
    assert [block["waited"] for block in events] == [0.0, 0.2]
    assert sorted(made) == [7] * 5 + [8] * 5, "four slots, and once in between"


def test_health_is_about_tensors() -> None:
    assert healthy(None) and healthy(torch.ones(2))
    assert not healthy(torch.tensor([1.0, math.inf]))


@pytest.mark.parametrize(
    ("allowance", "busy", "waited"),
    [(1.05, [0.0], 0.2), (1.05, [1.0, 0.0], 0.4), (1.05, [1.0] * 99, 1.0), (0.0, [9.0], 0.0)],
)
def test_the_gate_waits_for_quiet_as_long_as_it_may(allowance: float, busy: list[float], waited: float) -> None:
    looks = iter(busy)
    gate = Gate(allowance, look=lambda seconds: next(looks))
    assert gate.wait() == pytest.approx(waited)
    assert gate.left == pytest.approx(allowance - waited)


@pytest.mark.parametrize(
    ("largest", "available", "sizes"), [(512, 64 << 30, 10), (512, 1 << 30, 8), (512, 0, 0), (3, 64 << 30, 2)]
)
def test_the_copy_curve_leaves_the_memory_to_the_network(largest: int, available: int, sizes: int) -> None:
    assert copy_sizes(largest, available) == [1 << power for power in range(sizes)]
