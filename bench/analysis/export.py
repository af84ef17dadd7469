"""``tables/*.csv``, ``tables/*.md`` and ``claims.json`` in a run's folder."""

import json
import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from bench.analysis.run import Analysis
from bench.analysis.tables.raw import comparison_table, quality_table, ranking_table
from bench.store.records import write_atomically


def frames_of(run: Analysis) -> dict[str, pd.DataFrame]:
    """{name of the file: table}."""
    return {
        "latency": run.latency,
        "online": run.online,
        "accuracy": run.accuracy,
        "detection": run.detection,
        "claims": pd.DataFrame([asdict(verdict) for verdict in run.claims]),
        "controls": comparison_table(run.comparisons),
        "rankings": ranking_table(run.rankings),
        "quality": quality_table(run.quality),
        "curves": run.curves,
        "early": run.early,
        "bandwidth": run.bandwidth,
        "runtime_graphs": run.graphs,
        "samples": run.samples,
    }


def write(run: Analysis) -> None:
    """Write all of them. Raises OSError where the folder cannot be written."""
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
