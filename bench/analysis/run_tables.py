"""A run's folder -> tables. Everything here is derived from raw samples and can be derived again anywhere."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis import claims
from bench.analysis.arms import arms, failed_arms
from bench.analysis.detectors import forms, lost_seeds
from bench.analysis.evidence import PUBLISHED, Evidence
from bench.analysis.overheads import overheads, slopes, suspicion
from bench.analysis.tables.accuracy import accuracy_table
from bench.analysis.tables.columns import markdown
from bench.analysis.tables.controls import control_table
from bench.analysis.tables.curves import curve_table
from bench.analysis.tables.detection import detection_table, example_frames
from bench.analysis.tables.early import early_table
from bench.analysis.tables.graphs import graph_table
from bench.analysis.tables.latency import latency_table, superblock_table
from bench.analysis.tables.movement import bandwidth_table
from bench.analysis.tables.online import online_table, quantile_table
from bench.analysis.tables.quality import quality_table
from bench.analysis.tables.rankings import contest_table
from bench.analysis.tables.samples import sample_table
from bench.analysis.tables.slopes import slope_table
from bench.spec.cases import Case
from bench.spec.online_settings import Online
from bench.store.journal import read_whole_records
from bench.store.records import TIMED, Record, read_header, write_atomically

_FAILURE_COLUMNS = ["kind", "id", "status", "reason"]


@dataclass(frozen=True)
class Tables:
    """All that is known of a run, ready to be shown. The frames' columns are those of ``tables/*.csv``."""

    folder: Path
    header: dict[str, Any]
    latency: pd.DataFrame
    accuracy: pd.DataFrame
    curves: pd.DataFrame
    controls: pd.DataFrame
    slopes: pd.DataFrame
    contests: pd.DataFrame
    superblocks: pd.DataFrame
    quality: pd.DataFrame
    bandwidth: pd.DataFrame
    graphs: pd.DataFrame
    failures: pd.DataFrame
    online: pd.DataFrame
    frames: pd.DataFrame
    early: pd.DataFrame
    samples: pd.DataFrame
    detection: pd.DataFrame
    detection_examples: list[dict[str, Any]]
    damaged: list[str]
    claims: list[dict[str, Any]]
    suspect: str | None
    online_suspect: str | None


def load(folder: Path) -> Tables:
    """Read a run and derive everything, from the records that are whole. Raises FolderError where the folder cannot be
    read."""
    header = read_header(folder)
    everything, damaged = read_whole_records(folder)
    records = [record for record in everything if not record.of_streams]
    streams = [record for record in everything if record.of_streams]
    measured, trained, diverged = overheads(records), arms(records), failed_arms(records)
    online, suspect, detectors = overheads(streams), suspicion(measured), forms(records)
    online_suspect = suspicion(online)
    heirs = _same_functions(header, records)
    exact = frozenset({PUBLISHED, *heirs.get(PUBLISHED, [])})
    lines, sweep = slopes(measured), header.get("sweep", {})
    evidence = Evidence(
        overheads=measured,
        slopes=lines,
        arms=[] if _searches_a_recipe(sweep) else trained,
        statics=_statics(records),
        failed_cases=_failed_cases(records),
        failed_arms=diverged,
        exact=exact,
        suspect=suspect,
        online=online,
        online_statics=_statics(streams),
        online_failed=_failed_cases(streams),
        online_suspect=online_suspect,
        forms=[] if _searches_a_recipe(sweep.get("detection", {})) else detectors,
        lost_seeds=lost_seeds(records),
    )
    return Tables(
        folder=folder,
        header=header,
        latency=latency_table(records, measured),
        accuracy=accuracy_table(records, trained, heirs),
        curves=curve_table(trained),
        controls=control_table(trained, diverged),
        slopes=slope_table(lines),
        contests=contest_table([o for o in measured if o.case.variant.strategy in exact]),
        superblocks=superblock_table(records, measured),
        quality=quality_table(records, measured),
        bandwidth=bandwidth_table(records),
        graphs=graph_table(records),
        online=online_table(streams, online, _arrival_fps(header)),
        frames=quantile_table(streams),
        early=early_table(trained),
        samples=sample_table([*measured, *online], trained, detectors),
        detection=detection_table(records, detectors, online, heirs),
        detection_examples=example_frames(records),
        failures=_failure_table(everything),
        damaged=damaged,
        claims=[asdict(verdict) for verdict in claims.judge(claims.load_claims(), evidence)],
        suspect=suspect,
        online_suspect=online_suspect,
    )


def write(tables: Tables) -> None:
    """``tables/*.csv``, ``tables/*.md`` and ``claims.json`` in the run's folder."""
    folder = tables.folder / "tables"
    folder.mkdir(exist_ok=True)
    frames = {"latency": tables.latency, "accuracy": tables.accuracy, "claims": pd.DataFrame(tables.claims)}
    frames |= {"curves": tables.curves, "controls": tables.controls}
    frames |= {"online": tables.online, "early": tables.early, "detection": tables.detection}
    frames |= {"contests": tables.contests, "quality": tables.quality, "bandwidth": tables.bandwidth}
    frames |= {"runtime_graphs": tables.graphs, "samples": tables.samples}
    for name, frame in frames.items():
        write_atomically(folder / f"{name}.csv", frame.to_csv(index=False))
        write_atomically(folder / f"{name}.md", markdown(frame))
    text = json.dumps(tables.claims, indent=2, ensure_ascii=False)
    write_atomically(tables.folder / "claims.json", text + "\n")


def _searches_a_recipe(trained: dict[str, Any]) -> bool:
    """What was trained was judged on validation clips, to choose a recipe by: no finding may be judged by it."""
    return bool(trained.get("recipe", {}).get("judged_on") == "validation")


def _arrival_fps(header: dict[str, Any]) -> float:
    settings = header.get("settings", {}).get("online", {})
    return float(settings.get("arrival_fps", Online().arrival_fps))


def _statics(records: Sequence[Record]) -> dict[Case, dict[str, Any]]:
    return {Case.from_json(r.case): r.samples for r in records if r.kind == "static" and r.status == "ok"}


def _failed_cases(records: Sequence[Record]) -> dict[Case, str]:
    failed = [r for r in records if r.kind in (*TIMED, "static") and r.status == "failed"]
    return {Case.from_json(r.case): r.reason or "" for r in failed}


def _same_functions(header: dict[str, Any], records: Sequence[Record]) -> dict[str, list[str]]:
    """{strategy: those that are proven to compute the same function, and inherit its accuracy}."""
    proven = {r.case["strategy"] for r in records if r.kind == "conformance" and r.status == "ok"}
    heirs: dict[str, list[str]] = {}
    for info in header.get("strategies", []):
        if info.get("same_function_as") and info["name"] in proven:
            heirs.setdefault(info["same_function_as"], []).append(info["name"])
    return heirs


def _failure_table(records: Sequence[Record]) -> pd.DataFrame:
    rows = [(r.kind, r.id, r.status, r.reason or "") for r in records if r.status != "ok"]
    return pd.DataFrame(rows, columns=_FAILURE_COLUMNS)
