"""Holds what the code makes of every published run against the values that it made before the restructuring.

``python -m tests.golden.comparison`` prints a line for each run; ``columns.toml`` maps what was renamed.
"""

import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.run import Analysis, frames_of, load
from bench.analysis.tables.raw import comparison_table
from bench.store.journal import read_records

HERE = Path(__file__).parent
RUNS = HERE.parent.parent / "results" / "reference"
NAMES = tomllib.loads((HERE / "columns.toml").read_text())
JUDGED = ("id", "claim", "subject", "measured", "ci_low", "ci_high", "unit", "verdict")
FREE_TEXT = ("reason", "backend", "sensors")
COUNTS = ("threads", "streams", "frames", "size", "batch", "seeds", "replicate", "superblock", "epoch", "frame", "rank")
KEYS = (*COUNTS, "fraction", "quantile_pct", "mebibytes", "lr_factor", "length_factor")
"""Numbers that tell rows apart, as all words but the free text do."""


def golden_runs() -> list[str]:
    """Their names."""
    return sorted(folder.name for folder in HERE.iterdir() if (folder / "counts.json").exists())


def differences(name: str) -> tuple[int, list[str]]:
    """(cells compared, what differs) in one published run."""
    golden, run = HERE / name, load(RUNS / name)
    known_claims, counts = (json.loads((golden / f"{part}.json").read_text()) for part in ("claims", "counts"))
    cells, found = len(known_claims) * len(JUDGED), list[str]()
    for table, before, now in _tables(golden, run):
        cells += before.size
        found += [f"{table}: {text}" for text in _different(before, now)]
    found += _different_verdicts(known_claims, [asdict(verdict) for verdict in run.claims])
    then = Counter[str]()
    for key, number in counts["records"].items():
        kind, status = key.split()
        then[f"{NAMES['kinds'][kind]} {status}"] += number
    today = Counter(f"{record.kind} {record.status}" for record in read_records(RUNS / name))
    if then != today:
        found.append(f"records: {dict(then)} -> {dict(today)}")
    if counts["suspect"] != {"latency": run.suspect, "online": run.online_suspect}:
        found.append("suspect")
    return cells + len(then), found


def _tables(golden: Path, run: Analysis) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """(name, the golden table under the columns of today, today's)."""
    now = frames_of(run) | {"graphs": run.graphs, "comparisons": comparison_table(run.comparisons)}
    now |= {"slopes": run.slopes, "superblocks": run.superblocks, "failures": run.failures, "frames": run.frames}
    for path in sorted(golden.glob("*.csv.xz")):
        table = path.name.removesuffix(".csv.xz")
        before = pd.read_csv(path).rename(columns=NAMES["all"] | NAMES.get(table, {})).replace(NAMES["values"])
        frame = now[NAMES["tables"].get(table, table)]
        if table in ("quality", "bandwidth"):  # what ran frame by frame had no rows there
            frame = frame[frame["streams"] == 0]
        yield table, before, frame


def _different(before: pd.DataFrame, now: pd.DataFrame) -> Iterator[str]:
    if missing := [column for column in before.columns if column not in now.columns]:
        yield f"columns are gone: {', '.join(missing)}"
    elif len(before) != len(now):
        yield f"{len(before)} rows -> {len(now)}"
    else:
        words = [column for column in before.columns if not pd.api.types.is_numeric_dtype(before[column])]
        keys = [name for name in before.columns if name in KEYS or (name in words and name not in FREE_TEXT)]
        before, now = (_sorted(frame[before.columns], keys) for frame in (before, now))
        for column in before.columns:
            pairs = [(a, b) for a, b in zip(before[column], now[column], strict=True) if not _same(a, b)]
            if pairs:
                yield f"{column}: {len(pairs)} cells, like {pairs[0][0]!r} -> {pairs[0][1]!r}"


def _sorted(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Rows in the order of their keys, which are written alike whether they were read from a file or not."""
    if not keys:
        return frame.reset_index(drop=True)
    order = frame[keys].map(_written).reset_index(drop=True).sort_values(keys, kind="stable").index
    return frame.iloc[order].reset_index(drop=True)


def _written(value: Any) -> str:
    if _empty(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float | int) and not isinstance(value, bool) else str(value)


def _different_verdicts(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[str]:
    if sorted(one["id"] for one in before) != sorted(one["id"] for one in now):
        yield f"claims: {len(before)} verdicts -> {len(now)}"
        return
    today = {one["id"]: one for one in now}
    for then in before:
        own = today[then["id"]]
        unit = NAMES["values"].get(then["unit"], then["unit"])
        for key, value in {**then, "unit": unit}.items():
            if key in JUDGED and not _same(own[key], value):
                yield f"claims: {then['id']}: {key}: {value} -> {own[key]}"
        repeated, again = then["repeated"] or {}, own["repeated"] or {}
        if repeated.keys() != again.keys() or not all(_same(again[key], repeated[key]) for key in repeated):
            yield f"claims: {then['id']}: repeated"


def _same(a: Any, b: Any) -> bool:
    if _empty(a) or _empty(b):
        return _empty(a) and _empty(b)
    if isinstance(a, int | float | np.number) and isinstance(b, int | float | np.number):
        return bool(np.isclose(float(a), float(b), rtol=1e-9, atol=1e-12))
    return str(a) == str(b)


def _empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))


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
