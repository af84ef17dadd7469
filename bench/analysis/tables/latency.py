"""The latency table: one row per case, measured or failed; and the raw differences behind it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.overheads import Overhead, baseline_of, over_pct, own_way_of
from bench.analysis.tables.columns import AXES, MEGA, PANEL
from bench.analysis.tables.movement import Movement, is_off, movements
from bench.analysis.tables.quality import flagged_superblocks, throttled_panels, unsettled
from bench.analysis.tables.samples import records_of_case
from bench.spec.axes import BASELINE
from bench.spec.cases import BASELINE_VARIANT, Case, Panel
from bench.stats import estimators, exclusion
from bench.store.records import TIMED, Record

_FEW_REPLICATES = 5  # with fewer processes the interval is there, but flagged
_DIFFER = 0.1  # points: the last digit that the report prints
_COLUMNS = [
    *AXES,
    *PANEL,
    *("latency_ms", "overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct", "half_width_pct"),
    *("median_overhead_pct", "detectable_pct", "extra_traffic_mb", "predicted_overhead_pct"),
    *("predicted_traffic_pct", "predicted_faults_pct", "extra_faults", "peak_memory_mb", "peak_rss_mb"),
    *("overhead_all_pct", "overhead_all_ci_low_pct", "overhead_all_ci_high_pct", "excluded", "disturbed_pct"),
    *("sm_mhz", "overhead_cycles_pct", "overhead_cycles_ci_low_pct", "overhead_cycles_ci_high_pct"),
    *("over_own_way_pct", "over_own_way_ci_low_pct", "over_own_way_ci_high_pct"),
    *("params", "flops", "replicates", "blocks", "status", "flags", "reason", "aa", "records"),
]
_SUPERBLOCK_COLUMNS = [
    *("label", "strategy", "placement", "fraction", "aa", "replicate", "superblock", "overhead_pct"),
    *("disturbed", "excluded"),
]

Flags = dict[int, list[bool]]


def latency_table(records: Sequence[Record], measured: Sequence[Overhead]) -> pd.DataFrame:
    """One row per case."""
    return pd.DataFrame([row for _, row in case_rows(records, measured, movements(records))], columns=_COLUMNS)


def case_rows(
    records: Sequence[Record], measured: Sequence[Overhead], moves: dict[Panel, Movement]
) -> list[tuple[Case, dict[str, Any]]]:
    """What is known of each case, measured or not. moves: of the panels for which an overhead is to be predicted."""
    by_case, disturbed = {o.case: o for o in measured}, flagged_superblocks(records)
    static = {Case.from_json(r.case): r.samples for r in records if r.kind == "static" and r.status == "ok"}
    loses_layout = {r.case["strategy"] for r in records if r.kind == "conformance" and "memory_format" in r.flags}
    throttled = throttled_panels(records)
    tested = [o.case.panel for o in measured if o.case.aa or o.case.variant != BASELINE_VARIANT]
    rows = []
    for case, record in _ended(records).items():
        own, base = by_case.get(case), by_case.get(baseline_of(case))
        row = _measured(own) | _counted(static.get(case), static.get(baseline_of(case)))
        row |= _over_own_way(own, by_case.get(own_way_of(case)))
        row |= _disturbance(disturbed.get(case.panel, {}))
        if own and base and case in static and baseline_of(case) in static and case.panel in moves:
            row |= _predicted(moves[case.panel], own, base, static)
        flags = [*(["aa"] if case.aa else []), *record.flags, *_flags(row)]
        fallbacks = static.get(case, {}).get("fallbacks", [])
        if fallbacks:
            flags.append("fallback")
        if own and case.panel in throttled:
            flags.append("throttled")
        if own and (case.aa or case.variant != BASELINE_VARIANT):
            flags += unsettled(own, tested.count(case.panel))
        if case.panel.memory_format == "channels_last" and case.variant.strategy in loses_layout:
            flags.append("loses_channels_last")
        shown = {
            "fraction": float(case.variant.fraction),
            "status": record.status,
            "reason": record.reason or "; ".join(fallbacks),
            "records": records_of_case(case),
        }
        rows.append((case, {**case.to_json(), **row, **shown, "flags": ";".join(flags)}))
    return rows


def superblock_table(records: Sequence[Record], measured: Sequence[Overhead]) -> pd.DataFrame:
    """The raw differences, one row per case and superblock."""
    disturbed = flagged_superblocks(records)
    rows = [
        (
            *(o.case.label, o.case.variant.strategy, o.case.variant.placement, float(o.case.variant.fraction)),
            *(o.case.aa, replicate, block, estimators.percent(value)),
            disturbed.get(o.case.panel, {}).get(replicate, {block: False})[block],
            block in o.left_out.get(replicate, ()),
        )
        for o in measured
        if o.case.aa or o.case.variant.strategy != BASELINE
        for replicate, values in o.every.items()
        for block, value in values.items()
    ]
    return pd.DataFrame(rows, columns=_SUPERBLOCK_COLUMNS)


def _ended(records: Sequence[Record]) -> dict[Case, Record]:
    """{case: the record that says how it ended}: the first failure, or any success."""
    ended: dict[Case, Record] = {}
    for record in records:
        if record.kind in (*TIMED, "static"):
            case = Case.from_json(record.case)
            if case not in ended or ended[case].status == "ok":
                ended[case] = record
    return ended


def _measured(overhead: Overhead | None) -> dict[str, Any]:
    if overhead is None:
        return {"replicates": 0, "blocks": 0}
    interval, everything, cycles = overhead.interval(), overhead.interval_of_all(), overhead.interval_in_cycles()
    blocks = overhead.per_superblock.values()
    medians = [float(np.median(values)) for values in blocks]
    return {
        "latency_ms": 1e3 * overhead.seconds,
        "overhead_pct": interval.mean,
        "overhead_ci_low_pct": interval.low,
        "overhead_ci_high_pct": interval.high,
        "half_width_pct": interval.half_width,
        "median_overhead_pct": estimators.percent(float(np.median(medians))),
        "detectable_pct": estimators.smallest_detectable(overhead.per_process_pct),
        "overhead_all_pct": everything.mean,
        "overhead_all_ci_low_pct": everything.low,
        "overhead_all_ci_high_pct": everything.high,
        "excluded": sum(map(len, overhead.left_out.values())),
        "sm_mhz": overhead.mhz,
        "overhead_cycles_pct": cycles.mean,
        "overhead_cycles_ci_low_pct": cycles.low,
        "overhead_cycles_ci_high_pct": cycles.high,
        "replicates": len(blocks),
        "blocks": sum(map(len, blocks)),
    }


def _over_own_way(own: Overhead | None, still: Overhead | None) -> dict[str, Any]:
    """What moving costs where the layer itself is computed in another way; empty for all that leave it alone."""
    if own is None or still is None or own is still or still.case.variant == BASELINE_VARIANT:
        return {}
    interval = estimators.t_interval(over_pct(own, still))
    return {
        "over_own_way_pct": interval.mean,
        "over_own_way_ci_low_pct": interval.low,
        "over_own_way_ci_high_pct": interval.high,
    }


def _counted(static: dict[str, Any] | None, base: dict[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {"extra_traffic_mb": math.nan}
    if static is not None:
        row |= {key: static[key] for key in ("params", "flops")}
        allocated, resident = static.get("peak_allocated_bytes"), static.get("resident_high_water_bytes")
        row["peak_memory_mb"] = (static["peak_live_bytes"] if allocated is None else allocated) / MEGA
        row["peak_rss_mb"] = math.nan if resident is None else resident / MEGA
        if base is not None:
            row["extra_traffic_mb"] = (static["bytes_moved"] - base["bytes_moved"]) / MEGA
    return row


def _predicted(move: Movement, own: Overhead, base: Overhead, static: dict[Case, dict[str, Any]]) -> dict[str, Any]:
    extra = own.faults - base.faults
    traffic = 100 * move.traffic_seconds(static[own.case], static[base.case]) / base.seconds
    faults = 100 * move.fault_seconds(extra) / base.seconds
    return {
        "extra_faults": extra,
        "predicted_traffic_pct": traffic,
        "predicted_faults_pct": faults,
        "predicted_overhead_pct": traffic + faults,
    }


def _disturbance(flags: Flags) -> dict[str, Any]:
    all_flags = [flag for own in flags.values() for flag in own]
    return {"disturbed_pct": 100 * sum(all_flags) / len(all_flags) if all_flags else math.nan}


def _flags(row: dict[str, Any]) -> list[str]:
    found = ["few_replicates"] if 0 < row["replicates"] < _FEW_REPLICATES else []
    if row["replicates"]:
        if row["disturbed_pct"] > 100 * exclusion.EXCLUDED_AT_MOST:
            found.append("disturbed")
        if abs(row["overhead_pct"] - row["overhead_all_pct"]) >= _DIFFER:
            found.append("estimates_differ")
        bounds = row["overhead_ci_low_pct"], row["overhead_ci_high_pct"]
        if is_off(row.get("predicted_overhead_pct", math.nan), *bounds):
            found.append("prediction_off")
    return found
