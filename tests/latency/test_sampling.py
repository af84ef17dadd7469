"""The schedule's properties, and the timed loop on an injected clock."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.latency.clocks import CpuClock, SimulatedClock
from bench.latency.sampling import CaseFailed, run_superblock
from bench.latency.schedule import superblock


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
