"""Holds what the code makes of every published run against the values that it made before the restructuring.

``python -m tests.golden.comparison`` prints a line for each run; ``columns.toml`` maps what was renamed.
"""

import json
import sys
import tomllib
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from bench.analysis.export import frames_of
from bench.analysis.run import load
from bench.analysis.tables.raw import comparison_table
from bench.store.journal import read_records

HERE = Path(__file__).parent
RUNS = HERE.parent.parent / "results" / "reference"
NAMES = tomllib.loads((HERE / "columns.toml").read_text())
JUDGED = ("id", "claim", "subject", "measured", "ci_low", "ci_high", "unit", "verdict")


def golden_runs() -> list[str]:
    """Their names."""
    return sorted(folder.name for folder in HERE.iterdir() if (folder / "counts.json").exists())


def differences(name: str, runs: Path = RUNS) -> tuple[int, list[str]]:
    """(cells compared, what differs) in one published run."""
    golden, run = HERE / name, load(runs / name)
    now = {
        **frames_of(run),
        **{table: getattr(run, table) for table in ("slopes", "superblocks", "failures", "frames")},
    }
    now |= {"graphs": run.graphs, "comparisons": comparison_table(run.comparisons)}
    cells, found = 0, list[str]()
    for path in sorted(golden.glob("*.csv.xz")):
        table = path.name.removesuffix(".csv.xz")
        before = pd.read_csv(path, keep_default_na=True)
        before = before.rename(columns={**NAMES["all"], **NAMES.get(table, {})}).replace(NAMES["values"])
        frame = now[NAMES["tables"].get(table, table)].reset_index(drop=True)
        if table in ("quality", "bandwidth"):  # what ran frame by frame had no rows there
            frame = frame[frame["streams"] == 0].reset_index(drop=True)
        different = _different(before, frame)
        cells += before.size
        found += [f"{table}: {text}" for text in different]
    verdicts = [{key: one[key] for key in JUDGED} for one in map(asdict, run.claims)]
    known = json.loads((golden / "claims.json").read_text())
    wanted = [
        {**{key: one[key] for key in JUDGED}, "unit": NAMES["values"].get(one["unit"], one["unit"])} for one in known
    ]
    cells += len(wanted) * len(JUDGED)
    order = lambda one: one["id"]  # noqa: E731
    for own, other in zip(sorted(verdicts, key=order), sorted(wanted, key=order), strict=False):
        found += [
            f"claims: {own['id']}: {key}: {other[key]} -> {own[key]}"
            for key in JUDGED
            if not _same(own[key], other[key])
        ]
    if len(verdicts) != len(wanted):
        found.append(f"claims: {len(wanted)} verdicts -> {len(verdicts)}")
    repeated = {one["id"]: one["repeated"] for one in known if one["repeated"]}
    found += [
        f"claims: {v.id}: repeated"
        for v in run.claims
        if v.repeated != repeated.get(v.id) and not _close(v.repeated, repeated.get(v.id))
    ]
    counts = json.loads((golden / "counts.json").read_text())
    then = Counter[str]()
    for key, number in counts["records"].items():
        kind, status = key.split()
        then[f"{NAMES['kinds'][kind]} {status}"] += number
    today = Counter(f"{record.kind} {record.status}" for record in read_records(runs / name))
    if then != today:
        found.append(f"records: {dict(then)} -> {dict(today)}")
    if counts["suspect"] != {"latency": run.suspect, "online": run.online_suspect}:
        found.append("suspect")
    return cells + len(then), found


def _different(before: pd.DataFrame, now: pd.DataFrame) -> list[str]:
    missing = [column for column in before.columns if column not in now.columns]
    if missing:
        return [f"columns are gone: {', '.join(missing)}"]
    if len(before) != len(now):
        return [f"{len(before)} rows -> {len(now)}"]
    now = now[list(before.columns)]
    words = [column for column in before.columns if not pd.api.types.is_numeric_dtype(before[column])]
    keys = [c for c in words if c not in ("reason", "backend", "sensors")]
    keys += [
        c
        for c in before.columns
        if c not in words
        and c
        in (
            "fraction",
            "threads",
            "streams",
            "frames",
            "size",
            "batch",
            "epoch",
            "frame",
            "quantile_pct",
            "replicate",
            "superblock",
            "mebibytes",
            "lr_factor",
            "length_factor",
            "seeds",
            "rank",
        )
    ]
    before, now = (_sorted(frame, keys) for frame in (before, now))
    found = []
    for column in before.columns:
        bad = [i for i, (a, b) in enumerate(zip(before[column], now[column], strict=True)) if not _same(a, b)]
        if bad:
            found.append(f"{column}: {len(bad)} cells, like {before[column][bad[0]]!r} -> {now[column][bad[0]]!r}")
    return found


def _sorted(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    shown = frame[keys].map(
        lambda value: (
            ""
            if pd.isna(value)
            else f"{value:.6g}"
            if isinstance(value, float | int) and not isinstance(value, bool)
            else str(value)
        )
    )
    return frame.iloc[shown.sort_values(keys, kind="stable").index].reset_index(drop=True) if keys else frame


def _same(a: object, b: object) -> bool:
    if _empty(a) or _empty(b):
        return _empty(a) and _empty(b)
    if isinstance(a, int | float | np.number) and isinstance(b, int | float | np.number):
        return bool(np.isclose(float(a), float(b), rtol=1e-9, atol=1e-12))
    return str(a) == str(b)


def _empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))


def _close(a: object, b: object) -> bool:
    return isinstance(a, dict) and isinstance(b, dict) and all(_same(a[key], b[key]) for key in b)


def main() -> int:
    """0 where nothing differs."""
    failed = 0
    for name in golden_runs():
        cells, found = differences(name)
        print(f"{name}: {cells} cells, {len(found)} differences")
        for text in found[:40]:
            print(f"    {text}")
        failed += bool(found)
    return failed


if __name__ == "__main__":
    sys.exit(main())
