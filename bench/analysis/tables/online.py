"""The online table: what a frame takes in a network that runs frame by frame, and what it misses in real time.

The overhead is that of the latency table: slots in superblocks, against the 2-D network frame by frame. Percentiles are
of single frames, none left out: tails are what they are for. Missed deadlines replay arrivals at a fixed rate against
the frames of a process in the order in which they ran: a frame starts when it has arrived and the one before it is
done, and misses its deadline where it is not done when the next one arrives. Frames ran without pauses, so what a
processor loses when it idles between frames is not in it; the command ``stream`` waits for arrivals. The first frame of
a slot follows another network, whose data the caches hold: the tails of a network that runs alone may be shorter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.overheads import Overhead, baseline_of
from bench.analysis.tables.columns import AXES, MEGA
from bench.analysis.tables.latency import case_rows
from bench.spec.cases import Case, StreamPanel
from bench.stats import estimators
from bench.store.records import Record

LOAD = 0.8
"""Of what the 2-D network can do: the second rate at which frames are taken to arrive, for machines of any speed."""

PERCENTILES = (50, 95, 99)
_QUANTILES = (*np.linspace(0, 99, 100), 99.5, 99.9, 100)
_TIMES = [f"{name}{end}_ms" for name in ("frame", "p95", "p99") for end in ("", "_ci_low", "_ci_high")]
_COLUMNS = [
    *(*AXES, "backbone", "device", "runtime", "dtype", "memory_format", "threads", "size", "streams"),
    *(*_TIMES, "overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct", "half_width_pct", "detectable_pct"),
    *("fps", "arrival_fps", "missed_deadline_pct", "load_fps", "missed_at_load_pct"),
    *("cache_mb", "extra_traffic_mb", "peak_memory_mb", "params", "flops"),
    *(
        "replicates",
        "blocks",
        "excluded",
        "disturbed_pct",
        "frames_timed",
        "status",
        "flags",
        "reason",
        "aa",
        "records",
    ),
]
_FRAME_COLUMNS = [*AXES, "backbone", "device", "runtime", "dtype", "memory_format", "threads", "size", "streams", "aa"]

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class FrameTimes:
    """Seconds of single frames, process by process, in the order in which they ran."""

    per_process: tuple[Seconds, ...]

    @property
    def all(self) -> Seconds:
        """Of all processes."""
        return np.concatenate(self.per_process)

    def percentile(self, of_hundred: float) -> estimators.Interval:
        """In seconds: the mean over processes of each one's percentile, with its t interval."""
        return estimators.t_interval([float(np.percentile(own, of_hundred)) for own in self.per_process])

    def missed(self, arrival_fps: float) -> float:
        """The share of frames that miss their deadline where frames arrive at this rate, 0 to 1."""
        return float(np.concatenate([_late(own, 1 / arrival_fps) for own in self.per_process]).mean())


def _late(seconds: Seconds, interval: float) -> NDArray[np.bool_]:
    """Which frames are not done when the next one arrives (a queue of one server and fixed arrivals; Lindley, 1952)."""
    waits, late = 0.0, []
    for own in seconds:
        late.append(waits + own > interval)
        waits = max(0.0, waits + own - interval)
    return np.array(late)


def frame_times(records: Sequence[Record]) -> dict[Case, FrameTimes]:
    """Of every case that was measured."""
    found: dict[Case, dict[int, Seconds]] = {}
    for record in records:
        if record.kind == "online" and record.status == "ok" and record.replicate is not None:
            seconds = np.array([value for slot in record.samples["frame_seconds"] for value in slot])
            found.setdefault(Case.from_json(record.case), {})[record.replicate] = seconds
    return {case: FrameTimes(tuple(own for _, own in sorted(processes.items()))) for case, processes in found.items()}


def online_table(records: Sequence[Record], measured: Sequence[Overhead], arrival_fps: float) -> pd.DataFrame:
    """One row per case.

    frame_ms: the median frame; cache_mb: what one stream remembers; fps: frames of all streams in one second;
    missed_at_load_pct: where frames arrive at ``LOAD`` of the 2-D network's own rate.
    """
    times = frame_times(records)
    static = {Case.from_json(r.case): r.samples for r in records if r.kind == "static" and r.status == "ok"}
    rows = []
    for case, row in case_rows(records, measured, {}):
        if case in static:
            row["cache_mb"] = static[case]["state_bytes"] / MEGA
        if case in times:
            row |= _in_time(times[case], times[baseline_of(case)], case, arrival_fps)
        rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS)


def _in_time(own: FrameTimes, base: FrameTimes, case: Case, arrival_fps: float) -> dict[str, Any]:
    assert isinstance(case.panel, StreamPanel)
    row: dict[str, Any] = {}
    for name, of_hundred in zip(("frame", "p95", "p99"), PERCENTILES, strict=True):
        at = own.percentile(of_hundred).scaled(1e3)
        row |= {f"{name}_ms": at.mean, f"{name}_ci_low_ms": at.low, f"{name}_ci_high_ms": at.high}
    load_fps = LOAD / base.percentile(50).mean
    return row | {
        "fps": case.panel.streams / float(own.all.mean()),
        "arrival_fps": arrival_fps,
        "missed_deadline_pct": 100 * own.missed(arrival_fps),
        "load_fps": load_fps,
        "missed_at_load_pct": 100 * own.missed(load_fps),
        "frames_timed": len(own.all),
    }


def quantile_table(records: Sequence[Record]) -> pd.DataFrame:
    """The distribution of each case's frame times, over all processes: one row per quantile, in milliseconds."""
    rows = [
        {
            **case.to_json(),
            "fraction": float(case.variant.fraction),
            "quantile_pct": of_hundred,
            "frame_ms": 1e3 * value,
        }
        for case, times in frame_times(records).items()
        for of_hundred, value in zip(_QUANTILES, np.percentile(times.all, _QUANTILES), strict=True)
    ]
    return pd.DataFrame(rows, columns=[*_FRAME_COLUMNS, "quantile_pct", "frame_ms"])
