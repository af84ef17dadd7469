"""The order of slots, and the timed loop on an injected clock."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.latency.timing import CaseFailed, Frames, Slot, mirrored_order, run_superblock
from bench.store.samples import Slots
from bench.system.counters import Counters
from tests.measure.latency.simulated_clock import SimulatedClock


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
        **{"case": 0, "position": 0, "seconds": 1.0, "mhz": 1900.0, "frame_seconds": None},
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
