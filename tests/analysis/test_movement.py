"""When a prediction from counted bytes counts as off."""

import math

import pytest

from bench.analysis.tables.movement import is_off


@pytest.mark.parametrize(
    ("predicted", "low", "high", "off"),
    [
        (5.0, 6.0, 9.0, False),
        (5.0, 9.9, 11.8, False),  # reaches down to the factor of two
        (4.94, 9.9, 11.8, True),  # twice 4.94 is 9.88
        (5.0, 0.5, 2.4, True),
        (5.0, -6.0, 30.0, False),  # too wide to tell
        (0.1, 0.2, 0.4, False),  # all below half a point
        (0.1, 0.4, 3.0, False),
        (0.1, 0.6, 3.0, True),
        (-0.3, -0.2, 0.4, False),
        (math.nan, 1.0, 2.0, False),
    ],
)
def test_off_means_the_whole_interval_is_beyond_a_factor_of_two(
    predicted: float, low: float, high: float, off: bool
) -> None:
    assert is_off(predicted, low, high) is off
