"""Autocorrelation and trend: found where they are, and rarely where not."""

import math

import numpy as np
import pytest

from bench.stats import dependence


@pytest.mark.parametrize(("rho", "found"), [(0.0, (0, 6)), (0.8, (85, 100))])
def test_autocorrelation_is_found_where_it_is(rho: float, found: tuple[int, int]) -> None:
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(100):
        values = [0.0]
        for _ in range(30):
            values.append(rho * values[-1] + float(rng.normal()))
        alarms += dependence.lag_one([values[1:]]).p < 0.01
    assert found[0] <= alarms <= found[1]


def test_a_trend_is_found_where_it_is() -> None:
    rng = np.random.default_rng(2)
    flat = [dependence.trend([rng.normal(0, 1, 30)]).p < 0.01 for _ in range(200)]
    rising = [dependence.trend([np.arange(30) * 0.1 + rng.normal(0, 1, 30)]).p < 0.01 for _ in range(200)]
    assert sum(flat) <= 8
    assert sum(rising) >= 150
    warm_up = [np.array([0.0, -1.0, -2.0]) + rng.normal(0, 0.5, 3) for _ in range(8)]
    assert dependence.trend(warm_up).p < 0.001


def test_a_trend_within_short_processes_is_no_false_alarm() -> None:
    """Three values of a process about their mean are not independent: 5 of 100 tests at 5 %, not 9."""
    rng = np.random.default_rng(4)
    alarms = sum(dependence.trend(list(rng.normal(0, 1, (8, 3)))).p < 0.05 for _ in range(400))
    assert 8 <= alarms <= 32


def test_too_few_or_equal_values_show_neither() -> None:
    for few in (dependence.trend([[1.0, 2.0]]), dependence.trend([]), dependence.lag_one([[1.0, 2.0]])):
        assert math.isnan(few.p)
    for equal in (dependence.trend([[1.0] * 9]), dependence.lag_one([[1.0] * 9])):
        assert equal == dependence.Test(0.0, 1.0)
