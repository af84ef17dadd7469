"""Writes what the code of today makes of every published run, so that a restructured code can be held against it.

``python tests/golden/record.py``: for each run in ``results/reference`` its tables (``<run>/<table>.csv.xz``), verdicts
(``<run>/claims.json``), what failed, and how many records of each kind ended how (``<run>/counts.json``).
"""

import json
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pandas as pd

from bench import analysis
from bench.journal import read_records

HERE = Path(__file__).parent
RUNS = HERE.parent.parent / "results" / "reference"


def main() -> None:
    """All runs."""
    for header in sorted(RUNS.glob("*/run.json")):
        folder = header.parent
        target = HERE / folder.name
        target.mkdir(exist_ok=True)
        tables = analysis.load(folder)
        for field in fields(tables):
            frame = getattr(tables, field.name)
            if isinstance(frame, pd.DataFrame):
                frame.to_csv(target / f"{field.name}.csv.xz", index=False)
        (target / "claims.json").write_text(json.dumps(tables.claims, indent=1, ensure_ascii=False) + "\n")
        counts = Counter(f"{record.kind} {record.status}" for record in read_records(folder))
        suspects = {"latency": tables.suspect, "online": tables.online_suspect}
        known = {"records": dict(sorted(counts.items())), "suspect": suspects}
        (target / "counts.json").write_text(json.dumps(known, indent=1) + "\n")
        print(folder.name, dict(counts))


if __name__ == "__main__":
    main()
