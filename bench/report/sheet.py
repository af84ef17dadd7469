"""What a table to read is made of: columns, rounded text, a key to sort by; what all rows share is said once."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.numbers import Estimate, fixed, fraction_text, number
from bench.report.selection import TWIN_FLAG, Row, finished, flags_of, rows


@dataclass(frozen=True)
class Cell:
    """Text to read; ``key`` sorts numbers as numbers and intervals by their estimate."""

    text: str
    key: str


@dataclass(frozen=True)
class Column:
    """A heading and how a row's cell is made."""

    title: str
    cell: Callable[[Row], Cell]
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """One row of a sheet. status: ``ok``, ``failed`` or ``skipped``; records: how the ids of its records begin."""

    cells: tuple[Cell, ...]
    status: str
    records: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table to print. same: what holds for every row."""

    titles: tuple[tuple[str, bool], ...]
    lines: tuple[Line, ...]
    same: str


def sheet_of(
    frame: pd.DataFrame, often_same: tuple[str, ...], columns: list[Column], naming: tuple[Column, ...]
) -> Sheet | None:
    """A table of what varies; what is the same in all rows is said once, and what no row has is left away."""
    if frame.empty:
        return None
    present = [name for name in often_same if name in frame and frame[name].notna().any()]
    varying = [name for name in present if frame[name].astype(str).nunique() > 1]
    same = ", ".join(
        f"{name.replace('_', ' ')} {plain(frame[name].iloc[0])}" for name in present if name not in varying
    )
    axes = [Column(name.replace("_", " "), _getter(name), numeric=name in _COUNTED) for name in varying]
    done = rows(finished(frame)) if naming else rows(frame)
    columns = [column for column in columns if any(column.cell(row).text for row in rows(frame))]
    shared = [column for column in columns if column.title in _OFTEN_SHARED and _is_shared(column, done)]
    same = "; ".join([*([same] if same else []), *(f"{column.title} {column.cell(done[0]).text}" for column in shared)])
    status = [Column("status", _status, numeric=False)] if naming else []
    shown = [*naming, *axes, *status, *(column for column in columns if column not in shared)]
    return Sheet(
        tuple((column.title, column.numeric) for column in shown),
        tuple(
            Line(tuple(c.cell(row) for c in shown), str(row.get("status", "ok")), str(row.get("records", "")))
            for row in rows(frame)
        ),
        same,
    )


_OFTEN_SHARED = ("processes", "superblocks", "seeds", "parameters [M]", "FLOPs [G]", "left out", "disturbed [%]")
_COUNTED = ("threads", "frames", "size", "batch", "streams")


def _is_shared(column: Column, done: list[Row]) -> bool:
    """One value in all finished rows, and more than one row: said once above the table."""
    return len(done) > 1 and len({column.cell(row).text for row in done}) == 1


def _getter(name: str) -> Callable[[Row], Cell]:
    return lambda row: text_cell(plain(row[name]) if row[name] == row[name] else None)


def estimate(
    title: str,
    stem: str,
    value: str,
    *,
    unit: str = "%",
    signed: bool = True,
    only: str | None = None,
    also: Callable[[Row], str] = lambda row: "",
) -> Column:
    """An estimate with its interval; ``only``: empty but where this flag is raised; ``also``: what stands behind it."""

    def cell(row: Row) -> Cell:
        if only is not None and only not in flags_of(row):
            return Cell("", "")
        estimate = Estimate.of(row, stem, value)
        text = "" if math.isnan(estimate.value) else estimate.text("", signed=signed, missing="")
        if estimate.low == estimate.high == estimate.value:  # the baseline against itself
            text = fixed(estimate.value, 0)
        text = ", ".join(part for part in (text.replace(" ()", ""), also(row)) if part)
        return Cell(text, key_of(estimate.value))

    return Column(f"{title} [{unit}]", cell)


def figure(title: str, name: str, digits: int, *, scale: float = 1.0, signed: bool = False) -> Column:
    """A number of the table's column ``name``, in units of ``scale``."""

    def cell(row: Row) -> Cell:
        value = number(row.get(name)) / scale
        return Cell("" if math.isnan(value) else fixed(value, digits, signed=signed), key_of(value))

    return Column(title, cell)


def key_of(value: float) -> str:
    """What a number is sorted by; empty for NaN, which comes last."""
    return repr(value) if math.isfinite(value) else ""


def text_cell(value: Any) -> Cell:
    """Text that sorts as it reads; empty for what is not known."""
    text = "" if value is None or value != value else str(value)  # NaN differs from itself
    return Cell(text, text)


def _strategy(row: Row) -> Cell:
    twin = " (A/A twin)" if TWIN_FLAG in flags_of(row) or row.get("aa") is True else ""
    return Cell(f"{row['strategy']}{twin}", f"{row['strategy']}{twin}")


def _status(row: Row) -> Cell:
    parts = [
        str(row["status"]),
        *(flag for flag in flags_of(row) if flag != TWIN_FLAG),
        text_cell(row.get("reason")).text,
    ]
    return text_cell("; ".join(part for part in parts if part))


CASE = (
    Column("strategy", _strategy, numeric=False),
    Column("placement", lambda row: text_cell(row["placement"]), numeric=False),
    Column("fraction", lambda row: Cell(fraction_text(number(row["fraction"])), str(row["fraction"]))),
)
"""The columns that name a case or an arm."""


def plain(value: Any) -> str:
    """Anything from ``run.json`` on one line."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict) and all(isinstance(item, str | int | float) for item in value.values()):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(plain(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple) else str(value)
