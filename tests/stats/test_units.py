"""Values of independent units, paired by unit: processes and seeds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats.estimators import Processes, Seeds, Shares, mean, trimmed_mean

FIVE = dict(enumerate((80.0, 82.0, 81.0, 84.0, 83.0)))


def test_differences_are_paired_by_unit() -> None:
    first, second = Processes({1: 1.0, 2: 5.0, 3: 7.0}), Processes({3: 4.0, 2: 3.0, 4: 9.0})
    assert (first - second) == Processes({2: 2.0, 3: 3.0})
    assert len(first - Processes({9: 1.0})) == 0


def test_over_processes_an_odd_one_is_trimmed() -> None:
    units = Processes(dict(enumerate([1.0, 1.1, 0.9, 1.2, 0.8, 1.0, 48.0])))
    assert units.interval(0.99) == trimmed_mean(units.values).interval(0.99)
    assert units.estimate().mean == pytest.approx(1.04) and units.mde() == units.estimate().mde()
    assert math.isnan(Processes({1: 2.0}).interval().low)


def test_over_seeds_it_is_students_t_from_five_on() -> None:
    differences = Seeds(FIVE) - Seeds(dict.fromkeys(FIVE, 80.0))
    assert differences.interval() == mean(differences.values).interval()
    four = Seeds({seed: value for seed, value in FIVE.items() if seed})
    assert (four.estimate().mean, four.estimate().count) == (82.5, 4)
    assert math.isnan(four.interval().low) and math.isnan(four.mde()) and math.isnan(four.estimate().p())


def test_a_difference_is_cut_off_at_what_is_possible() -> None:
    best, worst = Shares(dict.fromkeys(range(5), 100.0)), Shares({0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0, 4: 60.0})
    difference = best - worst
    assert difference.possible == (-100.0, 100.0)
    assert (difference.interval().mean, difference.interval().high) == (88.0, 100.0)
    assert (difference - difference).possible == (-200.0, 200.0)
    assert (best.estimate() - worst.estimate()).interval().high == 100.0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.integers(1, 5000), st.sampled_from([0.9, 0.95, 0.999]))
def test_no_interval_of_an_accuracy_leaves_0_to_100(values: list[float], judged: int, confidence: float) -> None:
    found = Shares(dict(enumerate(values)), judged=judged).interval(confidence)
    if len(values) < 5:
        assert math.isnan(found.low) and math.isnan(found.high)
    else:
        assert 0 <= found.low <= found.mean + 1e-9 and found.mean - 1e-9 <= found.high <= 100


def test_in_the_middle_the_logit_changes_little() -> None:
    found, plain = Shares(FIVE, judged=1000).interval(), mean(list(FIVE.values())).interval()
    assert (found.low, found.mean, found.high) == pytest.approx((plain.low, plain.mean, plain.high), abs=0.1)


def test_all_seeds_at_an_end_are_as_uncertain_as_their_clips() -> None:
    full = Shares(dict.fromkeys(range(6), 100.0), judged=300).interval()
    assert (full.mean, full.high) == (100.0, 100.0)
    assert full.low == pytest.approx(100 * 0.025 ** (1 / 300))  # Clopper and Pearson
    none = Shares(dict.fromkeys(range(6), 0.0), judged=300).interval()
    assert (none.low, none.high) == pytest.approx((0.0, 100 - full.low))
