"""What moving bytes should cost, and when a prediction from it counts as off."""

import math

import pytest

from bench.analysis.panels import Movement, movements, prediction_off
from tests.store.synthetic import PANEL, counted, process

MEBI = 1 << 20
TWO_SIZES = Movement({1: [0.001, 0.001], 64: [0.128, 0.128, 9.9]}, page_seconds=1e-6)  # 2 GiB/s, and half of that


@pytest.mark.parametrize(
    ("moved", "seconds"),
    [
        (2 * MEBI, 0.001),
        (128 * MEBI, 0.128),
        (256 * MEBI, 0.256),  # beyond the largest size at its bandwidth
        (16 * MEBI, 16 / 1500),  # halfway along the logarithm: the mean of both bandwidths
    ],
)
def test_an_operator_takes_as_long_as_a_copy_of_its_size(moved: int, seconds: float) -> None:
    own, base = counted(operations={moved: 2, 8: 1}), counted(operations={moved: 1, 8: 1})
    assert TWO_SIZES.traffic_seconds(own, base) == pytest.approx(seconds)
    assert TWO_SIZES.traffic_seconds(base, own) == pytest.approx(-seconds)  # saved
    assert TWO_SIZES.traffic_seconds(own, own) == 0.0


def test_what_was_not_measured_predicts_nothing() -> None:
    assert math.isnan(Movement({}, math.nan).traffic_seconds(counted(operations={8: 1}), counted()))
    assert math.isnan(TWO_SIZES.traffic_seconds(counted(), counted()))
    assert TWO_SIZES.fault_seconds(500) == pytest.approx(5e-4)
    assert TWO_SIZES.fault_seconds(math.nan) == Movement({}, math.nan).fault_seconds(500) == 0.0


def test_a_panels_processes_are_put_together() -> None:
    records = [
        process(PANEL, replicate, copies={1: [seconds]}, page_seconds=[seconds])
        for replicate, seconds in enumerate((0.1, 0.2, 0.4))
    ]
    (found,) = movements([*records, process(PANEL, 3)]).values()
    assert found == Movement({1: [0.1, 0.2, 0.4]}, page_seconds=0.2)
    assert found.rates(1) == pytest.approx([2 * MEBI / seconds for seconds in (0.1, 0.2, 0.4)])
    assert math.isnan(movements([process()])[PANEL].page_seconds)


@pytest.mark.parametrize(
    ("predicted", "low", "high", "off"),
    [
        (5.0, 4.0, 6.0, False),
        (5.0, 5.9, 9.0, False),  # outside, by less than the tolerance
        (5.0, 6.1, 9.0, True),
        (5.0, 0.5, 3.9, True),
        (5.0, -6.0, 30.0, False),  # too wide to tell
        (math.nan, 1.0, 2.0, False),
        (5.0, math.nan, math.nan, False),
    ],
)
def test_off_means_more_than_a_point_outside_of_the_interval(
    predicted: float, low: float, high: float, off: bool
) -> None:
    assert prediction_off(predicted, low, high) is off
