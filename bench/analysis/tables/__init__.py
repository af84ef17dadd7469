"""Records and estimates -> data frames. Here: the columns that tables share, and an estimate as columns."""

from typing import Any

from bench.spec.cases import Case, Condition, Variant
from bench.spec.panel import Panel
from bench.stats.estimators import Interval

MEGA = 1e6
"""Megabytes in tables are decimal, as in the paper."""

AXES = ("strategy", "placement", "fraction", "direction")
PANEL = Panel.COLUMNS
CONDITION = tuple(Condition.__dataclass_fields__)


def of_variant(variant: Variant) -> dict[str, Any]:
    """The columns of AXES; the fraction as a number."""
    return {**vars(variant), "fraction": float(variant.fraction)}


def of_case(case: Case) -> dict[str, Any]:
    """The columns of AXES and PANEL, the twin's flag, and what the ids of the case's records begin with."""
    return {**of_variant(case.variant), **vars(case.panel), "aa": case.aa, "records": case.key}


def interval_columns(value: str, stem: str, interval: Interval) -> dict[str, float]:
    """The estimate under the name ``value``, its bounds under ``{stem}_ci_low_pct`` and ``{stem}_ci_high_pct``."""
    return {value: interval.mean, f"{stem}_ci_low_pct": interval.low, f"{stem}_ci_high_pct": interval.high}
