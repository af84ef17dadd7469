"""Frames -> tables to read: chosen columns, rounded text, a key to sort by; what all rows share is said once."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from bench.arms import PARTS
from bench.detections import MEASURES
from bench.report.control_words import IN_WORDS
from bench.report.controls import NULL, comparisons, reference_text
from bench.report.numbers import Estimate, fixed, fraction_text, number, p_text
from bench.report.selection import CONDITION_COLUMNS, PANEL_COLUMNS, TWIN_FLAG, Row, finished, flags_of, rows
from bench.sweep import Condition

_THOUSAND = 1e3
_MILLION = 1e6
_BILLION = 1e9


@dataclass(frozen=True)
class Cell:
    """Text to read; ``key`` sorts numbers as numbers and intervals by their estimate."""

    text: str
    key: str


@dataclass(frozen=True)
class Column:
    """A heading and how a row's cell is made."""

    title: str
    cell: Callable[[Row], Cell]
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """One row of a sheet. status: ``ok``, ``failed`` or ``skipped``; records: how the ids of its records begin."""

    cells: tuple[Cell, ...]
    status: str
    records: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table to print. same: what holds for every row."""

    titles: tuple[tuple[str, bool], ...]
    lines: tuple[Line, ...]
    same: str


def latency_sheet(latency: pd.DataFrame) -> Sheet | None:
    """Every case, the failed ones too."""
    columns = [
        _estimate("overhead", "overhead", "overhead_pct"),
        _estimate("over its own way", "over_own_way", "over_own_way_pct"),
        _estimate("nothing left out", "overhead_all", "overhead_all_pct", only="estimates_differ"),
        _estimate("overhead in cycles", "overhead_cycles", "overhead_cycles_pct"),
        _figure("latency [ms]", "latency_ms", 1),
        Column("latency [million cycles]", _cycles),
        _figure("SM clock [MHz]", "sm_mhz", 0),
        _figure("predicted [%]", "predicted_overhead_pct", 1, signed=True),
        _figure("of it bytes [%]", "predicted_traffic_pct", 1, signed=True),
        _figure("of it page faults [%]", "predicted_faults_pct", 1, signed=True),
        _figure("extra traffic [MB]", "extra_traffic_mb", 1),
        _figure("extra page faults", "extra_faults", 0),
        _figure("peak memory [MB]", "peak_memory_mb", 0),
        _figure("peak resident [MB]", "peak_rss_mb", 0),
        _figure("would find [points]", "detectable_pct", 1),
        _figure("processes", "replicates", 0),
        _figure("superblocks", "blocks", 0),
        _figure("left out", "excluded", 0),
        _figure("disturbed [%]", "disturbed_pct", 0),
        _figure("parameters [M]", "params", 2, scale=_MILLION),
        _figure("FLOPs [G]", "flops", 2, scale=_BILLION),
    ]
    return _sheet(latency, ("direction", *PANEL_COLUMNS), columns, _CASE)


def online_sheet(online: pd.DataFrame) -> Sheet | None:
    """Every case that ran frame by frame."""
    columns = [
        _estimate("overhead", "overhead", "overhead_pct"),
        *(_milliseconds(title, stem) for title, stem in (("frame", "frame"), ("p95", "p95"), ("p99", "p99"))),
        _figure("frames a second", "fps", 1),
        _figure("frames arriving a second", "arrival_fps", 0),
        _figure("deadlines missed [%]", "missed_deadline_pct", 1),
        _figure("arriving at four fifths of the 2-D network's rate", "load_fps", 1),
        _figure("then missed [%]", "missed_at_load_pct", 1),
        _figure("remembered a stream [MB]", "cache_mb", 2),
        _figure("extra traffic [MB]", "extra_traffic_mb", 2),
        _figure("would find [points]", "detectable_pct", 1),
        _figure("processes", "replicates", 0),
        _figure("superblocks", "blocks", 0),
        _figure("left out", "excluded", 0),
        _figure("disturbed [%]", "disturbed_pct", 0),
    ]
    often_same = ("backbone", "device", "runtime", "dtype", "memory_format", "threads", "size", "streams")
    return _sheet(online, often_same, columns, _CASE)


def detection_sheet(detection: pd.DataFrame) -> Sheet | None:
    """Every form of the detector: what it finds, its difference to frame by frame, paired by seed, what it costs."""
    columns = [
        column
        for measure in MEASURES
        for column in (
            _estimate(_MEASURED[measure], measure, f"{measure}_pct", signed=False),
            _estimate(
                f"{_MEASURED[measure]} against frame by frame",
                f"{measure}_delta",
                f"{measure}_delta_pct",
                unit="points",
            ),
            _figure(f"would find in {_MEASURED[measure]} [points]", f"{measure}_delta_detectable_pct", 1),
        )
    ]
    columns += [
        _estimate("overhead of a frame", "overhead", "overhead_pct"),
        _figure("frame [ms]", "frame_ms", 2),
        _figure("processes", "replicates", 0),
        _figure("seeds", "seeds", 0),
        _figure("parameters [M]", "params", 2, scale=_MILLION),
        _figure("training [s]", "train_seconds", 0),
        Column("also holds for", lambda row: _text(row.get("also_holds_for")), numeric=False),
    ]
    return _sheet(detection, ("detector", "form", "direction"), columns, _CASE)


_MEASURED = {"map": "mAP", "map_slow": "mAP slow", "map_medium": "mAP medium", "map_fast": "mAP fast"}


def _milliseconds(title: str, stem: str) -> Column:
    def cell(row: Row) -> Cell:
        estimate = Estimate(*(number(row.get(f"{stem}{end}_ms")) for end in ("", "_ci_low", "_ci_high")))
        text = "" if math.isnan(estimate.value) else estimate.text("", signed=False, missing="").replace(" ()", "")
        return Cell(text, _key(estimate.value))

    return Column(f"{title} [ms]", cell)


def accuracy_sheet(accuracy: pd.DataFrame) -> Sheet | None:
    """Every arm: what it gets right, its difference to no shift, paired by seed, and what it took."""
    columns = [Column("trained otherwise", _otherwise, numeric=False)]
    columns += [
        column
        for part in ("joint", "spatial", "temporal", "mixture")
        for column in (
            _estimate(part, part, f"{part}_mean_pct", signed=False),
            _estimate(
                f"{part} against no shift", f"{part}_delta", f"{part}_delta_pct", unit="points", also=_p_of(part)
            ),
            _figure(f"would find in {part} [points]", f"{part}_delta_detectable_pct", 1),
        )
    ]
    columns += [
        Column("bootstrap of joint [points]", _resampled),
        _figure("seeds", "seeds", 0),
        _figure("clip share [%]", "clip_share_pct", 0),
        _figure("spatial, shuffled [%]", "shuffled_spatial_mean_pct", 1),
        _figure("temporal, shuffled [%]", "shuffled_temporal_mean_pct", 1),
        _figure("parameters [M]", "params", 3, scale=_MILLION),
        _figure("FLOPs [G]", "flops", 3, scale=_BILLION),
        _figure("training [s]", "train_seconds", 0),
        _figure("clips/s", "clips_per_second", 0),
        _figure("making clips [%]", "data_share_pct", 1),
        Column("also holds for", lambda row: _text(row.get("also_holds_for")), numeric=False),
    ]
    return _sheet(accuracy, ("direction", "dataset", "backbone"), columns, _CASE)


def controls_sheet(controls: pd.DataFrame) -> Sheet | None:
    """Every comparison of the controls, in the order of the report."""
    found = comparisons(controls)
    if not found:
        return None
    titles = ("control", "held against each other", "of what", "arm or schedule", "measured", "held against")
    lines = [
        Line(
            (
                *map(_text, (one.title, one.words_text, IN_WORDS.get(one.part, one.part), one.name)),
                Cell(one.value_text, _key(one.measured.value)),
                Cell(reference_text(one), _key(one.reference)),
                _text("not separated" if one.answer == NULL else one.answer),
                Cell("" if math.isnan(one.detectable) else fixed(one.detectable, 1), _key(one.detectable)),
                Cell(str(one.seeds), str(one.seeds)),
            ),
            "ok",
        )
        for one in found
    ]
    numeric = (False, False, False, False, True, True, False, True, True)
    return Sheet(
        tuple(zip((*titles, "answer", "would find [points]", "seeds"), numeric, strict=True)), tuple(lines), ""
    )


def quality_sheet(quality: pd.DataFrame) -> Sheet | None:
    """How each panel was measured: interference, scatter, settings in force."""
    columns = [
        _figure("processes", "replicates", 0),
        _figure("superblocks", "superblocks", 0),
        _figure("disturbed [%]", "disturbed_pct", 1),
        Column("why", lambda row: _text(row.get("reasons")), numeric=False),
        _figure("left out", "excluded", 0),
        _figure("waited for quiet [s]", "waited_seconds", 0),
        _figure("scatter between processes [points]", "between_sd_pct", 2),
        _figure("scatter within [points]", "within_sd_pct", 2),
        _figure("autocorrelated cases", "autocorrelation", 0),
        _figure("cases with a trend", "trend", 0),
        _figure("a fresh page [µs]", "page_microseconds", 2),
        Column("settings in force", lambda row: _text(row.get("backend")), numeric=False),
        Column("sensors", lambda row: _text(row.get("sensors")), numeric=False),
    ]
    return _sheet(quality, PANEL_COLUMNS, columns, ())


@dataclass(frozen=True)
class Samples:
    """The values behind one row of a table. lines: ``(what follows ``records`` in the record's id, values)``."""

    records: str
    lines: tuple[tuple[str, str], ...]


def sample_lists(samples: pd.DataFrame) -> list[Samples]:
    """Of every case and arm, in the order of the tables."""
    if samples.empty:
        return []
    return [
        Samples(str(name), tuple((str(row["record"]).removeprefix(str(name)), _values(row)) for row in rows(own)))
        for name, own in samples.groupby("records", sort=False)
    ]


def _values(row: Row) -> str:
    """``+1.23 %, 251.2 ms`` of a process; ``spatial 90.6 %, temporal 25.0 %, joint 22.7 %`` of a seed."""
    overhead, taken = number(row["overhead_pct"]), number(row["ms"])
    if math.isfinite(overhead):
        return f"{fixed(overhead, 2, signed=True)} %" + ("" if math.isnan(taken) else f", {fixed(taken, 2)} ms")
    known = {part: value for part in (*PARTS, *MEASURES) if math.isfinite(value := number(row.get(f"{part}_pct")))}
    return ", ".join(f"{part.replace('_', ' ')} {fixed(value, 1)} %" for part, value in known.items())


def bandwidth_sheet(bandwidth: pd.DataFrame) -> Sheet | None:
    """The copy-bandwidth curve in numbers."""
    columns = [
        _figure("size [MiB]", "mebibytes", 0),
        _figure("copy [GB/s]", "gb_per_s", 1),
        _figure("lower quartile", "gb_per_s_low", 1),
        _figure("upper quartile", "gb_per_s_high", 1),
    ]
    return _sheet(bandwidth, PANEL_COLUMNS, columns, ())


def _sheet(
    frame: pd.DataFrame, often_same: tuple[str, ...], columns: list[Column], naming: tuple[Column, ...]
) -> Sheet | None:
    """A table of what varies; what is the same in all rows is said once, and what no row has is left away."""
    if frame.empty:
        return None
    present = [name for name in often_same if name in frame and frame[name].notna().any()]
    varying = [name for name in present if frame[name].astype(str).nunique() > 1]
    same = ", ".join(
        f"{name.replace('_', ' ')} {plain(frame[name].iloc[0])}" for name in present if name not in varying
    )
    axes = [Column(name.replace("_", " "), _getter(name), numeric=name in _COUNTED) for name in varying]
    done = rows(finished(frame)) if naming else rows(frame)
    columns = [column for column in columns if any(column.cell(row).text for row in rows(frame))]
    shared = [column for column in columns if column.title in _OFTEN_SHARED and _is_shared(column, done)]
    same = "; ".join([*([same] if same else []), *(f"{column.title} {column.cell(done[0]).text}" for column in shared)])
    status = [Column("status", _status, numeric=False)] if naming else []
    shown = [*naming, *axes, *status, *(column for column in columns if column not in shared)]
    return Sheet(
        tuple((column.title, column.numeric) for column in shown),
        tuple(
            Line(tuple(c.cell(row) for c in shown), str(row.get("status", "ok")), str(row.get("records", "")))
            for row in rows(frame)
        ),
        same,
    )


_OFTEN_SHARED = ("processes", "superblocks", "seeds", "parameters [M]", "FLOPs [G]", "left out", "disturbed [%]")
_COUNTED = ("threads", "frames", "size", "batch", "streams")


def _is_shared(column: Column, done: list[Row]) -> bool:
    """One value in all finished rows, and more than one row: said once above the table."""
    return len(done) > 1 and len({column.cell(row).text for row in done}) == 1


def _getter(name: str) -> Callable[[Row], Cell]:
    return lambda row: _text(plain(row[name]) if row[name] == row[name] else None)


def _estimate(
    title: str,
    stem: str,
    value: str,
    *,
    unit: str = "%",
    signed: bool = True,
    only: str | None = None,
    also: Callable[[Row], str] = lambda row: "",
) -> Column:
    """An estimate with its interval; ``only``: empty but where this flag is raised; ``also``: what stands behind it."""

    def cell(row: Row) -> Cell:
        if only is not None and only not in flags_of(row):
            return Cell("", "")
        estimate = Estimate.of(row, stem, value)
        text = "" if math.isnan(estimate.value) else estimate.text("", signed=signed, missing="")
        if estimate.low == estimate.high == estimate.value:  # the baseline against itself
            text = fixed(estimate.value, 0)
        text = ", ".join(part for part in (text.replace(" ()", ""), also(row)) if part)
        return Cell(text, _key(estimate.value))

    return Column(f"{title} [{unit}]", cell)


def _figure(title: str, name: str, digits: int, *, scale: float = 1.0, signed: bool = False) -> Column:
    def cell(row: Row) -> Cell:
        value = number(row.get(name)) / scale
        return Cell("" if math.isnan(value) else fixed(value, digits, signed=signed), _key(value))

    return Column(title, cell)


def _cycles(row: Row) -> Cell:
    """Latency × clock: what stays the same where only the clock changed."""
    millions = number(row.get("latency_ms")) * number(row.get("sm_mhz")) / _THOUSAND
    return Cell("" if math.isnan(millions) else fixed(millions, 2), _key(millions))


def _otherwise(row: Row) -> Cell:
    """What differs from the usual condition, beyond data set and network: ``lr factor 0.5, length factor 2``."""
    usual = asdict(Condition())
    told = [
        f"{name.replace('_', ' ')} {plain(row[name])}"
        for name in CONDITION_COLUMNS
        if name not in ("dataset", "backbone")
        and row.get(name) == row.get(name)
        and row.get(name, usual[name]) != usual[name]
    ]
    return _text(", ".join(told))


def _p_of(part: str) -> Callable[[Row], str]:
    return lambda row: p_text(number(row.get(f"{part}_delta_p")))


def _resampled(row: Row) -> Cell:
    low, high = (number(row.get(f"joint_delta_boot_{end}_pct")) for end in ("low", "high"))
    known = math.isfinite(low) and math.isfinite(high)
    return Cell(f"[{fixed(low)}, {fixed(high)}]" if known else "", _key(low))


def _key(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""


def _text(value: Any) -> Cell:
    text = "" if value is None or value != value else str(value)  # NaN differs from itself
    return Cell(text, text)


def _strategy(row: Row) -> Cell:
    twin = " (A/A twin)" if TWIN_FLAG in flags_of(row) or row.get("aa") is True else ""
    return Cell(f"{row['strategy']}{twin}", f"{row['strategy']}{twin}")


def _status(row: Row) -> Cell:
    parts = [str(row["status"]), *(flag for flag in flags_of(row) if flag != TWIN_FLAG), _text(row.get("reason")).text]
    return _text("; ".join(part for part in parts if part))


_CASE = (
    Column("strategy", _strategy, numeric=False),
    Column("placement", lambda row: _text(row["placement"]), numeric=False),
    Column("fraction", lambda row: Cell(fraction_text(number(row["fraction"])), str(row["fraction"]))),
)
"""The columns that name a case or an arm."""


def plain(value: Any) -> str:
    """Anything from ``run.json`` on one line."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict) and all(isinstance(item, str | int | float) for item in value.values()):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(plain(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple) else str(value)
