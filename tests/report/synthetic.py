"""A synthetic run: about what a 2-core Xeon and a mini-training show. Nothing is measured."""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from scipy import stats

from bench.analysis.aa_control import AAControl, AAControls
from bench.analysis.arms import arms, lost_seeds
from bench.analysis.claims import Verdict
from bench.analysis.comparisons import Comparison, load_controls
from bench.analysis.overheads import Ranked, Ranking
from bench.analysis.panels import PanelQuality
from bench.analysis.run import Analysis, load
from bench.analysis.tables.video import class_table, video_curve_table, video_table
from bench.report.page import VERDICTS
from bench.spec.cases import Condition
from bench.spec.panel import Panel
from bench.stats.estimators import Estimate, Interval
from bench.store.records import SCHEMA, TrainedRecord
from tests.analysis.synthetic import video_study

Row = dict[str, Any]

HOSTILE = "<img src=x onerror=alert(1)>"
NAN = float("nan")
PANEL = Panel("resnet50", "cpu", "eager", "fp32", "nchw", 2, 8, 224, 1)
EXACT = ("copy_shift", "concat_shift", "buffer_shift")
OVERHEADS = {
    ("copy_shift", "residual"): {0.125: 11.0, 0.25: 11.3, 1.0: 11.4},
    ("concat_shift", "residual"): {0.125: 9.4, 0.25: 10.8, 1.0: 17.9},
    ("buffer_shift", "residual"): {0.125: 1.1, 0.25: 1.4, 1.0: 3.2},
    ("buffer_shift", "inplace"): {0.125: 1.0, 0.25: 0.9, 1.0: 1.8},
}
SLOPES = {"copy_shift": (0.3, 0.8), "concat_shift": (8.0, 0.8), "buffer_shift": (2.4, 3.0)}
ACCURACIES = {  # spatial, temporal, joint
    ("residual", 0.125): (90.7, 95.5, 87.1),
    ("residual", 0.25): (90.8, 89.9, 82.1),
    ("residual", 1.0): (81.5, 77.6, 63.4),
    ("inplace", 0.125): (89.6, 89.2, 80.4),
}
NO_SHIFT = (94.8, 25.0, 23.7)
MAP = {"no_shift": (66.0, 52.0), "online": (68.1, 55.6), "offline": (69.4, 57.0)}  # of all and of fast objects
HEADER: Row = {
    "title": "ResNet-50 on a CPU & mini-training",
    "preset": "standard",
    "command": "run_bench.py run --preset standard --out results/demo",
    "status": "finished",
    "created": "2026-01-12T10:00:00+00:00",
    "environment": {"cpu": "Intel(R) Xeon(R) Platinum 8481C", "cores": 2, "versions": {"torch": "2.11.0"}},
    "settings": {"latency": {"target_half_width_pp": 0.5}, "accuracy": {"recipe": {"judged_on": "test"}}},
    "wall_seconds": {"latency": 596.2},
}


def interval(stem: str, value: float, half: float, unit: str = "pct", of: str = "") -> Row:
    """The columns of an estimate; ``of``: what follows the stem in the name of its value."""
    return {f"{stem}{of}_{unit}": value, f"{stem}_ci_low_{unit}": value - half, f"{stem}_ci_high_{unit}": value + half}


def axes(strategy: str, placement: str, fraction: float, direction: str = "bidirectional") -> Row:
    """What every table names first."""
    return {"strategy": strategy, "placement": placement, "fraction": fraction, "direction": direction}


def case(strategy: str, placement: str, fraction: float, overhead: float, half: float = 0.6, **more: Any) -> Row:
    """One row of the latency table, of whole clips or frame by frame."""
    aa = more.get("aa", False)
    if strategy == "no_shift" and not aa:
        half = 0.0
    row = {
        **axes(strategy, placement, fraction),
        **vars(PANEL),
        "latency_ms": 372.4 * (1 + overhead / 100),
        **interval("overhead", overhead, half),
        **interval("overhead_all", overhead + 0.1, half),
        "half_width_pct": half,
        "mde_pct": 1.4 * half,
        "extra_traffic_mb": 100.0 * fraction,
        "predicted_overhead_pct": overhead,
        "predicted_traffic_pct": overhead,
        "predicted_faults_pct": 0.0,
        "sm_mhz": NAN,
        "params": 23_508_032,
        "extra_params": 0,
        "extra_flops": 0,
        "peak_memory_mb": 83.5,
        "control": "certified",
        "replicates": 8,
        "blocks": 80,
        "status": "ok",
        "flags": "aa" if aa else "",
        "reason": "",
        "aa": aa,
        "records": f"latency/{strategy}-{placement}-{fraction}{'+aa' if aa else ''}",
    }
    return row | more


def latency_rows(scale: float = 1.0, **panel: Any) -> list[Row]:
    """A whole panel: baseline, twin and the cases. scale: of the overheads."""
    rows = [
        case("no_shift", "residual", 0.0, 0.0, **panel),
        case("no_shift", "residual", 0.0, 0.1, 0.3, aa=True, **panel),
    ]
    for (strategy, placement), overheads in OVERHEADS.items():
        rows += [case(strategy, placement, fraction, scale * value, **panel) for fraction, value in overheads.items()]
    return rows


def aa_controls(latency: Sequence[Row]) -> AAControls:
    """Of every panel, from its twin; its interval is that of eight processes."""
    reach = float(stats.t.ppf(0.975, 7))
    found = {panel: AAControl(panel, Estimate(NAN, count=0)) for panel in map(Panel.from_json, latency)}
    for row in latency:
        if row["aa"]:
            panel, half = Panel.from_json(row), (row["overhead_ci_high_pct"] - row["overhead_ci_low_pct"]) / 2
            found[panel] = AAControl(panel, Estimate(row["overhead_pct"], half / reach, 7, 8))
    return AAControls(found)


def rankings(latency: Sequence[Row], half: float = 0.5) -> list[Ranking]:
    """The exact mechanisms of each panel, fraction and placement; half: width of the gaps' intervals."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in latency:
        if row["strategy"] in EXACT and row["status"] == "ok":
            key = Panel.from_json(row), Fraction(row["fraction"]), row["placement"], row["direction"]
            groups.setdefault(key, []).append(row)
    found = []
    for key, group in groups.items():
        group.sort(key=lambda row: row["overhead_pct"])
        ranked = []
        for row in group:
            ends = (row["overhead_pct"], row["overhead_ci_low_pct"], row["overhead_ci_high_pct"])
            gap, reach = ends[0] - group[0]["overhead_pct"], half if ranked else 0.0
            gaps = Interval(gap, gap - reach, gap + reach, 8)
            ranked.append(Ranked(row["strategy"], Interval(*ends, 8), gaps, 1.5 * reach))
        found += [Ranking(*key, tuple(ranked))] if len(ranked) > 1 else []
    return found


def quality(**more: Any) -> PanelQuality:
    """How one panel was measured."""
    reasons = {"foreign CPU": 5, "steal": 3}
    scatter = {"between_sd_pct": 0.31, "within_sd_pct": 1.24, "page_microseconds": 0.26}
    conditions: Row = {"backend": {"mkldnn": True}, "sensors": {}, "autocorrelated": 1, "trending": 0}
    measured = PanelQuality(PANEL, 8, 80, 8.75, 7, 12.5, reasons, **scatter, **conditions)
    return replace(measured, **more)


def arm(
    placement: str, fraction: float, means: Sequence[float], seeds: int = 5, strategy: str = "copy_shift", **more: Any
) -> Row:
    """One row of the accuracy table. means: spatial, temporal and joint."""
    half, base = NAN if seeds == 1 else 1.3, strategy == "no_shift"
    row = {**axes(strategy, placement, fraction), **vars(Condition()), "seeds": seeds, "status": "ok", "reason": ""}
    for part, mean, zero in zip(("spatial", "temporal", "joint"), means, NO_SHIFT, strict=True):
        delta = mean - zero
        row |= interval(part, mean, half, of="_mean") | interval(f"{part}_delta", delta, 0.0 if base else half)
        p = NAN if base or seeds == 1 else 0.0004 if abs(delta) > 3 else 0.4
        row |= {f"{part}_delta_p": p, f"{part}_delta_mde_pct": 1.8, "records": f"accuracy/{placement}-{fraction}"}
    return row | {"equivalents": "buffer_shift,concat_shift" if strategy == "copy_shift" else ""} | more


def accuracy_rows(seeds: int = 5) -> list[Row]:
    """The main condition, the learned exchange, and other conditions: all of those better than any of the main arms."""
    rows = [arm("residual", 0.0, NO_SHIFT, seeds, "no_shift")]
    rows += [arm(*key, means, seeds) for key, means in ACCURACIES.items()]
    better = (99.0, 98.0, 97.5)
    rows.append(arm("residual", 1.0, better, seeds, "temporal_conv"))
    changes: list[Row] = [{"objective": "spatial"}, {"dataset": "opening_digits"}, {"lr_factor": 0.5}]
    return rows + [arm("residual", 1.0, better, seeds, **change) for change in changes]


def control(
    name: str, comparison: str, subject: str, measured: float, half: float = 1.2, chance: float | None = None
) -> Comparison:
    """One comparison of a control; ``comparison``: outcome and words. chance: of a level, in per cent."""
    outcome, _, words = comparison.partition(": ")
    title, explains = _CONTROLS[name]
    found = Interval(measured, measured - half, measured + half, 5)
    unit, reference = ("pp", 0.0) if chance is None else ("%", chance)
    return Comparison(name, title, explains, outcome, words, subject, found, unit, reference, 1.4 * half, 5)


_CONTROLS = {one.id: (one.title, one.explains) for one in load_controls()}


def controls() -> list[Comparison]:
    """Of some of them, with each answer."""
    no_shift = "mixture: against network without a shift"
    return [
        control("one_frame", "temporal: one-frame network against chance", "no_shift", 25.1, 0.5, chance=25.0),
        *(control("mixture", no_shift, f"copy_shift {place}", value) for place, value in enumerate((31.9, -7.0, 0.6))),
        control("replication", "joint: residual 1 minus no_shift", "main seeds", 38.8),
    ]


def frame_case(strategy: str, overhead: float, **more: Any) -> Row:
    """One row of the online table."""
    times = {"frame": 41.0, "p95": 49.2, "p99": 61.5}
    row = case(strategy, "residual", 0.0 if strategy == "no_shift" else 0.125, overhead, streams=1, cache_mb=2.81)
    row |= {"direction": "unidirectional", "missed_deadline_pct": 1.5, "load_fps": 19.5, "missed_at_load_pct": 2.0}
    for name, value in times.items():
        row |= interval(name, value, 0.5, unit="ms")
    return row | {"fps": 24.4, "arrival_fps": 30.0, "records": f"online/{strategy}"} | more


def form(name: str, strategy: str, fraction: float, **more: Any) -> Row:
    """One row of the detection table: trained, or only timed (``seeds=0``)."""
    row = axes(strategy, "residual", fraction, "unidirectional" if name == "online" else "bidirectional")
    row |= {"detector": "digits_fcos", "form": name, "seeds": 6, "status": "ok", "reason": "", "equivalents": ""}
    base = MAP["no_shift"]
    for measure, level, zero in zip(("map", "map_fast"), MAP.get(name, base), base, strict=True):
        row |= interval(measure, level, 1.1) | interval(f"{measure}_delta", level - zero, 0.9)
        row |= {f"{measure}_delta_mde_pct": 1.3}
    return row | interval("overhead", NAN, NAN) | {"frame_ms": NAN, "replicates": 0} | more


def timed_form(strategy: str, overhead: float, **more: Any) -> Row:
    """A mechanism of the online form, which was timed in the detector."""
    measured = interval("overhead", overhead, 0.6) | {"frame_ms": 3.1, "replicates": 12}
    return form("online", strategy, 0.125, **{"seeds": 0, **measured, **more})


def verdict(name: str, of: str, subject: str = "", **more: Any) -> Verdict:
    """An entry of ``claims.json``."""
    known: list[float | None] = [None] * 3 if of in ("not measured", "invalid") else [11.4, 10.8, 12.0]
    finding, source, why = f"the finding called {name}", "arXiv 1811.08383", "the interval lies where it lies"
    key = f"{name}/{subject}" if subject else name
    return replace(Verdict(key, name, subject, finding, source, "<= 3 %", *known, "%", of, why), **more)


@cache
def _nothing() -> Analysis:
    with TemporaryDirectory() as folder:
        (Path(folder) / "run.json").write_text(json.dumps({"schema_version": SCHEMA}))
        return replace(load(Path(folder)), header={}, claims=[])


def empty_run(folder: Path) -> Analysis:
    """A run of which nothing is known."""
    return replace(_nothing(), folder=folder)


def timed_run(run: Analysis, latency: Sequence[Row], half: float = 0.5) -> Analysis:
    """The run with other latency rows, and the rankings and controls that follow from them."""
    frame = pd.DataFrame(latency) if latency else run.latency.iloc[:0]
    controls = aa_controls(latency)
    suspect = controls.alarm(streams=False)
    return replace(run, latency=frame, rankings=rankings(latency, half), controls=controls, suspect=suspect)


def in_both_heaps(run: Analysis, twin: tuple[float, float] = (0.1, 0.3), **change: object) -> Analysis:
    """With and without the heap kept. twin: its overhead and half the width of the interval."""
    rows = latency_rows(allocator="default") + latency_rows(0.35, allocator="retained", latency_ms=320.0)
    changed = [row | (interval("overhead", *twin) if row["aa"] else change) for row in rows]
    return timed_run(replace(run, slopes=run.slopes.assign(allocator="retained")), changed)


def full_run(folder: Path) -> Analysis:
    """All sections, every verdict, one failed and one skipped case."""
    no_room = {"status": "failed", "reason": "RuntimeError: no room"}
    latency = [*latency_rows(), case("concat_shift", "inplace", 0.25, NAN, NAN, **no_room)]
    slopes = [
        axes(strategy, "residual", 0.0)
        | vars(PANEL)
        | interval("slope", *slope)
        | {"mde_pct": 1.2, "same": strategy == "copy_shift"}
        for strategy, slope in SLOPES.items()
    ]
    failures = [
        {"kind": "timed", "id": "concat_shift-inplace-1/4", **no_room},
        {"kind": "checked", "id": "late_shift", "status": "skipped", "reason": "needs CUDA"},
    ]
    samples = [
        {"records": row["records"], "record": f"{row['records']}/r{place}", "overhead_pct": 1.0 + place, "ms": 372.4}
        for row in latency
        for place in range(2)
    ]
    samples.append(
        {"records": "accuracy/residual-0.125", "record": "accuracy/residual-0.125/seed4000", "joint_pct": 87.1}
    )
    detection = [
        form("frame by frame", "no_shift", 0.0),
        timed_form("copy_shift", 4.4, seeds=6, equivalents="buffer_shift"),
    ]
    detection += [form("offline", "copy_shift", 0.25), timed_form("buffer_shift", 1.6)]
    online = [frame_case("no_shift", 0.0), frame_case("copy_shift", 9.1), frame_case("buffer_shift", 1.1)]
    names = ("naive-cpu", "trend-devices", "partial-cpu", "peak-quarter", "naive-gpu", "online-latency")
    run = replace(
        empty_run(folder),
        header=HEADER,
        slopes=pd.DataFrame(slopes),
        accuracy=pd.DataFrame(accuracy_rows()),
        online=pd.DataFrame(online),
        detection=pd.DataFrame(detection),
        samples=pd.DataFrame(samples),
        failures=pd.DataFrame(failures),
        comparisons=controls(),
        placements={"1": Interval(4.1, 2.9, 5.3, 5)},
        quality=[quality()],
        claims=[verdict(*pair) for pair in zip(names, VERDICTS, strict=True)],
    )
    return timed_run(run, latency)


SPLIT = {"group": "subject", "test": ["2", "4"], "test_share": 0.2, "alternate": True}
VIDEO_SETTINGS: Row = {
    "data": {"path": "clips.csv", "size": 64, "frames": 8, "split": SPLIT},
    "recipe": {"epochs": 40, "device": "auto"},
}


def with_video(run: Analysis, records: Sequence[TrainedRecord] | None = None, **settings: Any) -> Analysis:
    """The run, and what it learned from real videos. settings: of the video section, in place of the usual ones."""
    records = video_study() if records is None else records
    trained = arms(records, "video")
    own = {"video": {**VIDEO_SETTINGS, **settings}}
    return replace(
        run,
        header={**run.header, "settings": {**run.header.get("settings", {}), **own}},
        video=video_table(records, trained, {"copy_shift": ["buffer_shift"]}, lost_seeds(records, "video")),
        video_curves=video_curve_table(trained),
        video_classes=class_table(trained),
    )


def hostile_run(full: Analysis) -> Analysis:
    """The same with a plug-in that has a hostile name, and a second one with awkward characters."""
    odd = "_a$b$\n\u4e2d\U0001f600" + "x" * 60
    latency = [*latency_rows(), case(HOSTILE, "residual", 0.125, 5.0), case(odd, "residual", 1.0, 7.0)]
    against = "mixture: against network without a shift"
    failures = [{"kind": "timed", "id": HOSTILE, "status": "failed", "reason": f"</script>{HOSTILE}"}]
    return replace(
        timed_run(full, latency),
        header={**HEADER, "title": HOSTILE, "command": f"run_bench.py {HOSTILE}"},
        accuracy=pd.DataFrame([*accuracy_rows(), arm("residual", 0.125, (89.0, 80.0, 75.0), strategy=HOSTILE)]),
        comparisons=[*full.comparisons, control("mixture", against, HOSTILE, 3.0)],
        failures=pd.DataFrame(failures),
        claims=[replace(claim, finding=HOSTILE, why=HOSTILE) for claim in full.claims],
    )
