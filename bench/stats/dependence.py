"""Are values as independent as an interval takes them to be? Tests of their order: autocorrelation and trend."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bench.stats.estimators import Floats


@dataclass(frozen=True)
class Test:
    """A test's statistic and its p value; NaN where there are too few values."""

    value: float
    p: float


_LEAST_FOR_TESTS = 8  # values in a row: with fewer, neither autocorrelation nor trend can be told from chance
_PERMUTATIONS = 2000


def lag_one(groups: Sequence[ArrayLike]) -> Test:
    """Lag-1 autocorrelation of values in the order in which they were measured, pooled over groups about their means.

    A permutation test: in how many of 2,000 random orders (fixed seed) the coefficient is as far from its mean there.
    """
    arrays = [array for group in groups if len(array := np.asarray(group, dtype=np.float64)) >= 3]
    if sum(map(len, arrays)) < _LEAST_FOR_TESTS:
        return Test(math.nan, math.nan)
    rng = np.random.default_rng(0)
    centred = [array - array.mean() for array in arrays]
    scale = sum(float(array @ array) for array in centred)
    if scale == 0:
        return Test(0.0, 1.0)
    seen = sum(float(array[1:] @ array[:-1]) for array in centred) / scale
    shuffled = np.zeros(_PERMUTATIONS)
    for array in centred:
        orders = rng.permuted(np.tile(array, (_PERMUTATIONS, 1)), axis=1)
        shuffled += (orders[:, 1:] * orders[:, :-1]).sum(axis=1) / scale
    middle = float(shuffled.mean())
    beyond = int((np.abs(shuffled - middle) >= abs(seen - middle)).sum())
    return Test(seen, (1 + beyond) / (1 + _PERMUTATIONS))


def trend(groups: Sequence[ArrayLike]) -> Test:
    """Kendall's tau of values against the order in which they were measured, pooled over groups, each about its own
    mean: a rise or fall through the run (one group), or within processes."""
    arrays: list[Floats] = [array for group in groups if len(array := np.asarray(group, dtype=np.float64)) >= 2]
    if sum(map(len, arrays)) < _LEAST_FOR_TESTS:
        return Test(math.nan, math.nan)
    places = np.concatenate([np.arange(len(array)) - (len(array) - 1) / 2 for array in arrays])
    values = np.concatenate([array - array.mean() for array in arrays])
    if float(np.ptp(values)) == 0.0:
        return Test(0.0, 1.0)
    result = stats.kendalltau(places, values)
    return Test(float(result.statistic), float(result.pvalue))
