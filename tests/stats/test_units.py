"""Values of independent units, paired by unit."""

import math

from bench.stats.estimators import Units, minimum_detectable_effect, t_interval


def test_differences_are_paired_by_unit() -> None:
    first, second = Units({1: 1.0, 2: 5.0, 3: 7.0}), Units({3: 4.0, 2: 3.0, 4: 9.0})
    assert (first - second) == Units({2: 2.0, 3: 3.0})
    assert len(first - Units({9: 1.0})) == 0


def test_intervals_are_over_units() -> None:
    units = Units({7: 1.0, 8: 2.0, 9: 4.0})
    assert (units.values, len(units)) == ([1.0, 2.0, 4.0], 3)
    assert units.interval(0.99) == t_interval([1.0, 2.0, 4.0], 0.99)
    assert units.mde(0.99) == minimum_detectable_effect([1.0, 2.0, 4.0], 0.99)
    assert math.isnan(Units({1: 2.0}).interval().low)
