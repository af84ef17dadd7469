"""What all tables share: the axes' columns, and how a table is printed for people."""

import math
from typing import Any

import pandas as pd

MEGA = 1e6
"""Megabytes in tables are decimal, as in the paper."""

AXES = ("strategy", "placement", "fraction", "direction")
PANEL = ("backbone", "device", "runtime", "dtype", "memory_format", "threads", "frames", "size", "batch")


def markdown(frame: pd.DataFrame) -> str:
    """A table for people: two decimals; bars in cells escaped."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{value:.2f}" if value % 1 else f"{value:.0f}"
        return "" if value is None else " ".join(str(value).replace("|", "\\|").split())

    lines = ["| " + " | ".join(frame.columns) + " |", "|" + " --- |" * len(frame.columns)]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines) + "\n"
