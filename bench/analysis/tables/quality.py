"""How well a panel was measured: what disturbed it, what was left out, how processes and superblocks scatter."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.overheads import Overhead
from bench.analysis.tables.columns import PANEL
from bench.spec.cases import BASELINE_VARIANT, Panel, panel_from_json
from bench.stats import estimators, exclusion
from bench.stats.estimators import Test
from bench.store.records import Record

SIGNIFICANT = 0.01  # shared by all cases of a panel (Bonferroni): one false alarm in a hundred runs
_COLUMNS = [
    *(*PANEL, "replicates", "superblocks", "disturbed_pct", "excluded", "waited_seconds", "reasons"),
    *("between_sd_pct", "within_sd_pct", "autocorrelation", "trend", "page_microseconds", "backend", "sensors"),
]


def quality_table(records: Sequence[Record], measured: Sequence[Overhead]) -> pd.DataFrame:
    """One row per panel. between_sd_pct, within_sd_pct: deviation of processes and of superblocks, the median case.

    autocorrelation, trend: how many cases were flagged for them.
    """
    closing: dict[Panel, list[Record]] = {}
    for record in records:
        if record.kind == "replicate" and record.status == "ok":
            closing.setdefault(panel_from_json(record.case), []).append(record)
    rows = []
    for panel, replicates in closing.items():
        own = [o for o in measured if o.case.panel == panel and o.case.variant != BASELINE_VARIANT]
        own += [o for o in measured if o.case.panel == panel and o.case.aa]
        rows.append({**asdict(panel), **_disturbed(replicates), **_scatter(own), **_conditions(replicates)})
    return pd.DataFrame(rows, columns=_COLUMNS)


def flagged_superblocks(records: Sequence[Record]) -> dict[Panel, dict[int, list[bool]]]:
    """{panel: {replicate: was each superblock disturbed?}}."""
    found: dict[Panel, dict[int, list[bool]]] = {}
    for record in records:
        if record.kind == "replicate" and record.status == "ok" and record.replicate is not None:
            flags = [bool(reasons) for reasons in _reasons(record)]
            found.setdefault(panel_from_json(record.case), {})[record.replicate] = flags
    return found


def throttled_panels(records: Sequence[Record]) -> set[Panel]:
    """Those in which the GPU's driver slowed it down at some time."""
    return {
        panel_from_json(record.case)
        for record in records
        if record.kind == "replicate" and record.status == "ok"
        if any(reading.get("throttled") for reading in record.samples["disturbance"])
    }


def unsettled(overhead: Overhead, cases: int) -> list[str]:
    """``autocorrelated``, ``trend``: the values are not as independent as the interval takes them to be.

    Tested over the processes in their order, and over the superblocks inside processes. cases: how many share the
    significance.
    """
    blocks = list(overhead.per_superblock.values())
    limit = SIGNIFICANT / max(cases, 1) / 2  # two levels
    across, inside = estimators.lag_one([overhead.per_process]), estimators.lag_one(blocks)
    found = ["autocorrelated"] if _below(limit, across, inside) else []
    rising = estimators.trend(overhead.per_process), estimators.trend_inside(blocks)
    return [*found, "trend"] if _below(limit, *rising) else found


def _below(limit: float, *tests: Test) -> bool:
    return any(test.p < limit for test in tests)  # NaN is not below


def _reasons(record: Record) -> list[tuple[str, ...]]:
    pairs = zip(record.samples["disturbance"], record.samples["wall"], strict=True)
    return [exclusion.reasons(readings, wall) for readings, wall in pairs]


def _disturbed(replicates: Sequence[Record]) -> dict[str, Any]:
    all_reasons = [reasons for record in replicates for reasons in _reasons(record)]
    counts = Counter(reason for reasons in all_reasons for reason in reasons)
    readings = {
        number: list(zip(record.samples["disturbance"], record.samples["wall"], strict=True))
        for number, record in enumerate(replicates)
    }
    return {
        "replicates": len(replicates),
        "superblocks": len(all_reasons),
        "disturbed_pct": 100 * sum(map(bool, all_reasons)) / len(all_reasons) if all_reasons else math.nan,
        "excluded": sum(map(len, exclusion.excluded(readings).values())),
        "waited_seconds": sum(sum(record.samples["waited"]) for record in replicates),
        "reasons": ", ".join(f"{reason} in {count}" for reason, count in counts.most_common()),
    }


def _scatter(own: Sequence[Overhead]) -> dict[str, Any]:
    parts = [part for o in own if (part := estimators.components(list(o.per_superblock.values()))) is not None]
    flags = Counter(flag for o in own for flag in unsettled(o, len(own)))

    def deviation(variances: list[float]) -> float:
        return 100 * math.sqrt(float(np.median(variances))) if variances else math.nan

    return {
        "between_sd_pct": deviation([part.between for part in parts]),
        "within_sd_pct": deviation([part.within for part in parts]),
        "autocorrelation": flags["autocorrelated"],
        "trend": flags["trend"],
    }


def _conditions(replicates: Sequence[Record]) -> dict[str, Any]:
    pages = [value for record in replicates for value in record.samples["page_seconds"]]
    sensors = [reading for record in replicates for reading in record.samples["sensors"]]
    names = list(dict.fromkeys(name for reading in sensors for name in reading))
    medians = {name: float(np.median([s[name] for s in sensors if name in s])) for name in names}
    return {
        "page_microseconds": 1e6 * float(np.median(pages)) if pages else math.nan,
        "backend": ", ".join(f"{name} {value}" for name, value in replicates[0].samples["backend"].items()),
        "sensors": ", ".join(f"{name} {value:g}" for name, value in medians.items()),
    }
