"""Mechanisms of one function against each other: which is the fastest, and by how much.

All that compute the same function at one fraction, placement and direction of one panel meet; the intervals of all
their pairs hold at once (Bonferroni), so that the best may be chosen after seeing the values.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import pandas as pd

from bench.analysis.overheads import Overhead
from bench.analysis.tables.columns import AXES, PANEL
from bench.stats import estimators

_COLUMNS = [
    *(*PANEL, *AXES, "overhead_pct", "rank"),
    *("behind_pct", "behind_ci_low_pct", "behind_ci_high_pct", "detectable_pct"),
]


def contest_table(measured: Sequence[Overhead]) -> pd.DataFrame:
    """One row per mechanism in each contest of two or more, by rank.

    behind_pct: points behind the best, paired by process, with its simultaneous interval; the best has zeros.
    detectable_pct: the difference that would have been found four times in five at that confidence.
    """
    contests: dict[tuple[Any, ...], list[Overhead]] = {}
    for overhead in measured:
        variant = overhead.case.variant
        if variant.fraction > 0:
            key = (overhead.case.panel, variant.fraction, variant.placement, variant.direction)
            contests.setdefault(key, []).append(overhead)
    rows = [row for entrants in contests.values() if len(entrants) > 1 for row in _rows(entrants)]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _rows(entrants: Sequence[Overhead]) -> list[dict[str, Any]]:
    ordered = sorted(entrants, key=lambda overhead: overhead.interval().mean)
    pairs = len(list(combinations(ordered, 2)))
    confidence = 1 - (1 - estimators.CONFIDENCE) / pairs
    rows = []
    for rank, overhead in enumerate(ordered):
        differences = _paired(overhead, ordered[0])
        behind = estimators.t_interval(differences, confidence)
        rows.append(
            {
                **asdict(overhead.case.panel),
                **overhead.case.variant.to_json(),
                "fraction": float(overhead.case.variant.fraction),
                "overhead_pct": overhead.interval().mean,
                "rank": rank,
                "behind_pct": behind.mean if rank else 0.0,
                "behind_ci_low_pct": behind.low if rank else 0.0,
                "behind_ci_high_pct": behind.high if rank else 0.0,
                "detectable_pct": estimators.smallest_detectable(differences, confidence) if rank else 0.0,
            }
        )
    return rows


def _paired(first: Overhead, second: Overhead) -> list[float]:
    """first - second in points, for each process that measured both."""
    own = dict(zip(first.per_superblock, first.per_process_pct, strict=True))
    other = dict(zip(second.per_superblock, second.per_process_pct, strict=True))
    return [own[replicate] - other[replicate] for replicate in own if replicate in other]
