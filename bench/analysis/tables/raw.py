"""The tables behind the others: samples of every estimate, slopes, copy bandwidth, executed nodes, failures."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.aa_control import AAControls
from bench.analysis.arms import Arm
from bench.analysis.comparisons import Comparison
from bench.analysis.overheads import Overhead, Ranking, Slope
from bench.analysis.panels import PanelQuality, movements
from bench.analysis.tables import AXES, PANEL, interval_columns, of_case
from bench.analysis.tables.timed import Statics
from bench.spec.cases import BASELINE_VARIANT
from bench.store.records import CheckedRecord, ProcessRecord, Record, StaticRecord, TimedRecord, TrainedRecord
from bench.store.samples import MEASURES, PARTS, TOPS

_OUTCOMES = {"accuracy": PARTS, "detection": MEASURES, "video": TOPS}
_SAMPLE_COLUMNS = ["records", "record", "overhead_pct", "ms", *(f"{one}_pct" for one in (*PARTS, *MEASURES, *TOPS))]
_QUALITY_COLUMNS = [
    *(*PANEL, "control", "control_pct", "control_ci_low_pct", "control_ci_high_pct"),
    *("replicates", "superblocks", "disturbed_pct", "excluded", "waited_seconds", "reasons"),
    *("between_sd_pct", "within_sd_pct", "autocorrelated", "trending", "page_microseconds", "backend", "sensors"),
]


def sample_table(measured: Sequence[Overhead], trained: Sequence[Arm]) -> pd.DataFrame:
    """What every estimate rests on: a row for each process or seed, with the id of the record of its raw samples.

    overhead_pct: a process's robust overhead; ms: of a slot there; the rest: of a seed, in per cent. records: as in the
    other tables; record: the id of a line of ``records.jsonl``.
    """
    rows: list[dict[str, Any]] = []
    for overhead in measured:
        name, seconds = overhead.case.key, overhead.log_seconds.by_unit
        for replicate, value in overhead.pct.by_unit.items():
            ms = 1e3 * math.exp(seconds[replicate]) if replicate in seconds else math.nan
            rows.append({"records": name, "record": f"{name}/r{replicate}", "overhead_pct": value, "ms": ms})
    for arm in trained:
        for seed, samples in arm.seeds.items():
            own = {f"{name}_pct": samples.outcome(name) for name in _OUTCOMES[arm.section]}
            rows.append({"records": arm.records, "record": f"{arm.records}/seed{seed}", **own})
    return pd.DataFrame(rows, columns=_SAMPLE_COLUMNS)


def slope_table(found: Sequence[Slope]) -> pd.DataFrame:
    """One row per mechanism, placement, direction and panel: pp from no channels to all, along a straight line; same:
    shown to cost the same at every fraction."""
    rows = []
    for slope in found:
        estimate = interval_columns("slope_pct", "slope", slope.pp.interval()) | {"mde_pct": slope.pp.mde()}
        rows.append(
            {**vars(slope), **vars(slope.panel), **estimate, "fractions": len(slope.fractions), "same": slope.same}
        )
    columns = ("slope_pct", "slope_ci_low_pct", "slope_ci_high_pct", "mde_pct", "fractions", "same")
    return pd.DataFrame(rows, columns=[*PANEL, "strategy", "placement", "direction", *columns])


def bandwidth_table(records: Sequence[Record]) -> pd.DataFrame:
    """The copy-bandwidth curve of each panel: median and quartiles over superblocks, read + written."""
    rows = []
    for panel, movement in movements(records).items():
        for size in sorted(movement.copies):
            low, middle, high = np.percentile(movement.rates(size), (25, 50, 75)) / 1e9
            rates = {"gb_per_s": middle, "gb_per_s_low": low, "gb_per_s_high": high}
            rows.append({**vars(panel), "mebibytes": size, **rates})
    return pd.DataFrame(rows, columns=[*PANEL, "mebibytes", "gb_per_s", "gb_per_s_low", "gb_per_s_high"])


def graph_table(counted: Statics) -> pd.DataFrame:
    """What each runtime executes for a case: one row per kind of node, the largest extra time first, then the most
    extra nodes.

    profiled_ms: with the runtime's profiler on, once and untimed; NaN where the runtime does not tell. extra: beyond
    the network without a shift; a kind that only the baseline has stands there with zero nodes.
    """
    rows = []
    for case, static in counted.items():
        nodes = static.executed
        base = counted[case.baseline].executed if case.baseline in counted else None
        if nodes is None or base is None or case.variant == BASELINE_VARIANT:
            continue
        for kind in {**nodes, **base}:
            (count, seconds), (before, seconds_before) = (found.get(kind, (0, 0.0)) for found in (nodes, base))
            row = {**of_case(case), "kind": kind, "nodes": count, "extra_nodes": count - before}
            if seconds is not None and seconds_before is not None:
                row |= {"profiled_ms": 1e3 * seconds, "extra_profiled_ms": 1e3 * (seconds - seconds_before)}
            rows.append(row)
    columns = [*PANEL, *AXES, "kind", "nodes", "extra_nodes", "profiled_ms", "extra_profiled_ms"]
    frame = pd.DataFrame(rows, columns=columns).astype({"profiled_ms": float, "extra_profiled_ms": float})
    order = [*PANEL, *AXES, "extra_profiled_ms", "extra_nodes"]
    return frame.sort_values(order, ascending=[True] * (len(order) - 2) + [False, False], kind="stable")


def failure_table(records: Sequence[Record]) -> pd.DataFrame:
    """What failed or was skipped, with its reason. strategy, panel: its label; empty where a record is of none."""
    rows = [
        (record.id.partition("/")[0], record.id, record.status, record.reason or "", *_about(record))
        for record in records
        if record.status != "ok"
    ]
    return pd.DataFrame(rows, columns=["kind", "id", "status", "reason", "strategy", "panel"])


def _about(record: Record) -> tuple[str, str]:
    match record:
        case TimedRecord(case=case) | StaticRecord(case=case):
            return case.variant.strategy, case.panel.label
        case TrainedRecord(trial=trial):
            return trial.variant.strategy, ""
        case CheckedRecord(strategy=strategy):
            return strategy, ""
        case ProcessRecord(panel=panel):
            return "", panel.label


def ranking_table(rankings: Sequence[Ranking]) -> pd.DataFrame:
    """One row per mechanism in each ranking. gap_pct: pp behind the first, with its simultaneous interval."""
    rows = [
        {
            **{**vars(ranking), **vars(ranking.panel), "fraction": float(ranking.fraction)},
            **{"strategy": one.strategy, "overhead_pct": one.overhead.mean, "rank": rank, "mde_pct": one.mde},
            **interval_columns("gap_pct", "gap", one.gap),
        }
        for ranking in rankings
        for rank, one in enumerate(ranking.ranked)
    ]
    columns = ("overhead_pct", "rank", "gap_pct", "gap_ci_low_pct", "gap_ci_high_pct", "mde_pct")
    return pd.DataFrame(rows, columns=[*PANEL, *AXES, *columns])


def quality_table(qualities: Sequence[PanelQuality], controls: AAControls) -> pd.DataFrame:
    """One row per panel; what has several values is text.

    control: the A/A control's outcome; control_pct: the twin's overhead, with its interval.
    """
    rows = [
        {
            **vars(quality),
            **vars(quality.panel),
            "control": controls.of(quality.panel).outcome,
            **interval_columns("control_pct", "control", controls.of(quality.panel).interval),
            "reasons": ", ".join(f"{reason} in {count}" for reason, count in quality.reasons.items()),
            "backend": ", ".join(f"{name} {value}" for name, value in quality.backend.items()),
            "sensors": ", ".join(f"{name} {value:g}" for name, value in quality.sensors.items()),
        }
        for quality in qualities
    ]
    return pd.DataFrame(rows, columns=_QUALITY_COLUMNS)


def comparison_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row per comparison of a control."""
    rows = [
        {
            **vars(one),
            "comparison": f"{one.outcome}: {one.words}",
            **{"measured": one.interval.mean, "ci_low": one.interval.low, "ci_high": one.interval.high},
            "answer": one.answer,
        }
        for one in comparisons
    ]
    columns = ("control", "comparison", "subject", "measured", "ci_low", "ci_high", "unit", "mde", "seeds")
    return pd.DataFrame(rows, columns=[*columns, "reference", "answer"])
