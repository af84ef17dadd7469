"""Estimators against textbook values and simulated experiments."""

import math

import numpy as np
import pytest
from scipy import stats

from bench.stats import estimators
from bench.stats.estimators import Estimate, Interval


def test_t_interval_of_known_values() -> None:
    interval = estimators.mean([1.0, 2.0, 3.0, 4.0, 5.0]).interval()
    assert (interval.mean, interval.count) == (3.0, 5)
    assert interval.half_width == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-5)
    assert Interval(1.0, 0.5, 2.0, 3).scaled(10) == Interval(10.0, 5.0, 20.0, 3)


@pytest.mark.parametrize("values", [[7.0], []])
def test_one_value_has_no_interval(values: list[float]) -> None:
    interval = estimators.mean(values).interval()
    assert (interval.mean == 7.0) is bool(values)
    assert math.isnan(interval.low) and math.isnan(interval.high)


def test_hodges_lehmann_shrugs_off_a_spike() -> None:
    assert estimators.hodges_lehmann([1.0, 1.0, 1.0, 1.0, 100.0]) == 1.0
    assert estimators.hodges_lehmann([1.0, 2.0, 4.0]) == 2.25  # the median of 1, 1.5, 2, 2.5, 3, 4


def test_a_trimmed_mean_of_known_values() -> None:
    """The winsorised deviation, scaled to the six values that are left, with their degrees of freedom (Yuen)."""
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 100.0]
    found = estimators.trimmed_mean(values)
    assert (found.mean, found.freedom, found.count) == (5.5, 5, 10)
    winsorised = [3.0, 3.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.0, 8.0]
    assert found.error == pytest.approx(float(np.std(winsorised, ddof=1)) * math.sqrt(9 / (6 * 5)))
    assert estimators.trimmed_mean(values[:6]) == estimators.mean(values[:6])  # too few to trim


def test_two_samples_against_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(3, 1, 16), rng.normal(1, 4, 9)
    for estimate, trim in ((estimators.mean, 0.0), (estimators.trimmed_mean, 0.2)):
        found = estimate(first) - estimate(second)
        known = stats.ttest_ind(first, second, equal_var=False, trim=trim)
        ends = known.confidence_interval()
        assert (found.interval().low, found.interval().high) == pytest.approx((ends.low, ends.high))
        assert (found.freedom, found.p()) == pytest.approx((known.df, known.pvalue))
    alike = estimators.mean([2.0, 2.0]) - estimators.mean([1.0, 1.0])
    assert alike.interval() == Interval(1.0, 1.0, 1.0, 4)
    assert math.isnan((estimators.mean([2.0]) - estimators.mean([1.0, 1.0])).interval().low)


def test_the_number_needed_finds_the_effect() -> None:
    found = estimators.mean([-1.0, 1.0, 0.0])  # deviation 1
    needed = found.needed(0.5)
    assert needed is not None
    assert 32 <= needed <= 36  # a power table gives 34 for half a deviation, four times in five
    assert found.needed(1e-9) is None and estimators.mean([1.0]).needed(0.5) is None
    trimmed = estimators.processes_needed(1.0, 0.5)
    assert trimmed is not None and 34 <= trimmed <= 37  # degrees of freedom are lost


def test_the_minimum_detectable_effect_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    effect = estimators.mean([-1.0, 1.0] * 5).mde()
    drawn = rng.normal(effect, np.std([-1.0, 1.0] * 5, ddof=1), (2000, 10))
    found = sum(estimators.mean(values).interval().low > 0 for values in drawn) / len(drawn)
    assert found == pytest.approx(0.8, abs=0.03)
    assert math.isnan(estimators.mean([1.0]).mde())


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
def test_p_of_known_values(differences: list[float], p: float) -> None:
    assert estimators.mean(differences).p() == pytest.approx(p, abs=1e-7, nan_ok=True)


def test_slope_of_a_line() -> None:
    assert estimators.slope([0.125, 0.25, 1.0], [1.25, 2.5, 10.0]) == pytest.approx(10.0)


@pytest.mark.parametrize("effect", [0.0, 0.03])
def test_stopping_on_width_keeps_coverage(effect: float) -> None:
    """Processes are added until their spread says that they are enough; as no significance decides, it stays true."""
    experiments, covered, counts = 500, 0, set()
    for seed in range(experiments):
        rng = np.random.default_rng(seed)
        values = list(100 * effect + rng.normal(0.0, 1.0, 5))
        while estimators.groups_needed(float(np.std(values, ddof=1)), 0.6) > len(values) and len(values) < 40:
            values.append(100 * effect + float(rng.normal(0.0, 1.0)))
        interval = estimators.trimmed_mean(values).interval()
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
    assert estimators.groups_needed(1.0, 0.5) == 19  # 13 values are left, and 2.179 / sqrt(19) = 0.49991
    assert estimators.groups_needed(1.0, 1e-9) == 10_000


def test_estimates_that_agree_by_chance_are_not_pooled_to_certainty() -> None:
    alike = estimators.pooled([Estimate(0.1, 0.2, 15, 16)] * 4)
    assert [one.error for one in alike] == pytest.approx([0.1, 0.1])  # 0.2 over the root of four


def test_estimates_are_pooled_with_what_they_differ_by() -> None:
    """Equal ones as one, by their errors; where they differ in truth the error follows their spread."""
    rng = np.random.default_rng(0)
    errors = rng.uniform(0.2, 2.0, 40)
    for between in (0.0, 1.0):
        held = further = 0
        for _ in range(400):
            means = rng.normal(0.3, between, 40) + rng.normal(0.0, errors)
            found = estimators.pooled([Estimate(*one, 15, 16) for one in zip(means, errors, strict=True)])
            held += found[0].interval().low <= 0.3 <= found[0].interval().high
            further += found[1].interval().low <= rng.normal(0.3, between) <= found[1].interval().high
        assert 0.92 <= held / 400 <= 0.99 and further / 400 >= 0.88
