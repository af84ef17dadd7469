"""Are values as independent as an interval takes them to be? Tests of their order: autocorrelation and trend."""

import math
from collections.abc import Callable, Sequence
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
    """Lag-1 autocorrelation of values in the order in which they were measured, over groups about their means."""
    centred = _centred(groups, 3)
    scale = sum(float(array @ array) for array in centred)
    return _permuted(centred, lambda orders: (orders[:, 1:] * orders[:, :-1]).sum(axis=1) / (scale or 1.0))


def trend(groups: Sequence[ArrayLike]) -> Test:
    """Correlation of the ranks of values with the order in which they were measured, pooled over groups, each about its
    own mean: a rise or fall through the run (one group), or within processes."""
    centred = _centred(groups, 2)
    ranks = stats.rankdata(np.concatenate([*centred, []]))
    own = _centred(np.split(ranks, np.cumsum([len(array) for array in centred]))[:-1], 2)
    squares = [(float(array @ array), float(_places(array) @ _places(array))) for array in own]
    scale = math.sqrt(math.prod(map(sum, zip(*squares, strict=True)))) or 1.0

    def along(orders: Floats) -> Floats:
        return np.asarray(orders @ _places(orders) / scale)

    return _permuted(own, along)


def _places(values: Floats) -> Floats:
    """Of the last axis, about their middle."""
    places: Floats = np.arange(values.shape[-1], dtype=np.float64)
    places -= places.mean()
    return places


def _centred(groups: Sequence[ArrayLike], least: int) -> list[Floats]:
    """Of groups with so many values."""
    arrays = [array for group in groups if len(array := np.asarray(group, dtype=np.float64)) >= least]
    return [array - array.mean() for array in arrays]


def _permuted(groups: Sequence[Floats], statistic: Callable[[Floats], Floats]) -> Test:
    """In how many of 2,000 random orders within groups (fixed seed) a statistic, summed over groups, is as far from its
    mean there. statistic: of orders [..., n] of a group's values."""
    if sum(map(len, groups)) < _LEAST_FOR_TESTS:
        return Test(math.nan, math.nan)
    if not any(array.any() for array in groups):
        return Test(0.0, 1.0)
    rng = np.random.default_rng(0)
    seen = sum(float(statistic(array[np.newaxis])[0]) for array in groups)
    shuffled = np.zeros(_PERMUTATIONS)
    for array in groups:
        shuffled += statistic(rng.permuted(np.tile(array, (_PERMUTATIONS, 1)), axis=1))
    middle = float(shuffled.mean())
    beyond = int((np.abs(shuffled - middle) >= abs(seen - middle)).sum())
    return Test(seen, (1 + beyond) / (1 + _PERMUTATIONS))
