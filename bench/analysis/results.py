"""What a run shows, as typed values. The report turns them into sentences and figures, ``export`` into CSV files."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from bench.spec.panel import Panel
from bench.stats.estimators import Interval

ABOVE, BELOW, HOLDS_REFERENCE, NO_INTERVAL = "above", "below", "holds reference", "no interval"


@dataclass(frozen=True)
class Comparison:
    """One comparison of a control, with its 95 % interval over seeds (not corrected for their number).

    control, title: which control it belongs to. explains: whether the control asks for another explanation of the main
    result (else: whether that result lasts). outcome: joint, spatial, temporal or mixture. words: what is compared,
    like ``residual minus in-place``; subject: for which arm. interval: in ``unit``, percentage points (pp) for a
    difference and % for a level. reference: what it is held against, 0 for a difference and chance for a level.
    mde: the minimum detectable effect, in pp. seeds: how many pairs.
    """

    control: str
    title: str
    explains: bool
    outcome: str
    words: str
    subject: str
    interval: Interval
    unit: str
    reference: float
    mde: float
    seeds: int

    @property
    def answer(self) -> str:
        """Where the interval lies: above or below the reference, or around it."""
        if self.interval.low != self.interval.low:
            return NO_INTERVAL
        if self.interval.low > self.reference:
            return ABOVE
        return BELOW if self.interval.high < self.reference else HOLDS_REFERENCE


@dataclass(frozen=True)
class Ranked:
    """A mechanism's place among those of one function. gap: pp behind the first, simultaneous; mde: of that gap."""

    strategy: str
    overhead: Interval
    gap: Interval
    mde: float


@dataclass(frozen=True)
class Ranking:
    """Mechanisms that compute the same function in one panel, the least overhead first.

    The intervals of their gaps hold for all pairs at once (Bonferroni), so the best may be chosen after seeing them.
    """

    panel: Panel
    fraction: Fraction
    placement: str
    direction: str
    ranked: tuple[Ranked, ...]

    @property
    def decided(self) -> bool:
        """Every gap has an interval."""
        return all(one.gap.low == one.gap.low for one in self.ranked[1:])

    @property
    def tied(self) -> tuple[Ranked, ...]:
        """Those that are not shown to be slower than the first."""
        return tuple(one for one in self.ranked[1:] if not one.gap.low > 0)


@dataclass(frozen=True)
class PanelQuality:
    """How well one panel was measured.

    reasons: {rule: superblocks that it declared disturbed}. between_sd_pct, within_sd_pct: standard deviations of
    processes and of superblocks, of the median case. autocorrelated, trending: how many cases were flagged for it.
    backend: numeric settings in force. sensors: {sensor: median reading}.
    """

    panel: Panel
    replicates: int
    superblocks: int
    disturbed_pct: float
    excluded: int
    waited_seconds: float
    reasons: Mapping[str, int]
    between_sd_pct: float
    within_sd_pct: float
    autocorrelated: int
    trending: int
    page_microseconds: float
    backend: Mapping[str, object]
    sensors: Mapping[str, float]
