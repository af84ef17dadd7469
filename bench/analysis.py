"""A run's folder -> tables. Everything here is derived from raw samples and can be derived again anywhere."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import claims, statistics
from bench.axes import BASELINE, parse_fraction
from bench.estimates import (
    PARTS,
    Arm,
    Overhead,
    Slope,
    arms,
    baseline_arm,
    baseline_of,
    overheads,
    slopes,
    suspicion,
)
from bench.evidence import PUBLISHED, Evidence
from bench.records import Record, read_header, read_records, write_atomically
from bench.sweep import Case, Panel, Variant

_FEW_REPLICATES = 5  # with fewer processes the interval is there, but flagged
_MEGA = 1e6  # megabytes in tables are decimal, as in the paper

_AXES = ("strategy", "placement", "fraction", "direction")
_PANEL = ("backbone", "device", "runtime", "dtype", "memory_format", "threads", "frames", "size", "batch")
_LATENCY_COLUMNS = [
    *_AXES,
    *_PANEL,
    *("latency_ms", "overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct", "half_width_pct"),
    *("median_overhead_pct", "detectable_pct", "extra_traffic_mb", "predicted_overhead_pct", "peak_memory_mb"),
    *("params", "flops", "replicates", "blocks", "status", "flags", "reason", "aa"),
]
_PART_COLUMNS = [
    f"{part}_{what}_pct"
    for part in PARTS
    for what in ("mean", "ci_low", "ci_high", "delta", "delta_ci_low", "delta_ci_high")
]
_ACCURACY_COLUMNS = [
    *(*_AXES, "dataset", "backbone", "seeds"),
    *_PART_COLUMNS,
    *("params", "flops", "train_seconds", "clips_per_second", "status", "reason", "also_holds_for"),
]
_SLOPE_COLUMNS = [
    *(*_PANEL, "strategy", "placement", "direction"),
    *("slope_pct", "slope_ci_low_pct", "slope_ci_high_pct", "fractions"),
]
_SUPERBLOCK_COLUMNS = ["label", "strategy", "placement", "fraction", "aa", "replicate", "superblock", "overhead_pct"]
_FAILURE_COLUMNS = ["kind", "id", "status", "reason"]


@dataclass(frozen=True)
class Tables:
    """All that is known of a run, ready to be shown. The frames' columns are those of ``tables/*.csv``."""

    folder: Path
    header: dict[str, Any]
    latency: pd.DataFrame
    accuracy: pd.DataFrame
    slopes: pd.DataFrame
    superblocks: pd.DataFrame
    failures: pd.DataFrame
    claims: list[dict[str, Any]]
    suspect: str | None


def load(folder: Path) -> Tables:
    """Read a run and derive everything. Raises FolderError where the folder cannot be read."""
    header = read_header(folder)
    records = list(read_records(folder))
    measured, trained = overheads(records), arms(records)
    suspect = suspicion(measured)
    heirs = _same_functions(header, records)
    evidence = Evidence(
        overheads=measured,
        slopes=slopes(measured),
        arms=trained,
        statics=_statics(records),
        failed_cases=_failed_cases(records),
        failed_arms={Variant.from_json(r.case): r.reason or "" for r in records if _is_failed_arm(r)},
        exact=frozenset({PUBLISHED, *heirs.get(PUBLISHED, [])}),
        suspect=suspect,
    )
    return Tables(
        folder=folder,
        header=header,
        latency=_latency_table(records, measured),
        accuracy=_accuracy_table(records, trained, heirs),
        slopes=_slope_table(slopes(measured)),
        superblocks=_superblock_table(measured),
        failures=_failure_table(records),
        claims=[asdict(verdict) for verdict in claims.judge(claims.load_claims(), evidence)],
        suspect=suspect,
    )


def write(tables: Tables) -> None:
    """``tables/*.csv``, ``tables/*.md`` and ``claims.json`` in the run's folder."""
    folder = tables.folder / "tables"
    folder.mkdir(exist_ok=True)
    frames = {"latency": tables.latency, "accuracy": tables.accuracy, "claims": pd.DataFrame(tables.claims)}
    for name, frame in frames.items():
        write_atomically(folder / f"{name}.csv", frame.to_csv(index=False))
        write_atomically(folder / f"{name}.md", _markdown(frame))
    text = json.dumps(tables.claims, indent=2, ensure_ascii=False)
    write_atomically(tables.folder / "claims.json", text + "\n")


def _markdown(frame: pd.DataFrame) -> str:
    """A table for people: two decimals; bars in cells escaped."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{value:.2f}" if value % 1 else f"{value:.0f}"
        return "" if value is None else " ".join(str(value).replace("|", "\\|").split())

    lines = ["| " + " | ".join(frame.columns) + " |", "|" + " --- |" * len(frame.columns)]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def _statics(records: Sequence[Record]) -> dict[Case, dict[str, Any]]:
    return {Case.from_json(r.case): r.samples for r in records if r.kind == "static" and r.status == "ok"}


def _failed_cases(records: Sequence[Record]) -> dict[Case, str]:
    failed = [r for r in records if r.kind in ("latency", "static") and r.status == "failed"]
    return {Case.from_json(r.case): r.reason or "" for r in failed}


def _is_failed_arm(record: Record) -> bool:
    return record.kind == "accuracy" and record.status == "failed"


def _latency_table(records: Sequence[Record], measured: Sequence[Overhead]) -> pd.DataFrame:
    """One row per case, measured or failed."""
    static, bandwidth = _statics(records), _bandwidths(records)
    by_case = {overhead.case: overhead for overhead in measured}
    loses_layout = {r.case["strategy"] for r in records if r.kind == "conformance" and "memory_format" in r.flags}
    ended: dict[Case, Record] = {}
    for record in records:
        if record.kind in ("latency", "static"):
            case = Case.from_json(record.case)
            if case not in ended or ended[case].status == "ok":  # the first failure is what ended it
                ended[case] = record
    rows = []
    for case, record in ended.items():
        row = _measured_part(by_case.get(case)) | _counted_part(static.get(case), static.get(baseline_of(case)))
        base = by_case.get(baseline_of(case))
        if base is not None and case.panel in bandwidth:
            seconds = row["extra_traffic_mb"] * _MEGA / bandwidth[case.panel]
            row["predicted_overhead_pct"] = 100 * seconds / base.seconds
        flags = [*(["aa"] if case.aa else []), *record.flags]
        if case.panel.memory_format == "channels_last" and case.variant.strategy in loses_layout:
            flags.append("loses_channels_last")
        if 0 < row["replicates"] < _FEW_REPLICATES:
            flags.append("few_replicates")
        shown = {"fraction": float(case.variant.fraction), "status": record.status, "reason": record.reason or ""}
        rows.append({**case.to_json(), **row, **shown, "flags": ";".join(flags)})
    return pd.DataFrame(rows, columns=_LATENCY_COLUMNS)


def _measured_part(overhead: Overhead | None) -> dict[str, Any]:
    if overhead is None:
        return {"replicates": 0, "blocks": 0}
    interval = overhead.interval()
    blocks = overhead.per_superblock.values()
    medians = [float(np.median(values)) for values in blocks]
    return {
        "latency_ms": 1e3 * overhead.seconds,
        "overhead_pct": interval.mean,
        "overhead_ci_low_pct": interval.low,
        "overhead_ci_high_pct": interval.high,
        "half_width_pct": interval.half_width,
        "median_overhead_pct": statistics.percent(float(np.median(medians))),
        "detectable_pct": statistics.smallest_detectable(overhead.per_process_pct),
        "replicates": len(blocks),
        "blocks": sum(map(len, blocks)),
    }


def _counted_part(static: dict[str, Any] | None, base: dict[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {"extra_traffic_mb": math.nan}
    if static is not None:
        row |= {key: static[key] for key in ("params", "flops")}
        row["peak_memory_mb"] = static["peak_live_bytes"] / _MEGA
        if base is not None:
            row["extra_traffic_mb"] = (static["bytes_moved"] - base["bytes_moved"]) / _MEGA
    return row


def _bandwidths(records: Sequence[Record]) -> dict[Panel, float]:
    """Bytes per second of a large copy, read + written: the median over all superblocks of a panel."""
    rates: dict[Panel, list[float]] = {}
    for record in records:
        if record.kind == "replicate" and record.status == "ok":
            seconds = np.concatenate([np.asarray(pair) for pair in record.samples["copy_seconds"]])
            rates.setdefault(Panel(**record.case), []).extend(record.samples["copy_bytes"] / seconds)
    return {panel: float(np.median(values)) for panel, values in rates.items()}


def _same_functions(header: dict[str, Any], records: Sequence[Record]) -> dict[str, list[str]]:
    """{strategy: those that are proven to compute the same function, and inherit its accuracy}."""
    proven = {r.case["strategy"] for r in records if r.kind == "conformance" and r.status == "ok"}
    heirs: dict[str, list[str]] = {}
    for info in header.get("strategies", []):
        if info.get("same_function_as") and info["name"] in proven:
            heirs.setdefault(info["same_function_as"], []).append(info["name"])
    return heirs


def _accuracy_table(records: Sequence[Record], trained: Sequence[Arm], heirs: dict[str, list[str]]) -> pd.DataFrame:
    """One row per arm, trained or failed."""
    rows = [_arm_row(arm, baseline_arm(arm, trained)) for arm in trained]
    for row in rows:
        row["also_holds_for"] = ",".join(heirs.get(row["strategy"], []))
    for record in records:
        if record.kind == "accuracy" and record.status != "ok":
            fraction = float(parse_fraction(record.case["fraction"]))
            rows.append(
                {**record.case, "fraction": fraction, "seeds": 0, "status": record.status, "reason": record.reason}
            )
    frame = pd.DataFrame(rows, columns=_ACCURACY_COLUMNS)
    return frame.drop_duplicates(subset=[*_AXES, "dataset", "backbone", "status"], ignore_index=True)


def _arm_row(arm: Arm, base: Arm | None) -> dict[str, Any]:
    samples = list(arm.seeds.values())
    row: dict[str, Any] = {
        **arm.variant.to_json(),
        "fraction": float(arm.variant.fraction),
        "dataset": arm.dataset,
        "backbone": arm.backbone,
        "seeds": len(arm.seeds),
        "params": samples[0]["params"],
        "flops": samples[0]["flops"],
        "train_seconds": float(np.mean([s["train_seconds"] for s in samples])),
        "clips_per_second": float(np.mean([s["clips_per_second"] for s in samples])),
        "status": "ok",
        "reason": "",
    }
    for part in PARTS:
        mean = statistics.t_interval(arm.values(part))
        row |= {f"{part}_mean_pct": mean.mean, f"{part}_ci_low_pct": mean.low, f"{part}_ci_high_pct": mean.high}
        if base is not None:
            delta = statistics.t_interval(arm.deltas(base, part))
            bounds = {f"{part}_delta_ci_low_pct": delta.low, f"{part}_delta_ci_high_pct": delta.high}
            row |= {f"{part}_delta_pct": delta.mean, **bounds}
    return row


def _slope_table(found: Sequence[Slope]) -> pd.DataFrame:
    rows = []
    for slope in found:
        interval = statistics.t_interval(slope.per_process)
        rows.append(
            {
                **asdict(slope.panel),
                "strategy": slope.strategy,
                "placement": slope.placement,
                "direction": slope.direction,
                "slope_pct": interval.mean,
                "slope_ci_low_pct": interval.low,
                "slope_ci_high_pct": interval.high,
                "fractions": len(slope.fractions),
            }
        )
    return pd.DataFrame(rows, columns=_SLOPE_COLUMNS)


def _superblock_table(measured: Sequence[Overhead]) -> pd.DataFrame:
    """The raw differences, one row per case and superblock."""
    rows = [
        (
            *(o.case.label, o.case.variant.strategy, o.case.variant.placement, float(o.case.variant.fraction)),
            *(o.case.aa, replicate, block, statistics.percent(value)),
        )
        for o in measured
        if o.case.aa or o.case.variant.strategy != BASELINE
        for replicate, values in o.per_superblock.items()
        for block, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=_SUPERBLOCK_COLUMNS)


def _failure_table(records: Sequence[Record]) -> pd.DataFrame:
    rows = [(r.kind, r.id, r.status, r.reason or "") for r in records if r.status != "ok"]
    return pd.DataFrame(rows, columns=_FAILURE_COLUMNS)
