"""Frames -> tables to read: chosen columns, rounded text, a key to sort by; what all rows share is said once."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.numbers import Estimate, fixed, fraction_text, number
from bench.report.selection import PANEL_COLUMNS, Row, finished, rows
from bench.report.trust import TWIN_FLAG, flags_of

_MILLION = 1e6
_BILLION = 1e9


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
    """One row of a sheet. status: ``ok``, ``failed`` or ``skipped``."""

    cells: tuple[Cell, ...]
    status: str


@dataclass(frozen=True)
class Sheet:
    """A table to print. same: what holds for every row."""

    titles: tuple[tuple[str, bool], ...]
    lines: tuple[Line, ...]
    same: str


def latency_sheet(latency: pd.DataFrame) -> Sheet | None:
    """Every case, the failed ones too."""
    columns = [
        _estimate("overhead", "overhead", "overhead_pct"),
        _figure("latency [ms]", "latency_ms", 1),
        _figure("predicted [%]", "predicted_overhead_pct", 1, signed=True),
        _figure("extra traffic [MB]", "extra_traffic_mb", 1),
        _figure("peak memory [MB]", "peak_memory_mb", 0),
        _figure("would find [points]", "detectable_pct", 1),
        _figure("processes", "replicates", 0),
        _figure("superblocks", "blocks", 0),
        _figure("parameters [M]", "params", 2, scale=_MILLION),
        _figure("FLOPs [G]", "flops", 2, scale=_BILLION),
    ]
    return _sheet(latency, ("direction", *PANEL_COLUMNS), columns)


def accuracy_sheet(accuracy: pd.DataFrame) -> Sheet | None:
    """Every arm: the three accuracies and their difference to no shift, paired by seed."""
    columns = [
        column
        for part in ("joint", "spatial", "temporal")
        for column in (
            _estimate(part, part, f"{part}_mean_pct", signed=False),
            _estimate("against no shift", f"{part}_delta", f"{part}_delta_pct", unit="points"),
        )
    ]
    columns += [
        _figure("seeds", "seeds", 0),
        _figure("parameters [M]", "params", 3, scale=_MILLION),
        _figure("FLOPs [G]", "flops", 3, scale=_BILLION),
        _figure("training [s]", "train_seconds", 0),
        Column("also holds for", lambda row: _text(row.get("also_holds_for")), numeric=False),
    ]
    return _sheet(accuracy, ("direction", "dataset", "backbone"), columns)


def _sheet(frame: pd.DataFrame, often_same: tuple[str, ...], columns: list[Column]) -> Sheet | None:
    if frame.empty:
        return None
    present = [name for name in often_same if name in frame]
    varying = [name for name in present if frame[name].astype(str).nunique() > 1]
    same = ", ".join(f"{name.replace('_', ' ')} {frame[name].iloc[0]}" for name in present if name not in varying)
    named = [
        Column("strategy", _strategy, numeric=False),
        Column("placement", lambda row: _text(row["placement"]), numeric=False),
        Column("fraction", lambda row: Cell(fraction_text(number(row["fraction"])), str(row["fraction"]))),
        *(Column(name.replace("_", " "), _getter(name), numeric=name in _COUNTED) for name in varying),
    ]
    done = rows(finished(frame))
    shared = [column for column in columns if column.title in _OFTEN_SHARED and _is_shared(column, done)]
    same = "; ".join([same, *(f"{column.title} {column.cell(done[0]).text}" for column in shared)])
    shown = [*named, Column("status", _status, numeric=False), *(column for column in columns if column not in shared)]
    return Sheet(
        tuple((column.title, column.numeric) for column in shown),
        tuple(Line(tuple(column.cell(row) for column in shown), str(row["status"])) for row in rows(frame)),
        same,
    )


_OFTEN_SHARED = ("processes", "superblocks", "seeds", "parameters [M]", "FLOPs [G]")
_COUNTED = ("threads", "frames", "size", "batch")


def _is_shared(column: Column, done: list[Row]) -> bool:
    """One value in all finished rows, and more than one row: said once above the table."""
    return len(done) > 1 and len({column.cell(row).text for row in done}) == 1


def _getter(name: str) -> Callable[[Row], Cell]:
    return lambda row: _text(row[name])


def _estimate(title: str, stem: str, value: str, *, unit: str = "%", signed: bool = True) -> Column:
    def cell(row: Row) -> Cell:
        estimate = Estimate.of(row, stem, value)
        text = "" if math.isnan(estimate.value) else estimate.text("", signed=signed, missing="")
        if estimate.low == estimate.high == estimate.value:  # the baseline against itself
            text = fixed(estimate.value, 0)
        return Cell(text.replace(" ()", ""), _key(estimate.value))

    return Column(f"{title} [{unit}]", cell)


def _figure(title: str, name: str, digits: int, *, scale: float = 1.0, signed: bool = False) -> Column:
    def cell(row: Row) -> Cell:
        value = number(row.get(name)) / scale
        return Cell("" if math.isnan(value) else fixed(value, digits, signed=signed), _key(value))

    return Column(title, cell)


def _key(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""


def _text(value: Any) -> Cell:
    text = "" if value is None or value != value else str(value)  # NaN differs from itself
    return Cell(text, text)


def _strategy(row: Row) -> Cell:
    twin = " (A/A twin)" if TWIN_FLAG in flags_of(row) or row.get("aa") is True else ""
    return Cell(f"{row['strategy']}{twin}", f"{row['strategy']}{twin}")


def _status(row: Row) -> Cell:
    parts = [str(row["status"]), *(flag for flag in flags_of(row) if flag != TWIN_FLAG), _text(row.get("reason")).text]
    return _text("; ".join(part for part in parts if part))


def plain(value: Any) -> str:
    """Anything from ``run.json`` on one line."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict) and all(isinstance(item, str | int | float) for item in value.values()):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(plain(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple) else str(value)
