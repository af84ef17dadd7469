"""The trend of each mechanism over the fraction."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from bench.analysis.overheads import Slope
from bench.analysis.tables.columns import PANEL
from bench.stats import estimators

_COLUMNS = [
    *(*PANEL, "strategy", "placement", "direction"),
    *("slope_pct", "slope_ci_low_pct", "slope_ci_high_pct", "detectable_pct", "fractions"),
]


def slope_table(found: Sequence[Slope]) -> pd.DataFrame:
    """One row per mechanism, placement, direction and panel: points from no channels to all, along a straight line."""
    rows = []
    for slope in found:
        interval = estimators.t_interval(slope.per_process)
        rows.append(
            {
                **asdict(slope.panel),
                "strategy": slope.strategy,
                "placement": slope.placement,
                "direction": slope.direction,
                "slope_pct": interval.mean,
                "slope_ci_low_pct": interval.low,
                "slope_ci_high_pct": interval.high,
                "detectable_pct": estimators.smallest_detectable(slope.per_process),
                "fractions": len(slope.fractions),
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)
