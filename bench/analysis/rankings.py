"""Mechanisms of one function against each other: which is the fastest, and by how much.

All that compute the same function at one fraction, placement and direction of one panel are ranked together; the
intervals of all their pairs hold at once (Bonferroni), so that the best may be chosen after seeing the values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from bench.analysis.overheads import Overhead
from bench.spec.panel import Panel
from bench.stats.estimators import CONFIDENCE, Interval


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


def rankings(measured: Sequence[Overhead]) -> list[Ranking]:
    """One for each function of which two mechanisms or more were measured. measured: those that compute one function
    (``copy_shift``'s, or what claims to equal it)."""
    groups: dict[tuple[Panel, Fraction, str, str], list[Overhead]] = {}
    for overhead in measured:
        variant = overhead.case.variant
        if variant.fraction > 0:
            key = (overhead.case.panel, variant.fraction, variant.placement, variant.direction)
            groups.setdefault(key, []).append(overhead)
    return [Ranking(*key, ranked=_ranked(group)) for key, group in groups.items() if len(group) > 1]


def _ranked(group: Sequence[Overhead]) -> tuple[Ranked, ...]:
    ordered = sorted(group, key=lambda overhead: overhead.interval().mean)
    confidence = 1 - (1 - CONFIDENCE) / len(list(combinations(ordered, 2)))
    first, *others = ordered
    ranked = [Ranked(first.case.variant.strategy, first.interval(), Interval(0.0, 0.0, 0.0, len(first.pct)), 0.0)]
    for overhead in others:
        gap = overhead.pct - first.pct
        ranked.append(
            Ranked(overhead.case.variant.strategy, overhead.interval(), gap.interval(confidence), gap.mde(confidence))
        )
    return tuple(ranked)
