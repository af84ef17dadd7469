"""Estimators and intervals: numpy and scipy, and nothing of ours.

Within one process a robust location over superblocks; across processes (or seeds) a t interval, because that is the
level at which values are independent (Kalibera & Jones, "Rigorous benchmarking in reasonable time", 2013).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
POWER = 0.8

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


def hodges_lehmann(values: ArrayLike) -> float:
    """The median of all pairwise means: nearly as efficient as the mean, and one spike in five moves it little."""
    array: Floats = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(len(array))
    return float(np.median((array[first] + array[second]) / 2))


def t_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Mean and Student's t interval over independent values (processes, seeds)."""
    array: Floats = np.asarray(values, dtype=np.float64)
    count = len(array)
    mean = float(array.mean()) if count else math.nan
    if count < 2:
        return Interval(mean, math.nan, math.nan, count)
    reach = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * float(array.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - reach, mean + reach, count)


def simultaneous(samples: Sequence[ArrayLike], confidence: float = CONFIDENCE) -> list[Interval]:
    """t intervals that hold all at once (Bonferroni), for findings that compare several cases."""
    return [t_interval(values, 1 - (1 - confidence) / len(samples)) for values in samples]


def smallest_detectable(values: ArrayLike, confidence: float = CONFIDENCE) -> float:
    """The effect that this many values with this spread would have found four times in five, at this confidence."""
    array: Floats = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return math.nan
    freedom = len(array) - 1
    quantiles = float(stats.t.ppf((1 + confidence) / 2, freedom)) + float(stats.t.ppf(POWER, freedom))
    return quantiles * float(array.std(ddof=1)) / math.sqrt(len(array))


def count_needed(values: ArrayLike, effect: float, confidence: float = CONFIDENCE, at_most: int = 10_000) -> int | None:
    """How many values of this spread would find ``effect`` four times in five; None beyond ``at_most``."""
    array: Floats = np.asarray(values, dtype=np.float64)
    if len(array) < 2 or effect <= 0:
        return None
    deviation = float(array.std(ddof=1))
    counts = np.arange(2, at_most + 1)
    quantiles = stats.t.ppf((1 + confidence) / 2, counts - 1) + stats.t.ppf(POWER, counts - 1)
    enough = np.flatnonzero(quantiles * deviation / np.sqrt(counts) <= effect)
    return int(counts[enough[0]]) if len(enough) else None


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Least-squares slope of y over x."""
    first: Floats = np.asarray(x, dtype=np.float64)
    second: Floats = np.asarray(y, dtype=np.float64)
    centred = first - first.mean()
    return float(centred @ second / (centred @ centred))


def percent(log_ratio: float) -> float:
    """A log ratio as an overhead in per cent."""
    return 100.0 * math.expm1(log_ratio)


def welch_interval(first: ArrayLike, second: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """first - second for two independent samples of unequal spread; NaN bounds where one has fewer than two values."""
    a: Floats = np.asarray(first, dtype=np.float64)
    b: Floats = np.asarray(second, dtype=np.float64)
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
