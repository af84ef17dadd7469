"""Mechanisms of one function against each other: which is the fastest, and by how much.

All that compute the same function at one fraction, placement and direction of one panel are ranked together; the
intervals of all their pairs hold at once (Bonferroni), so that the best may be chosen after seeing the values.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

from bench.analysis.overheads import Overhead
from bench.analysis.results import Ranked, Ranking
from bench.spec.panel import Panel
from bench.stats.estimators import CONFIDENCE, Interval


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
