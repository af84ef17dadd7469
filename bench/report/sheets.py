"""The tables of a page: which columns each has."""

import math
from collections.abc import Callable
from dataclasses import asdict

import pandas as pd

from bench.analysis.detectors import MEASURES
from bench.report.control_words import IN_WORDS
from bench.report.controls import NULL, comparisons, reference_text
from bench.report.numbers import Estimate, fixed, number, p_text
from bench.report.selection import CONDITION_COLUMNS, PANEL_COLUMNS, Row
from bench.report.sheet import CASE, Cell, Column, Line, Sheet, estimate, figure, key_of, plain, sheet_of, text_cell
from bench.spec.cases import Condition

_THOUSAND = 1e3


_MILLION = 1e6


_BILLION = 1e9


def latency_sheet(latency: pd.DataFrame) -> Sheet | None:
    """Every case, the failed ones too."""
    columns = [
        estimate("overhead", "overhead", "overhead_pct"),
        estimate("over its own way", "over_own_way", "over_own_way_pct"),
        estimate("nothing left out", "overhead_all", "overhead_all_pct", only="estimates_differ"),
        estimate("overhead in cycles", "overhead_cycles", "overhead_cycles_pct"),
        figure("latency [ms]", "latency_ms", 1),
        Column("latency [million cycles]", _cycles),
        figure("SM clock [MHz]", "sm_mhz", 0),
        figure("predicted [%]", "predicted_overhead_pct", 1, signed=True),
        figure("of it bytes [%]", "predicted_traffic_pct", 1, signed=True),
        figure("of it page faults [%]", "predicted_faults_pct", 1, signed=True),
        figure("extra traffic [MB]", "extra_traffic_mb", 1),
        figure("extra page faults", "extra_faults", 0),
        figure("peak memory [MB]", "peak_memory_mb", 0),
        figure("peak resident [MB]", "peak_rss_mb", 0),
        figure("would find [points]", "detectable_pct", 1),
        figure("processes", "replicates", 0),
        figure("superblocks", "blocks", 0),
        figure("left out", "excluded", 0),
        figure("disturbed [%]", "disturbed_pct", 0),
        figure("parameters [M]", "params", 2, scale=_MILLION),
        figure("FLOPs [G]", "flops", 2, scale=_BILLION),
    ]
    return sheet_of(latency, ("direction", *PANEL_COLUMNS), columns, CASE)


def online_sheet(online: pd.DataFrame) -> Sheet | None:
    """Every case that ran frame by frame."""
    columns = [
        estimate("overhead", "overhead", "overhead_pct"),
        *(_milliseconds(title, stem) for title, stem in (("frame", "frame"), ("p95", "p95"), ("p99", "p99"))),
        figure("frames a second", "fps", 1),
        figure("frames arriving a second", "arrival_fps", 0),
        figure("deadlines missed [%]", "missed_deadline_pct", 1),
        figure("arriving at four fifths of the 2-D network's rate", "load_fps", 1),
        figure("then missed [%]", "missed_at_load_pct", 1),
        figure("remembered a stream [MB]", "cache_mb", 2),
        figure("extra traffic [MB]", "extra_traffic_mb", 2),
        figure("would find [points]", "detectable_pct", 1),
        figure("processes", "replicates", 0),
        figure("superblocks", "blocks", 0),
        figure("left out", "excluded", 0),
        figure("disturbed [%]", "disturbed_pct", 0),
    ]
    often_same = ("backbone", "device", "runtime", "dtype", "memory_format", "threads", "size", "streams")
    return sheet_of(online, often_same, columns, CASE)


def detection_sheet(detection: pd.DataFrame) -> Sheet | None:
    """Every form of the detector: what it finds, its difference to frame by frame, paired by seed, what it costs."""
    columns = [
        column
        for measure in MEASURES
        for column in (
            estimate(_MEASURED[measure], measure, f"{measure}_pct", signed=False),
            estimate(
                f"{_MEASURED[measure]} against frame by frame",
                f"{measure}_delta",
                f"{measure}_delta_pct",
                unit="points",
            ),
            figure(f"would find in {_MEASURED[measure]} [points]", f"{measure}_delta_detectable_pct", 1),
        )
    ]
    columns += [
        estimate("overhead of a frame", "overhead", "overhead_pct"),
        figure("frame [ms]", "frame_ms", 2),
        figure("processes", "replicates", 0),
        figure("seeds", "seeds", 0),
        figure("parameters [M]", "params", 2, scale=_MILLION),
        figure("training [s]", "train_seconds", 0),
        Column("also holds for", lambda row: text_cell(row.get("also_holds_for")), numeric=False),
    ]
    factors = [name for name in ("lr_factor", "length_factor") if name in detection]
    candidates = [name for name in factors if detection[name].nunique() > 1]
    return sheet_of(detection, ("detector", "form", "direction", *candidates), columns, CASE)


_MEASURED = {"map": "mAP", "map_slow": "mAP slow", "map_medium": "mAP medium", "map_fast": "mAP fast"}


def _milliseconds(title: str, stem: str) -> Column:
    def cell(row: Row) -> Cell:
        estimate = Estimate(*(number(row.get(f"{stem}{end}_ms")) for end in ("", "_ci_low", "_ci_high")))
        text = "" if math.isnan(estimate.value) else estimate.text("", signed=False, missing="").replace(" ()", "")
        return Cell(text, key_of(estimate.value))

    return Column(f"{title} [ms]", cell)


def accuracy_sheet(accuracy: pd.DataFrame) -> Sheet | None:
    """Every arm: what it gets right, its difference to no shift, paired by seed, and what it took."""
    columns = [Column("trained otherwise", _otherwise, numeric=False)]
    columns += [
        column
        for part in ("joint", "spatial", "temporal", "mixture")
        for column in (
            estimate(part, part, f"{part}_mean_pct", signed=False),
            estimate(f"{part} against no shift", f"{part}_delta", f"{part}_delta_pct", unit="points", also=_p_of(part)),
            figure(f"would find in {part} [points]", f"{part}_delta_detectable_pct", 1),
        )
    ]
    columns += [
        Column("bootstrap of joint [points]", _resampled),
        figure("seeds", "seeds", 0),
        figure("clip share [%]", "clip_share_pct", 0),
        figure("spatial, shuffled [%]", "shuffled_spatial_mean_pct", 1),
        figure("temporal, shuffled [%]", "shuffled_temporal_mean_pct", 1),
        figure("parameters [M]", "params", 3, scale=_MILLION),
        figure("FLOPs [G]", "flops", 3, scale=_BILLION),
        figure("training [s]", "train_seconds", 0),
        figure("clips/s", "clips_per_second", 0),
        figure("making clips [%]", "data_share_pct", 1),
        Column("also holds for", lambda row: text_cell(row.get("also_holds_for")), numeric=False),
    ]
    return sheet_of(accuracy, ("direction", "dataset", "backbone"), columns, CASE)


def controls_sheet(controls: pd.DataFrame) -> Sheet | None:
    """Every comparison of the controls, in the order of the report."""
    found = comparisons(controls)
    if not found:
        return None
    titles = ("control", "held against each other", "of what", "arm or schedule", "measured", "held against")
    lines = [
        Line(
            (
                *map(text_cell, (one.title, one.words_text, IN_WORDS.get(one.part, one.part), one.name)),
                Cell(one.value_text, key_of(one.measured.value)),
                Cell(reference_text(one), key_of(one.reference)),
                text_cell("not separated" if one.answer == NULL else one.answer),
                Cell("" if math.isnan(one.detectable) else fixed(one.detectable, 1), key_of(one.detectable)),
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
        figure("processes", "replicates", 0),
        figure("superblocks", "superblocks", 0),
        figure("disturbed [%]", "disturbed_pct", 1),
        Column("why", lambda row: text_cell(row.get("reasons")), numeric=False),
        figure("left out", "excluded", 0),
        figure("waited for quiet [s]", "waited_seconds", 0),
        figure("scatter between processes [points]", "between_sd_pct", 2),
        figure("scatter within [points]", "within_sd_pct", 2),
        figure("autocorrelated cases", "autocorrelation", 0),
        figure("cases with a trend", "trend", 0),
        figure("a fresh page [µs]", "page_microseconds", 2),
        Column("settings in force", lambda row: text_cell(row.get("backend")), numeric=False),
        Column("sensors", lambda row: text_cell(row.get("sensors")), numeric=False),
    ]
    return sheet_of(quality, PANEL_COLUMNS, columns, ())


def bandwidth_sheet(bandwidth: pd.DataFrame) -> Sheet | None:
    """The copy-bandwidth curve in numbers."""
    columns = [
        figure("size [MiB]", "mebibytes", 0),
        figure("copy [GB/s]", "gb_per_s", 1),
        figure("lower quartile", "gb_per_s_low", 1),
        figure("upper quartile", "gb_per_s_high", 1),
    ]
    return sheet_of(bandwidth, PANEL_COLUMNS, columns, ())


def _cycles(row: Row) -> Cell:
    """Latency × clock: what stays the same where only the clock changed."""
    millions = number(row.get("latency_ms")) * number(row.get("sm_mhz")) / _THOUSAND
    return Cell("" if math.isnan(millions) else fixed(millions, 2), key_of(millions))


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
    return text_cell(", ".join(told))


def _p_of(part: str) -> Callable[[Row], str]:
    return lambda row: p_text(number(row.get(f"{part}_delta_p")))


def _resampled(row: Row) -> Cell:
    low, high = (number(row.get(f"joint_delta_boot_{end}_pct")) for end in ("low", "high"))
    known = math.isfinite(low) and math.isfinite(high)
    return Cell(f"[{fixed(low)}, {fixed(high)}]" if known else "", key_of(low))
