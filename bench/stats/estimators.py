"""Estimators and intervals: numpy and scipy, and nothing of ours.

Within one process a robust location over superblocks; across processes (or seeds) a t interval, because that is the
level at which values are independent (Kalibera & Jones, "Rigorous benchmarking in reasonable time", 2013).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
POWER = 0.8
MOST = 10_000  # values beyond which nobody asks how many

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval; NaN bounds where there are fewer than two values."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def half_width(self) -> float:
        """Half the interval's width, in the estimate's unit."""
        return (self.high - self.low) / 2

    def scaled(self, factor: float) -> "Interval":
        """In another unit (factor > 0)."""
        return Interval(self.mean * factor, self.low * factor, self.high * factor, self.count)

    def signed(self, decimals: int = 1) -> str:
        """``+1.0 [-0.5, +2.5]``."""
        mean, low, high = (f"{value:+.{decimals}f}" for value in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]"


@dataclass(frozen=True)
class Units:
    """{unit: value}, one per process where time is measured, one per seed where something is trained.

    Two of them are paired by their units, which are independent; an interval is taken over the units. fewest: with
    fewer units there is none.
    """

    by_unit: Mapping[int, float]
    fewest: int = 2

    def __len__(self) -> int:
        return len(self.by_unit)

    def __sub__(self, other: "Units") -> "Units":
        """The difference in every unit that both have."""
        shared = [unit for unit in self.by_unit if unit in other.by_unit]
        values = {unit: self.by_unit[unit] - other.by_unit[unit] for unit in shared}
        return Units(values, max(self.fewest, other.fewest))

    @property
    def values(self) -> list[float]:
        """In the order of the units."""
        return list(self.by_unit.values())

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Mean and Student's t interval over units; NaN bounds for too few."""
        interval = t_interval(self.values, confidence)
        return interval if len(self) >= self.fewest else replace(interval, low=math.nan, high=math.nan)

    def mde(self, confidence: float = CONFIDENCE) -> float:
        """The minimum detectable effect: what would have been found four times in five at this confidence."""
        return minimum_detectable_effect(self.values, confidence) if len(self) >= self.fewest else math.nan


def hodges_lehmann(values: ArrayLike) -> float:
    """The median of all pairwise means: nearly as efficient as the mean, and one spike in five moves it little."""
    array: Floats = np.asarray(values, dtype=np.float64)
    first, second = _pairs(len(array))
    return float(np.median((array[first] + array[second]) / 2))


@cache
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(count)


@cache
def _t(confidence: float, freedom: int) -> float:
    """The two-sided quantile of Student's t; scipy takes longer for it than everything around it."""
    return float(stats.t.ppf((1 + confidence) / 2, freedom))


def t_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Mean and Student's t interval over independent values (processes, seeds)."""
    array: Floats = np.asarray(values, dtype=np.float64)
    count = len(array)
    mean = float(array.mean()) if count else math.nan
    if count < 2:
        return Interval(mean, math.nan, math.nan, count)
    reach = _t(confidence, count - 1) * float(array.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - reach, mean + reach, count)


def minimum_detectable_effect(values: ArrayLike, confidence: float = CONFIDENCE) -> float:
    """The effect that this many values with this spread would have found four times in five, at this confidence."""
    array: Floats = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return math.nan
    quantiles = _t(confidence, len(array) - 1) + float(stats.t.ppf(POWER, len(array) - 1))
    return quantiles * float(array.std(ddof=1)) / math.sqrt(len(array))


def count_needed(values: ArrayLike, effect: float, confidence: float = CONFIDENCE, power: float = POWER) -> int | None:
    """How many values of this spread would find ``effect``, at this power; None beyond ``MOST``."""
    array: Floats = np.asarray(values, dtype=np.float64)
    return _fewest(float(array.std(ddof=1)), effect, confidence, power) if len(array) > 1 and effect > 0 else None


def groups_needed(deviation: float, half_width: float) -> int:
    """How many independent values of this deviation give a t interval of this half-width; ``MOST`` where more."""
    return _fewest(deviation, half_width, CONFIDENCE, power=0.5) or MOST  # an interval's reach: its quantile alone


def _fewest(deviation: float, effect: float, confidence: float, power: float) -> int | None:
    counts = np.arange(2, MOST + 1)
    quantiles = stats.t.ppf((1 + confidence) / 2, counts - 1) + stats.t.ppf(power, counts - 1)
    enough = np.flatnonzero(quantiles * deviation / np.sqrt(counts) <= effect)
    return int(counts[enough[0]]) if len(enough) else None


def paired_p(differences: ArrayLike) -> float:
    """Student's t test, two-sided, of paired differences against zero; NaN where there are fewer than two.

    Differences without any spread decide on their own: 1 where all are zero, otherwise 0.
    """
    array: Floats = np.asarray(differences, dtype=np.float64)
    if len(array) < 2:
        return math.nan
    if float(np.ptp(array)) == 0.0:
        return 1.0 if array[0] == 0.0 else 0.0
    ratio = abs(float(array.mean())) * math.sqrt(len(array)) / float(array.std(ddof=1))
    return float(2 * stats.t.sf(ratio, len(array) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values of one family, adjusted so that one false alarm in all of them is as rare as it would be in a single
    test (Holm, "A simple sequentially rejective multiple test procedure", 1979). NaN: no test; it stays NaN and does
    not count."""
    tested = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, highest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = highest
    return adjusted


@dataclass(frozen=True)
class Components:
    """Variances of values in groups: between the groups' true means, and within a group."""

    between: float
    within: float


def components(groups: Sequence[ArrayLike]) -> Components | None:
    """One-way analysis of variance, for groups of unequal size; None where a group more, or a value more, is needed."""
    arrays: list[Floats] = [np.asarray(group, dtype=np.float64) for group in groups if np.size(group)]
    sizes = np.array([len(array) for array in arrays], dtype=np.float64)
    total, count = float(sizes.sum()), len(arrays)
    if count < 2 or total <= count:
        return None
    means = np.array([array.mean() for array in arrays])
    grand = float((sizes * means).sum() / total)
    within = sum(float(((array - array.mean()) ** 2).sum()) for array in arrays) / (total - count)
    spread = float((sizes * (means - grand) ** 2).sum()) / (count - 1)
    typical = (total - float((sizes**2).sum()) / total) / (count - 1)
    return Components(max(0.0, (spread - within) / typical), within)


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


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Least-squares slope of y over x."""
    first: Floats = np.asarray(x, dtype=np.float64)
    centred = first - first.mean()
    return float(centred @ np.asarray(y, dtype=np.float64) / (centred @ centred))


def percent(log_ratio: float) -> float:
    """A log ratio as an overhead in per cent."""
    return 100.0 * math.expm1(log_ratio)


def welch_interval(first: ArrayLike, second: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """first - second for two independent samples of unequal spread; NaN bounds where one has fewer than two values."""
    a, b = (np.asarray(values, dtype=np.float64) for values in (first, second))
    difference, count = float(a.mean() - b.mean()), len(a) + len(b)
    if min(len(a), len(b)) < 2:
        return Interval(difference, math.nan, math.nan, count)
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    error = math.sqrt(sum(parts))
    if error == 0:
        return Interval(difference, difference, difference, count)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    reach = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    return Interval(difference, difference - reach, difference + reach, count)
