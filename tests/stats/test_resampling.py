"""The nested bootstrap and the clips' share, against known answers and simulated experiments."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.stats.estimators import mean
from bench.stats.resampling import clip_share, resampled

SEEDS, CLIPS, TRUTH = 10, 100, 20.0


def experiment(number: int, between: float) -> list[NDArray[np.float64]]:
    """Differences in points of ten seeds with true means about 20, each on its own clips: none, one … four of four."""
    rng = np.random.default_rng([number, 7])
    means = np.clip((TRUTH + rng.normal(0.0, between, SEEDS)) / 100, 0.0, 1.0)
    return [100 * rng.binomial(4, mean, CLIPS) / 4 for mean in means]


def covered(interval: Callable[[list[NDArray[np.float64]]], tuple[float, float]], between: float, runs: int) -> float:
    bounds = [interval(experiment(number, between)) for number in range(runs)]
    return sum(low <= TRUTH <= high for low, high in bounds) / runs


def nested(groups: list[NDArray[np.float64]]) -> tuple[float, float]:
    found = resampled(groups, resamples=400)
    return found.low, found.high


def over_seeds(groups: list[NDArray[np.float64]]) -> tuple[float, float]:
    found = mean([group.mean() for group in groups]).interval()
    return found.low, found.high


def test_it_is_too_narrow_where_seeds_differ_and_too_wide_where_only_clips_do() -> None:
    """Why the t interval over seeds is the headline: it holds the truth 95 times in 100 either way."""
    assert 0.84 <= covered(nested, 8.0, 300) <= 0.935
    assert covered(nested, 0.0, 300) >= 0.96
    for between in (8.0, 0.0):
        assert 0.93 <= covered(over_seeds, between, 1000) <= 0.97


def test_resampling_has_the_variance_that_theory_gives() -> None:
    """Clips count twice, seeds by (S - 1) / S: the textbook's result for two levels."""
    groups = experiment(1, 5.0)
    means = np.array([group.mean() for group in groups])
    within = np.mean([group.var() / len(group) for group in groups])
    deviation = math.sqrt((means.var() + within) / SEEDS)
    found = resampled(groups, resamples=20_000)
    assert found.mean == pytest.approx(means.mean())
    assert found.half_width == pytest.approx(1.96 * deviation, rel=0.03)


def test_drawing_counts_is_drawing_clips() -> None:
    """Against the plain way: clips one by one, groups of unequal size, values of many kinds."""
    rng = np.random.default_rng(3)
    groups = [rng.normal(mean, 3.0, size) for mean, size in ((1.0, 20), (2.0, 30), (4.0, 25))]
    found = resampled(groups, resamples=4000)
    plain = []
    for _ in range(4000):
        drawn = [groups[place] for place in rng.integers(0, 3, 3)]
        plain.append(np.mean([rng.choice(group, len(group)).mean() for group in drawn]))
    assert (found.low, found.high) == pytest.approx(np.quantile(plain, (0.025, 0.975)), abs=0.15)


def test_the_same_values_give_the_same_interval() -> None:
    assert resampled(experiment(2, 3.0)) == resampled(experiment(2, 3.0))


def test_without_two_seeds_there_is_no_interval() -> None:
    alone = resampled([[1.0, 3.0]])
    assert (alone.mean, alone.count) == (2.0, 1)
    assert math.isnan(alone.low) and math.isnan(alone.high)
    assert math.isnan(resampled([]).mean)
    assert math.isnan(clip_share([[1.0, 3.0]]))


def test_seeds_without_any_spread_have_a_point() -> None:
    found = resampled([[5.0, 5.0], [5.0, 5.0]])
    assert (found.low, found.mean, found.high) == (5.0, 5.0, 5.0)
    assert math.isnan(clip_share([[5.0, 5.0], [5.0, 5.0]]))


def test_the_share_of_the_clips() -> None:
    assert clip_share([[0.0, 2.0], [1.0, 3.0]]) == 1.0  # 1.0 within against 0.5 between: no more than all of it
    assert clip_share([[0.0, 2.0], [10.0, 12.0]]) == pytest.approx(1.0 / 50.0)
    assert clip_share([[0.0, 2.0], [2.0, 0.0]]) == 1.0
    shares = [clip_share(experiment(number, 4.0)) for number in range(200)]
    sampling = 0.25 * 20 * 80 / CLIPS  # the variance of a mean of clips, four orders each, in points²
    assert float(np.median(shares)) == pytest.approx(sampling / (sampling + 16), rel=0.25)
