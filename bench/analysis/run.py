"""A run's folder -> all that is known of it. Everything here is derived from raw samples, anywhere and again."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.aa_control import AAControl, AAControls, aa_controls
from bench.analysis.arms import arms, partial_arms
from bench.analysis.claims import Verdict, judge, load_claims
from bench.analysis.comparisons import Comparison, compare_controls, placement_gaps
from bench.analysis.evidence import Evidence
from bench.analysis.overheads import Ranking, failed_cases, overheads, rankings, slopes
from bench.analysis.panels import PanelQuality, panel_qualities
from bench.analysis.selection import PUBLISHED
from bench.analysis.tables import raw
from bench.analysis.tables.timed import latency_table, online_table, quantile_table, statics, superblock_table
from bench.analysis.tables.trained import accuracy_table, curve_table, detection_table, early_table, example_frames
from bench.analysis.tables.video import class_table, video_curve_table, video_table
from bench.spec.settings import Online
from bench.stats.estimators import Interval
from bench.store.journal import read_whole_records
from bench.store.records import CheckedRecord, Record, read_header, write_atomically

TRAINED = ("accuracy", "detection", "video")
"""The sections that train."""


@dataclass(frozen=True)
class Analysis:
    """All that is known of a run, ready to be shown. The frames' columns are those of ``tables/*.csv``.

    placements: {fraction: residual minus in-place}, in pp of joint accuracy. damaged: what is wrong with each line that
    was passed over in the journal. controls: the A/A control of each panel. suspect, online_suspect: why times of whole
    clips, or frame by frame, must not be trusted. detection_examples: frames to look at.
    """

    folder: Path
    header: dict[str, Any]
    latency: pd.DataFrame
    online: pd.DataFrame
    frames: pd.DataFrame
    slopes: pd.DataFrame
    superblocks: pd.DataFrame
    bandwidth: pd.DataFrame
    graphs: pd.DataFrame
    accuracy: pd.DataFrame
    curves: pd.DataFrame
    early: pd.DataFrame
    detection: pd.DataFrame
    detection_examples: list[dict[str, Any]]
    video: pd.DataFrame
    video_curves: pd.DataFrame
    video_classes: pd.DataFrame
    samples: pd.DataFrame
    failures: pd.DataFrame
    comparisons: list[Comparison]
    placements: dict[str, Interval]
    rankings: list[Ranking]
    quality: list[PanelQuality]
    claims: list[Verdict]
    damaged: list[str]
    controls: AAControls
    suspect: str | None
    online_suspect: str | None

    @property
    def control(self) -> AAControl | None:
        """The A/A control of what headlines rest on: the worst of their panels. None where nothing was timed."""
        return self.controls.headline


def load(folder: Path) -> Analysis:
    """Read a run and derive everything, from the records that are whole. Raises FolderError where the folder cannot be
    read."""
    header = read_header(folder)
    records, damaged = read_whole_records(folder)
    measured = overheads(records)
    clips = [overhead for overhead in measured if not overhead.case.panel.streams]
    controls = aa_controls(measured)
    recognised, detectors, watched = (arms(records, section) for section in TRAINED)
    partial = {section: partial_arms(header, records, section) for section in TRAINED}
    equivalents = _equivalents(header, records)
    exact = frozenset({PUBLISHED, *equivalents.get(PUBLISHED, [])})
    failed, counted = failed_cases(records), statics(records)
    lines, whole = slopes(clips, failed), [overhead for overhead in clips if overhead.case not in failed]
    evidence = Evidence(
        overheads=measured,
        slopes=lines,
        arms=[arm for arm in (*recognised, *detectors, *watched) if not _searches_a_recipe(header, arm.section)],
        statics=counted,
        failed_cases=failed,
        partial_arms={(section, key): why for section, own in partial.items() for key, why in own.items()},
        exact=exact,
        arrows=_arrows(header),
        controls=controls,
    )
    settings = header.get("settings", {}).get("online", {})
    arrival_fps = float(settings.get("arrival_fps", Online().arrival_fps))
    return Analysis(
        folder=folder,
        header=header,
        latency=latency_table(records, measured),
        online=online_table(records, measured, arrival_fps),
        frames=quantile_table(records),
        slopes=raw.slope_table(lines),
        superblocks=superblock_table(records, clips),
        bandwidth=raw.bandwidth_table(records),
        graphs=raw.graph_table(counted),
        accuracy=accuracy_table(records, recognised, equivalents, partial["accuracy"]),
        curves=curve_table(recognised),
        early=early_table(recognised),
        detection=detection_table(records, detectors, measured, equivalents, partial["detection"]),
        detection_examples=example_frames(records),
        video=video_table(records, watched, equivalents, partial["video"]),
        video_curves=video_curve_table(watched),
        video_classes=class_table(watched),
        samples=raw.sample_table(measured, [*recognised, *detectors, *watched]),
        failures=raw.failure_table(records),
        comparisons=compare_controls(recognised, partial["accuracy"]),
        placements=placement_gaps(recognised, partial["accuracy"]),
        rankings=rankings([overhead for overhead in whole if overhead.case.variant.strategy in exact]),
        quality=panel_qualities(records, measured),
        claims=judge(load_claims(), evidence),
        damaged=damaged,
        controls=controls,
        suspect=controls.alarm(streams=False),
        online_suspect=controls.alarm(streams=True),
    )


def _searches_a_recipe(header: dict[str, Any], section: str) -> bool:
    """What was trained was judged on validation clips, to choose a recipe by: no finding may be judged by it."""
    training = header.get("sweep", {}).get("trainings", {}).get(section, {})
    return bool(training.get("recipe", {}).get("judged_on") == "validation")


def _arrows(header: dict[str, Any]) -> frozenset[str]:
    """The questions of the video section that ask whether a video is shown forward or reversed."""
    data = header.get("sweep", {}).get("trainings", {}).get("video", {}).get("data", {})
    return frozenset(one["name"] for one in data.get("questions", []) if one["task"] == "arrow")


def _equivalents(header: dict[str, Any], records: Sequence[Record]) -> dict[str, list[str]]:
    """{strategy: those that are proven to compute the same function, and inherit its accuracy}."""
    proven = {record.strategy for record in records if isinstance(record, CheckedRecord) and record.status == "ok"}
    found: dict[str, list[str]] = {}
    for info in header.get("strategies", []):
        if info.get("same_function_as") and info["name"] in proven:
            found.setdefault(info["same_function_as"], []).append(info["name"])
    return found


def frames_of(run: Analysis) -> dict[str, pd.DataFrame]:
    """{name of the file: table}."""
    return {
        "latency": run.latency,
        "online": run.online,
        "accuracy": run.accuracy,
        "detection": run.detection,
        "video": run.video,
        "video_curves": run.video_curves,
        "video_classes": run.video_classes,
        "claims": pd.DataFrame([asdict(verdict) for verdict in run.claims]),
        "controls": raw.comparison_table(run.comparisons),
        "rankings": raw.ranking_table(run.rankings),
        "quality": raw.quality_table(run.quality, run.controls),
        "curves": run.curves,
        "early": run.early,
        "bandwidth": run.bandwidth,
        "runtime_graphs": run.graphs,
        "samples": run.samples,
    }


def write_tables(run: Analysis) -> None:
    """``tables/*.csv``, ``*.md`` and ``claims.json`` in the run's folder. Raises OSError."""
    folder = run.folder / "tables"
    folder.mkdir(exist_ok=True)
    for name, frame in frames_of(run).items():
        write_atomically(folder / f"{name}.csv", frame.to_csv(index=False))
        write_atomically(folder / f"{name}.md", markdown(frame))
    text = json.dumps([asdict(verdict) for verdict in run.claims], indent=2, ensure_ascii=False)
    write_atomically(run.folder / "claims.json", text + "\n")


def markdown(frame: pd.DataFrame) -> str:
    """A table for people: two decimals; bars in cells escaped."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{value:.2f}" if value % 1 else f"{value:.0f}"
        return "" if value is None else " ".join(str(value).replace("|", "\\|").split())

    lines = ["| " + " | ".join(frame.columns) + " |", "|" + " --- |" * len(frame.columns)]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines) + "\n"
