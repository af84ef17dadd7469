"""The tables of timed cases: one row per case, measured or failed, of whole clips and of what runs frame by frame."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis import panels
from bench.analysis.aa_control import aa_controls
from bench.analysis.overheads import Overhead, layer_baseline, over
from bench.analysis.tables import AXES, MEGA, PANEL, interval_columns, of_case
from bench.spec.cases import BASELINE_VARIANT, Case
from bench.stats import estimators, exclusion
from bench.stats.estimators import Interval, Processes
from bench.store.records import CheckedRecord, Record, StaticRecord, TimedRecord
from bench.store.samples import Static

QUANTILES = (*np.linspace(0, 99, 100), 99.5, 99.9, 100)

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class FrameTimes:
    """Seconds of single frames, process by process, in the order in which they ran."""

    per_process: tuple[Seconds, ...]

    @property
    def all(self) -> Seconds:
        """Of all processes."""
        return np.concatenate(self.per_process)

    def percentile(self, percentile: float) -> Interval:
        """In seconds: the trimmed mean over processes of each one's percentile, with its interval."""
        return estimators.trimmed_mean([float(np.percentile(own, percentile)) for own in self.per_process]).interval()

    def missed(self, arrival_fps: float) -> float:
        """The share of frames, 0 to 1, that are not done when the next one arrives at this rate (a queue of one server
        and fixed arrivals; Lindley, 1952)."""
        interval, late = 1 / arrival_fps, []
        for process in self.per_process:
            waits = 0.0
            for own in process:
                late.append(waits + own > interval)
                waits = max(0.0, waits + own - interval)
        return float(np.mean(late))


def frame_times(records: Sequence[Record]) -> dict[Case, FrameTimes]:
    """Of every case that ran frame by frame."""
    found: dict[Case, dict[int, Seconds]] = {}
    for record in records:
        if isinstance(record, TimedRecord) and record.samples.frame_seconds and record.replicate is not None:
            found.setdefault(record.case, {})[record.replicate] = np.concatenate(record.samples.frame_seconds)
    return {case: FrameTimes(tuple(own for _, own in sorted(processes.items()))) for case, processes in found.items()}


LOAD = 0.8
"""Of what the 2-D network can do: the second rate at which frames are taken to arrive, for machines of any speed."""

_FEW_REPLICATES = 5  # with fewer processes the interval is there, but flagged
_DIFFER = 0.1  # pp: the last digit that the report prints
_ISLANDS = {  # executed nodes where int8 is not all bytes; the last kind is named in bench.models.runtimes.openvino
    "nodes convert between bytes and fp32": ("QuantizeLinear", "DequantizeLinear", "FakeQuantize"),
    "convolutions compute in fp32": ("Convolution in fp32",),
}
_ENDING = (
    *("replicates", "blocks", "excluded", "disturbed_pct"),
    *("control", "status", "flags", "reason", "aa", "records"),
)
_LATENCY_COLUMNS = [
    *AXES,
    *PANEL,
    *("latency_ms", "launch_ms", "overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct", "half_width_pct"),
    *("overhead_plain_mean_pct", "median_overhead_pct", "mde_pct", "extra_traffic_mb"),
    *(f"predicted_{part}{end}_pct" for part in ("overhead", "traffic") for end in ("", "_ci_low", "_ci_high")),
    *("predicted_faults_pct", "page_faults", "extra_faults", "peak_memory_mb", "peak_rss_mb"),
    *("overhead_all_pct", "overhead_all_ci_low_pct", "overhead_all_ci_high_pct"),
    *("sm_mhz", "overhead_cycles_pct", "overhead_cycles_ci_low_pct", "overhead_cycles_ci_high_pct"),
    *("over_layer_baseline_pct", "over_layer_baseline_ci_low_pct", "over_layer_baseline_ci_high_pct"),
    *("params", "flops", "extra_params", "extra_flops", *_ENDING),
]
_ONLINE_COLUMNS = [
    *AXES,
    *PANEL,
    *(f"{name}{end}_ms" for name in ("frame", "p95", "p99") for end in ("", "_ci_low", "_ci_high")),
    *("overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct", "half_width_pct", "mde_pct"),
    *("fps", "arrival_fps", "missed_deadline_pct", "load_fps", "missed_at_load_pct"),
    *("cache_mb", "extra_traffic_mb", "page_faults", "peak_memory_mb", "params", "flops", "frames_timed", *_ENDING),
]
_SUPERBLOCK_COLUMNS = [
    *("label", "strategy", "placement", "fraction", "aa", "replicate", "superblock", "overhead_pct"),
    *("disturbed", "excluded"),
]

Statics = dict[Case, Static]


def statics(records: Sequence[Record]) -> Statics:
    """What was counted of each case."""
    return {record.case: record.samples for record in records if isinstance(record, StaticRecord)}


def latency_table(records: Sequence[Record], measured: Sequence[Overhead]) -> pd.DataFrame:
    """One row per case of whole clips. X_pct of an overhead: per cent over the baseline; mde_pct: in pp.

    launch_ms: what one replay of a captured graph by itself takes longer than one among several.
    control: the outcome of the panel's A/A control. overhead_plain_mean_pct: the mean over processes, nothing trimmed.
    predicted_traffic_pct: from bytes alone; predicted_overhead_pct: from bytes and page faults.
    """
    rows = [row for case, row in _case_rows(records, measured) if not case.panel.streams]
    return pd.DataFrame(rows, columns=_LATENCY_COLUMNS)


def online_table(records: Sequence[Record], measured: Sequence[Overhead], arrival_fps: float) -> pd.DataFrame:
    """One row per case that ran frame by frame.

    frame_ms: the median frame; cache_mb: what one stream remembers; page_faults: of a slot, which is several frames;
    fps: frames of all streams in one second; missed_at_load_pct: where frames arrive at ``LOAD`` of the 2-D network's
    own rate.
    """
    times, static = frame_times(records), statics(records)
    rows = []
    for case, row in _case_rows(records, measured):
        if not case.panel.streams:
            continue
        remembered = static[case].state_bytes if case in static else None
        row["cache_mb"] = math.nan if remembered is None else remembered / MEGA
        if case in times:
            row |= _in_time(times[case], times[case.baseline], case.panel.streams, arrival_fps)
        rows.append(row)
    return pd.DataFrame(rows, columns=_ONLINE_COLUMNS)


def quantile_table(records: Sequence[Record]) -> pd.DataFrame:
    """The distribution of each case's frame times, over all processes: one row per quantile, in milliseconds."""
    rows = [
        {**of_case(case), "quantile_pct": quantile, "frame_ms": 1e3 * value}
        for case, times in frame_times(records).items()
        for quantile, value in zip(QUANTILES, np.percentile(times.all, QUANTILES), strict=True)
    ]
    return pd.DataFrame(rows, columns=[*AXES, *PANEL, "aa", "quantile_pct", "frame_ms"])


def superblock_table(records: Sequence[Record], measured: Sequence[Overhead]) -> pd.DataFrame:
    """The raw differences, one row per case and superblock."""
    disturbed = panels.disturbed_superblocks(panels.processes(records))
    rows = [
        (
            *(o.case.label, o.case.variant.strategy, o.case.variant.placement, float(o.case.variant.fraction)),
            *(o.case.aa, replicate, block, estimators.percent(value)),
            disturbed.get(o.case.panel, {}).get(replicate, {block: False})[block],
            block in o.left_out.get(replicate, ()),
        )
        for o in measured
        if o.case != o.case.baseline
        for replicate, values in o.every.items()
        for block, value in values.items()
    ]
    return pd.DataFrame(rows, columns=_SUPERBLOCK_COLUMNS)


def _case_rows(records: Sequence[Record], measured: Sequence[Overhead]) -> list[tuple[Case, dict[str, Any]]]:
    """What is known of each case, measured or not."""
    by_case, static, moves = {o.case: o for o in measured}, statics(records), panels.process_movements(records)
    processes, controls = panels.processes(records), aa_controls(measured)
    disturbed, throttled = panels.disturbed_superblocks(processes), panels.throttled_panels(processes)
    loses_layout = {r.strategy for r in records if isinstance(r, CheckedRecord) and "memory_format" in r.flags}
    tested = [o.case.panel for o in measured if o.case.aa or o.case.variant != BASELINE_VARIANT]
    rows = []
    for case, record in _ended(records).items():
        own, base, still = (by_case.get(one) for one in (case, case.baseline, layer_baseline(case)))
        row = _measured(own) | _counted(static.get(case), static.get(case.baseline))
        if own and still and own is not still and still.case.variant != BASELINE_VARIANT:
            row |= interval_columns("over_layer_baseline_pct", "over_layer_baseline", over(own, still).interval())
        blocks = [block for process in disturbed.get(case.panel, {}).values() for block in process]
        row["control"] = controls.of(case.panel).outcome
        row["disturbed_pct"] = 100 * sum(blocks) / len(blocks) if blocks else math.nan
        predictable = not case.panel.streams and case.panel in moves
        if own and base and predictable and case in static and case.baseline in static:
            row |= _predicted(moves[case.panel], own, base, static)
        flags = [*(["aa"] if case.aa else []), *record.flags, *_flags(row)]
        fallbacks = static[case].fallbacks if case in static else []
        if fallbacks:
            flags.append("fallback")
        notes = [*fallbacks, *_islands(static.get(case), static.get(case.baseline))]
        if len(notes) > len(fallbacks):
            flags.append("islands")
        if own and own.too_few:
            flags.append("too_few_processes")
        if own and case.panel in throttled:
            flags.append("throttled")
        if own and case != case.baseline:
            flags += panels.dependence_flags(own, tested.count(case.panel))
        if case.panel.memory_format == "channels_last" and case.variant.strategy in loses_layout:
            flags.append("loses_channels_last")
        ending = {"status": record.status, "reason": record.reason or "; ".join(notes), "flags": ";".join(flags)}
        rows.append((case, {**of_case(case), **row, **ending}))
    return rows


def _ended(records: Sequence[Record]) -> dict[Case, TimedRecord | StaticRecord]:
    """{case: the record that says how it ended}: the first failure, or any success."""
    ended: dict[Case, TimedRecord | StaticRecord] = {}
    for record in records:
        if not isinstance(record, TimedRecord | StaticRecord):
            continue
        if record.case not in ended or ended[record.case].status == "ok":
            ended[record.case] = record
    return ended


def _measured(overhead: Overhead | None) -> dict[str, Any]:
    if overhead is None:
        return {"replicates": 0, "blocks": 0}
    interval, blocks = overhead.interval(), overhead.per_superblock.values()
    return {
        "latency_ms": 1e3 * overhead.seconds,
        "launch_ms": 1e3 * (overhead.alone - overhead.seconds),
        **interval_columns("overhead_pct", "overhead", interval),
        "half_width_pct": interval.half_width,
        "overhead_plain_mean_pct": float(np.mean(overhead.pct.values)),
        "median_overhead_pct": estimators.percent(float(np.median([float(np.median(values)) for values in blocks]))),
        "mde_pct": overhead.pct.mde(),
        **interval_columns("overhead_all_pct", "overhead_all", overhead.interval_of_all()),
        "excluded": sum(map(len, overhead.left_out.values())),
        "page_faults": overhead.faults,
        "sm_mhz": overhead.mhz,
        **interval_columns("overhead_cycles_pct", "overhead_cycles", overhead.interval_in_cycles()),
        "replicates": len(blocks),
        "blocks": sum(map(len, blocks)),
    }


def _counted(static: Static | None, base: Static | None) -> dict[str, Any]:
    if static is None:
        return {"extra_traffic_mb": math.nan}
    resident = static.resident_high_water_bytes
    more = ("params", "flops")  # than the baseline has
    extra = {f"extra_{n}": math.nan if base is None else getattr(static, n) - getattr(base, n) for n in more}
    return {
        **extra,
        "params": static.params,
        "flops": static.flops,
        "peak_memory_mb": static.peak_bytes / MEGA,
        "peak_rss_mb": math.nan if resident is None else resident / MEGA,
        "extra_traffic_mb": math.nan if base is None else (static.bytes_moved - base.bytes_moved) / MEGA,
    }


def _islands(static: Static | None, base: Static | None) -> list[str]:
    """Sentences where the runtime leaves bytes for fp32 at more places than without a shift, which is then not
    quantised through."""
    if not static or not base:
        return []
    found = []
    for what, kinds in _ISLANDS.items():
        own, plain = (
            sum(count for kind, (count, _) in (one.executed or {}).items() if kind in kinds) for one in (static, base)
        )
        if own > plain:
            found.append(f"{own} {what}, without a shift {plain}")
    return found


def _predicted(
    moves: Mapping[int, panels.Movement], own: Overhead, base: Overhead, static: Statics
) -> dict[str, float]:
    """Each process predicts at the prices that it found."""
    extra, counted, share = own.faults - base.faults, (static[own.case], static[base.case]), 100 / base.seconds
    priced = {number: move for number, move in moves.items() if move.copies}
    traffic = {number: share * move.traffic_seconds(*counted) for number, move in priced.items()}
    faults = {number: share * move.fault_seconds(extra) for number, move in priced.items()}
    both = Processes({number: value + faults[number] for number, value in traffic.items()})
    return {
        "extra_faults": extra,
        "predicted_faults_pct": Processes(faults).interval().mean,
        **interval_columns("predicted_traffic_pct", "predicted_traffic", Processes(traffic).interval()),
        **interval_columns("predicted_overhead_pct", "predicted_overhead", both.interval()),
    }


def _flags(row: dict[str, Any]) -> list[str]:
    if not row["replicates"]:
        return []
    bounds = row["overhead_ci_low_pct"], row["overhead_ci_high_pct"]
    raised = {
        "few_replicates": row["replicates"] < _FEW_REPLICATES,
        "disturbed": row["disturbed_pct"] > 100 * exclusion.EXCLUDED_AT_MOST,
        "estimates_differ": abs(row["overhead_pct"] - row["overhead_all_pct"]) >= _DIFFER,
        "prediction_off": panels.prediction_off(row.get("predicted_overhead_pct", math.nan), *bounds),
    }
    return [flag for flag, is_raised in raised.items() if is_raised]


def _in_time(own: FrameTimes, base: FrameTimes, streams: int, arrival_fps: float) -> dict[str, float]:
    load_fps = LOAD / base.percentile(50).mean
    row = {
        "fps": streams / float(own.all.mean()),
        "arrival_fps": arrival_fps,
        "missed_deadline_pct": 100 * own.missed(arrival_fps),
        "load_fps": load_fps,
        "missed_at_load_pct": 100 * own.missed(load_fps),
        "frames_timed": len(own.all),
    }
    for name, percentile in (("frame", 50), ("p95", 95), ("p99", 99)):
        at = own.percentile(percentile).scaled(1e3)
        row |= {f"{name}_ms": at.mean, f"{name}_ci_low_ms": at.low, f"{name}_ci_high_ms": at.high}
    return row
