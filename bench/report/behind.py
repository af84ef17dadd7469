"""What stands behind each number of a page: the values of its processes or seeds, and the records that hold them."""

import math
from dataclasses import dataclass

import pandas as pd

from bench.analysis.arms import PARTS
from bench.analysis.detectors import MEASURES
from bench.report.numbers import fixed, number
from bench.report.selection import Row, rows


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
