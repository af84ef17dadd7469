"""The schedule's properties, and the timed loop on an injected clock."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.latency.clocks import CpuClock, SimulatedClock
from bench.measure.latency.sampling import CaseFailed, Slot, run_superblock
from bench.measure.latency.schedule import superblock
from bench.system.counters import Counters


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_a_superblock_is_mirrored_and_fair(cases: int, seed: int) -> None:
    order = superblock(range(cases), random.Random(seed))
    assert order == order[::-1]
    assert Counter(order) == dict.fromkeys(range(cases), 2)
    positions = {case: [i for i, c in enumerate(order) if c == case] for case in range(cases)}
    assert {sum(p) for p in positions.values()} == {2 * cases - 1}  # the same mean position for every case


def test_orders_differ_from_superblock_to_superblock() -> None:
    rng = random.Random(0)
    assert len({tuple(superblock(range(8), rng)) for _ in range(20)}) == 20


def test_every_case_comes_first_equally_often() -> None:
    rng = random.Random(0)
    first = Counter(superblock(range(4), rng)[0] for _ in range(4000))
    assert all(850 < count < 1150 for count in first.values())  # 1000 expected, deviation 27


def test_a_case_that_raises_is_named() -> None:
    def fails() -> float:
        raise RuntimeError("no such kernel")

    with pytest.raises(CaseFailed, match="no such kernel") as caught:
        run_superblock({3: lambda: 1.0, 7: fails}, SimulatedClock(0), random.Random(0))
    assert caught.value.index == 7


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clock_that_gives_nonsense_is_caught(seconds: float) -> None:
    with pytest.raises(CaseFailed, match="clock"):
        run_superblock({0: lambda: seconds}, SimulatedClock(0), random.Random(0))


def test_an_unhealthy_result_is_caught() -> None:
    with pytest.raises(CaseFailed, match="not finite"):
        run_superblock({0: lambda: 1.0}, SimulatedClock(0), random.Random(0), healthy=lambda result: False)


def test_the_cpu_clock_returns_what_the_call_returned() -> None:
    seconds, result = CpuClock().measure(lambda: 42)
    assert result == 42
    assert 0 < seconds < 60


def test_who_runs_next_is_told_before_each_slot() -> None:
    told: list[int] = []
    slots = run_superblock({0: lambda: 1.0, 1: lambda: 2.0}, SimulatedClock(0), random.Random(1), enter=told.append)
    assert told == [slot.case for slot in slots]


def test_a_slot_carries_what_happened_between_its_edges_and_the_clock_at_its_end() -> None:
    readings = iter([Counters(own=1.0, busy=10.0, steal=0.0, switches=5, faults=100)] * 2)
    later = iter([Counters(own=1.5, busy=10.75, steal=0.125, switches=7, faults=103)] * 2)
    turns = iter([readings, later] * 2)
    clocks = iter([1900.0, math.nan])
    slots = run_superblock(
        {0: lambda: 1.0},
        SimulatedClock(0, noise_sd=0.0),
        random.Random(0),
        counters=lambda: next(next(turns)),
        mhz=lambda: next(clocks),
    )
    expected = {"own": 0.5, "switches": 2, "faults": 3, "steal": 0.125, "foreign": 0.25, "frame_seconds": None}
    first, second = (dict(zip(Slot.COLUMNS, slot.row(), strict=True)) for slot in slots)
    assert first == {"case": 0, "position": 0, "seconds": 1.0, "mhz": 1900.0, **expected}
    assert second["mhz"] is None


def test_a_simulated_slot_costs_more_where_another_call_ran_before() -> None:
    clock = SimulatedClock(0, noise_sd=0.0, switch_effect=0.1)
    a, b = (lambda: 1.0), (lambda: 2.0)
    logs = [math.log(seconds / truth) for seconds, truth in map(clock.measure, (a, a, b, b, a))]
    assert logs == pytest.approx([0.1, 0.0, 0.1, 0.0, 0.1])


def test_simulated_bursts_come_and_go_and_are_marked() -> None:
    clock = SimulatedClock(0, noise_sd=0.0, burst_rate=0.01, burst_slots=25, burst_effect=0.3)
    marked = [(math.log(clock.measure(lambda: 1.0)[0]), clock.disturbed) for _ in range(20_000)]
    assert all(log == pytest.approx(0.3 if disturbed else 0.0) for log, disturbed in marked)
    assert 0.15 < sum(disturbed for _, disturbed in marked) / len(marked) < 0.25  # 0.01 / (0.01 + 1 / 25) = 0.2
