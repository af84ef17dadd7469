"""Estimators against textbook values and simulated experiments."""

import math

import numpy as np
import pytest

from bench.stats import estimators
from bench.stats.estimators import Interval


def test_t_interval_of_known_values() -> None:
    interval = estimators.t_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (interval.mean, interval.count) == (3.0, 5)
    assert interval.half_width == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-5)
    assert Interval(1.0, 0.5, 2.0, 3).scaled(10) == Interval(10.0, 5.0, 20.0, 3)


@pytest.mark.parametrize("values", [[7.0], []])
def test_one_value_has_no_interval(values: list[float]) -> None:
    interval = estimators.t_interval(values)
    assert (interval.mean == 7.0) is bool(values)
    assert math.isnan(interval.low) and math.isnan(interval.high)


def test_hodges_lehmann_shrugs_off_a_spike() -> None:
    assert estimators.hodges_lehmann([1.0, 1.0, 1.0, 1.0, 100.0]) == 1.0
    assert estimators.hodges_lehmann([1.0, 2.0, 4.0]) == 2.25  # the median of 1, 1.5, 2, 2.5, 3, 4


def test_welch_of_known_values() -> None:
    interval = estimators.welch_interval([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.half_width == pytest.approx(2.776445 * math.sqrt(2 / 3), rel=1e-5)
    assert estimators.welch_interval([2.0, 2.0], [1.0, 1.0]) == Interval(1.0, 1.0, 1.0, 4)
    assert math.isnan(estimators.welch_interval([2.0], [1.0, 1.0]).low)


def test_the_number_needed_finds_the_effect() -> None:
    values = [-1.0, 1.0, 0.0]  # deviation 1
    needed = estimators.count_needed(values, 0.5)
    assert needed is not None
    assert 32 <= needed <= 36  # a power table gives 34 for half a deviation, four times in five
    assert estimators.count_needed(values, 1e-9) is None


def test_the_minimum_detectable_effect_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    effect = estimators.minimum_detectable_effect(np.array([-1.0, 1.0] * 5))
    drawn = rng.normal(effect, np.std([-1.0, 1.0] * 5, ddof=1), (2000, 10))
    found = sum(estimators.t_interval(values).low > 0 for values in drawn) / len(drawn)
    assert found == pytest.approx(0.8, abs=0.03)
    assert math.isnan(estimators.minimum_detectable_effect([1.0]))


def test_holm_of_known_values() -> None:
    """The textbook's steps: 4 × 0.005, 3 × 0.01, 2 × 0.03, and never below the one before."""
    assert estimators.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert estimators.holm([0.6, 0.9]) == [1.0, 1.0]
    assert estimators.holm([]) == []
    assert estimators.holm([0.01, math.nan, 0.02]) == pytest.approx([0.02, math.nan, 0.02], nan_ok=True)


def test_holm_keeps_false_alarms_rare_in_a_family() -> None:
    rng = np.random.default_rng(0)
    families = rng.uniform(size=(2000, 8))
    alarms = sum(min(estimators.holm(list(family))) < 0.05 for family in families)
    assert 70 <= alarms <= 130  # 100 expected; 660 without adjustment


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], 0.0132356),  # t² = 18, 4 degrees of freedom
        ([-1.0, -2.0, -3.0, -4.0, -5.0], 0.0132356),
        ([0.0, 0.0, 0.0], 1.0),
        ([75.1, 75.1, 75.1], 0.0),
        ([3.0], math.nan),
    ],
)
def test_paired_p_of_known_values(differences: list[float], p: float) -> None:
    assert estimators.paired_p(differences) == pytest.approx(p, abs=1e-7, nan_ok=True)


def test_slope_of_a_line() -> None:
    assert estimators.slope([0.125, 0.25, 1.0], [1.25, 2.5, 10.0]) == pytest.approx(10.0)


@pytest.mark.parametrize("effect", [0.0, 0.03])
def test_stopping_on_width_keeps_coverage(effect: float) -> None:
    """Processes are added until the interval is narrow enough; as width and not significance decides, it stays true."""
    experiments, covered, counts = 500, 0, set()
    for seed in range(experiments):
        rng = np.random.default_rng(seed)
        values = list(100 * effect + rng.normal(0.0, 1.0, 5))
        while estimators.t_interval(values).half_width > 0.6 and len(values) < 40:
            values.append(100 * effect + float(rng.normal(0.0, 1.0)))
        interval = estimators.t_interval(values)
        covered += interval.low <= 100 * effect <= interval.high
        counts.add(len(values))
    assert 0.91 <= covered / experiments <= 0.98  # Chow and Robbins: a little under 95 at five to twenty processes
    assert len(counts) > 5


def test_variances_of_groups() -> None:
    rng = np.random.default_rng(0)
    groups = [mean + rng.normal(0.0, 1.0, 6) for mean in rng.normal(0.0, 3.0, 400)]
    parts = estimators.components(groups)
    assert parts is not None
    assert (math.sqrt(parts.between), math.sqrt(parts.within)) == pytest.approx((3.0, 1.0), rel=0.1)
    assert estimators.components([[1.0], [2.0]]) is None
    assert estimators.components([[1.0, 2.0]]) is None


def test_the_number_of_groups_for_a_width() -> None:
    assert estimators.groups_needed(1.0, 0.5) == 18  # 2.110 / sqrt(18) = 0.497
    assert estimators.groups_needed(1.0, 1e-9) == 10_000


@pytest.mark.parametrize(("rho", "found"), [(0.0, (0, 6)), (0.8, (85, 100))])
def test_autocorrelation_is_found_where_it_is(rho: float, found: tuple[int, int]) -> None:
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(100):
        values = [0.0]
        for _ in range(30):
            values.append(rho * values[-1] + float(rng.normal()))
        alarms += estimators.lag_one([values[1:]]).p < 0.01
    assert found[0] <= alarms <= found[1]


def test_a_trend_is_found_where_it_is() -> None:
    rng = np.random.default_rng(2)
    flat = [estimators.trend([rng.normal(0, 1, 30)]).p < 0.01 for _ in range(200)]
    rising = [estimators.trend([np.arange(30) * 0.1 + rng.normal(0, 1, 30)]).p < 0.01 for _ in range(200)]
    assert sum(flat) <= 8
    assert sum(rising) >= 150
    warm_up = [np.array([0.0, -1.0, -2.0]) + rng.normal(0, 0.5, 3) for _ in range(8)]
    assert estimators.trend(warm_up).p < 0.001


def test_too_few_or_equal_values_show_neither() -> None:
    for few in (estimators.trend([[1.0, 2.0]]), estimators.trend([]), estimators.lag_one([[1.0, 2.0]])):
        assert math.isnan(few.p)
    for equal in (estimators.trend([[1.0] * 9]), estimators.lag_one([[1.0] * 9])):
        assert equal == estimators.Test(0.0, 1.0)
