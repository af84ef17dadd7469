"""Estimators and intervals: numpy and scipy, and nothing of ours.

Within one process a robust location over superblocks. Across processes, the level at which values are independent
(Kalibera & Jones, "Rigorous benchmarking in reasonable time", 2013), a trimmed mean with Yuen's interval: of the
candidates the one whose intervals hold on the published runs (docs/statistics.md). Across seeds Student's t.
"""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

CONFIDENCE = 0.95
POWER = 0.8
MOST = 10_000  # values beyond which nobody asks how many
FEWEST_SEEDS = 5  # with fewer, no interval is called 95 %
TRIM, TRIMMED_FROM = 0.2, 7  # of the values at either end; with fewer values too little would be left of them

_COUNTS = np.arange(2, MOST + 1)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval; NaN bounds where there are too few values."""

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
        return f"{mean} (no interval)" if math.isnan(self.low) else f"{mean} [{low}, {high}]"


@dataclass(frozen=True)
class Estimate:
    """What independent values say of a quantity: a location, its standard error, the degrees of freedom of Student's t.

    error is NaN where there are too few values. possible: the least and the largest that the quantity can be.
    """

    mean: float
    error: float = math.nan
    freedom: float = math.nan
    count: int = 1
    possible: tuple[float, float] = (-math.inf, math.inf)

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The difference of two independent estimates (Welch; of trimmed means Yuen, "The two-sample trimmed t for
        unequal population variances", 1974)."""
        error, parts = math.hypot(self.error, other.error), (self.error**2, other.error**2)
        freedom = self.freedom + other.freedom
        if error > 0:
            freedom = sum(parts) ** 2 / (parts[0] ** 2 / self.freedom + parts[1] ** 2 / other.freedom)
        (low, high), (lowest, highest) = self.possible, other.possible
        return Estimate(
            self.mean - other.mean, error, freedom, self.count + other.count, (low - highest, high - lowest)
        )

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Two-sided, cut off at what is possible; NaN bounds where there are too few values."""
        reach = _t(confidence, self.freedom) * self.error
        low, high = (float(np.clip(end, *self.possible)) for end in (self.mean - reach, self.mean + reach))
        return Interval(self.mean, low, high, self.count)

    def mde(self, confidence: float = CONFIDENCE) -> float:
        """The minimum detectable effect: what would have been found four times in five at this confidence."""
        return (_t(confidence, self.freedom) + float(stats.t.ppf(POWER, self.freedom))) * self.error

    def needed(self, effect: float, confidence: float = CONFIDENCE, power: float = POWER) -> int | None:
        """How many values of this spread would find ``effect``; None beyond ``MOST``, or where nothing is known."""
        if math.isnan(self.error) or effect <= 0:
            return None
        quantiles = _quantiles(np.maximum(1, self.freedom * _COUNTS / self.count), confidence, power)
        return _fewest(quantiles, self.error * math.sqrt(self.count), effect)

    def p(self, value: float = 0.0) -> float:
        """Two-sided, of the quantity being ``value``. Without any spread it decides on its own: 1 or 0."""
        distance = abs(self.mean - value)
        if self.error == 0:
            return 1.0 if distance == 0 else 0.0
        return float(2 * stats.t.sf(distance / self.error, self.freedom))


@cache
def _t(confidence: float, freedom: float) -> float:
    """The two-sided quantile of Student's t; scipy takes longer for it than everything around it."""
    return float(stats.t.ppf((1 + confidence) / 2, freedom))


def mean(values: ArrayLike) -> Estimate:
    """The mean of independent values, with its standard error."""
    array: Floats = np.asarray(values, dtype=np.float64)
    count = len(array)
    middle = float(array.mean()) if count else math.nan
    if count < 2:
        return Estimate(middle, count=count)
    return Estimate(middle, float(array.std(ddof=1)) / math.sqrt(count), count - 1, count)


def trimmed(values: Floats, trim: float = TRIM, fewest: int = TRIMMED_FROM) -> tuple[Floats, Floats, int]:
    """Along the last axis the trimmed mean, its standard error and degrees of freedom (Yuen & Dixon, 1973).

    values [..., n], n >= 2. trim: the share left out at either end, from ``fewest`` values on; below that the mean. The
    error is that of the winsorised values, scaled to those that are left.
    """
    count = values.shape[-1]
    cut = int(trim * count) if count >= fewest else 0
    ordered = np.sort(values, axis=-1)
    kept = ordered[..., cut : count - cut]
    winsorised = np.clip(ordered, kept[..., :1], kept[..., -1:])
    left = kept.shape[-1]
    error = winsorised.std(axis=-1, ddof=1) * math.sqrt((count - 1) / (left * (left - 1)))
    return kept.mean(axis=-1), error, left - 1


def trimmed_mean(values: ArrayLike) -> Estimate:
    """What holds over processes: an odd one moves it little."""
    array: Floats = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return mean(array)
    middle, error, freedom = trimmed(array)
    return Estimate(float(middle), float(error), freedom, len(array))


def share_interval(shares: ArrayLike, judged: int, confidence: float = CONFIDENCE) -> Interval:
    """The mean of shares (0 to 1) with a t interval on the logit scale, which stays within 0 and 1.

    The standard error of the mean is carried to that scale (delta method), so the interval is around the mean itself.
    judged: clips or objects that one share is taken over. Where all shares are 0, or all 1, they have no spread, and
    the exact binomial interval of one share's clips stands in.
    """
    found = mean(shares)
    middle = found.mean
    if not 0 < middle < 1:
        right = round(middle * judged)
        exact = stats.binomtest(right, judged).proportion_ci(confidence)
        return Interval(middle, float(exact.low), float(exact.high), found.count)
    reach = _t(confidence, found.freedom) * found.error / (middle * (1 - middle))
    place = math.log(middle / (1 - middle))
    low, high = (float(special.expit(end)) for end in (place - reach, place + reach))
    return Interval(middle, low, high, found.count)


@dataclass(frozen=True)
class Units:
    """{unit: value} of independent units, by which two of them are paired; an interval is taken over the units."""

    by_unit: Mapping[int, float]

    def __len__(self) -> int:
        return len(self.by_unit)

    def paired(self, other: "Units") -> dict[int, float]:
        """The difference in every unit that both have."""
        return {unit: value - other.by_unit[unit] for unit, value in self.by_unit.items() if unit in other.by_unit}

    def among(self, units: Container[int]) -> Self:
        """Only those of these units."""
        return replace(self, by_unit={unit: value for unit, value in self.by_unit.items() if unit in units})

    @property
    def values(self) -> list[float]:
        """In the order of the units."""
        return list(self.by_unit.values())

    def estimate(self) -> Estimate:
        """Over the units."""
        raise NotImplementedError

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """NaN bounds where there are too few units."""
        return self.estimate().interval(confidence)

    def mde(self, confidence: float = CONFIDENCE) -> float:
        """The minimum detectable effect."""
        return self.estimate().mde(confidence)


@dataclass(frozen=True)
class Processes(Units):
    """One value per process, where time is measured. fewest: with fewer of them there is no interval."""

    fewest: int = 2

    def __sub__(self, other: "Processes") -> "Processes":
        return Processes(self.paired(other), max(self.fewest, other.fewest))

    def estimate(self) -> Estimate:
        """A trimmed mean; without error where there are too few."""
        found = trimmed_mean(self.values)
        return found if len(self) >= self.fewest else Estimate(found.mean, count=found.count)


@dataclass(frozen=True)
class Seeds(Units):
    """One value per seed, where something is trained; in per cent or pp. possible: the least and the largest."""

    possible: tuple[float, float] = (-100.0, 100.0)

    def __sub__(self, other: "Seeds") -> "Seeds":
        (low, high), (lowest, highest) = self.possible, other.possible
        return Seeds(self.paired(other), (low - highest, high - lowest))

    def estimate(self) -> Estimate:
        """The mean; without error where there are fewer than ``FEWEST_SEEDS``."""
        found = mean(self.values)
        if len(self) < FEWEST_SEEDS:
            return Estimate(found.mean, count=found.count)
        return replace(found, possible=self.possible)


@dataclass(frozen=True)
class Shares(Seeds):
    """Accuracies of seeds, in per cent of ``judged`` clips (or objects) each."""

    possible: tuple[float, float] = (0.0, 100.0)
    judged: int = 1

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Within 0 and 100."""
        if len(self) < FEWEST_SEEDS:
            return self.estimate().interval(confidence)
        return share_interval([value / 100 for value in self.values], self.judged, confidence).scaled(100)


def hodges_lehmann(values: ArrayLike) -> float:
    """The median of all pairwise means: nearly as efficient as the mean, and one spike in five moves it little."""
    array: Floats = np.asarray(values, dtype=np.float64)
    first, second = _pairs(len(array))
    return float(np.median((array[first] + array[second]) / 2))


@cache
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(count)


def processes_needed(deviation: float, effect: float, power: float = POWER) -> int | None:
    """How many processes that differ by this deviation would find ``effect``; None beyond ``MOST``."""
    return _fewest(_over_processes(power), deviation, effect)


def groups_needed(deviation: float, half_width: float) -> int:
    """How many processes of this deviation give an interval of this half-width; ``MOST`` where more."""
    return processes_needed(deviation, half_width, power=0.5) or MOST  # an interval's reach: its quantile alone


@cache
def _over_processes(power: float) -> Floats:
    cuts = np.where(_COUNTS >= TRIMMED_FROM, (TRIM * _COUNTS).astype(int), 0)
    return _quantiles(_COUNTS - 2 * cuts - 1, CONFIDENCE, power)


def _quantiles(freedoms: NDArray[Any], confidence: float, power: float) -> Floats:
    """How many standard errors an effect must measure to be found so often."""
    return np.asarray(stats.t.ppf((1 + confidence) / 2, freedoms) + stats.t.ppf(power, freedoms))


def _fewest(quantiles: Floats, deviation: float, effect: float) -> int | None:
    """quantiles: one for each of ``_COUNTS``."""
    enough = np.flatnonzero(quantiles * deviation / np.sqrt(_COUNTS) <= effect)
    return int(_COUNTS[enough[0]]) if len(enough) else None


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


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Least-squares slope of y over x."""
    first: Floats = np.asarray(x, dtype=np.float64)
    centred = first - first.mean()
    return float(centred @ np.asarray(y, dtype=np.float64) / (centred @ centred))


def percent(log_ratio: float) -> float:
    """A log ratio as an overhead in per cent."""
    return 100.0 * math.expm1(log_ratio)


def pooled(found: Sequence[Estimate]) -> tuple[Estimate, Estimate]:
    """One estimate of several of the same kind (two at least, each with an error above zero), by random effects
    (DerSimonian & Laird, 1986), its error after Hartung & Knapp (2001), their factor 1 at least; and one of what a
    further one would truly be (Higgins et al., 2009)."""
    means, errors = (np.array([getattr(one, name) for one in found]) for name in ("mean", "error"))
    weights, freedom = errors**-2.0, len(found) - 1
    fixed = np.average(means, weights=weights)
    excess = float((weights * (means - fixed) ** 2).sum()) - freedom
    between = max(0.0, excess / float(weights.sum() - (weights**2).sum() / weights.sum()))
    weights = 1 / (errors**2 + between)
    middle = float(np.average(means, weights=weights))
    factor = max(1.0, float((weights * (means - middle) ** 2).sum()) / freedom)
    error = math.sqrt(factor / float(weights.sum()))
    further = Estimate(middle, math.hypot(error, math.sqrt(between)), max(1, freedom - 1), len(found))
    return Estimate(middle, error, freedom, len(found)), further
